#!/usr/bin/env python3
"""Standing receivers: the horizontal error about the median position, of recordings and of the world's receivers.

    receiver_error.py FOLDER STANDING

FOLDER holds recordings (*.log), STANDING is the program of examples/standing.rs. Prints p50 and p95 of every standing
receiver and those of ours over windows of the same length, then the same for each grade together, every recording with
the same weight. Exit code 1 if a grade, or a recording of more than ten minutes, is off by more than 20 %.
Needs nothing but Python 3.9.
"""
import glob
import math
import os
import statistics
import subprocess
import sys

TOLERANCE = 0.2
NOTHING_M = 0.002
METRES_PER_DEGREE = 111195.0
RECEIVERS = 400
GRADES = {"modern": "plain", "held": "sirf", "weak": "plain"}


def sentence(line):
    """The fields of a sentence whose checksum is right."""
    start = line.rfind("$")
    body, star, checksum = line[start + 1 :].strip().rpartition("*")
    if start < 0 or not star:
        return None
    found = 0
    for char in body:
        found ^= ord(char)
    try:
        return body.split(",") if int(checksum[:2], 16) == found else None
    except ValueError:
        return None


def position(fields):
    lat = float(fields[2][:2]) + float(fields[2][2:]) / 60
    lon = float(fields[4][:3]) + float(fields[4][3:]) / 60
    return -lat if fields[3] == "S" else lat, -lon if fields[5] == "W" else lon


def read(lines):
    """Fixes as (second of day, lat, lon), dilutions, speeds in m/s, and qualities."""
    fixes, dilutions, speeds, qualities = [], [], [], set()
    for line in lines:
        fields = sentence(line)
        try:
            kind = fields[0][2:]
            if kind == "GGA" and fields[6] not in ("", "0"):
                second = int(fields[1][:2]) * 3600 + int(fields[1][2:4]) * 60 + float(fields[1][4:])
                lat, lon = position(fields)
                if fixes and fixes[-1][0] == second:
                    continue
                fixes.append((second, lat, lon))
                qualities.add(fields[6])
                if fields[8]:
                    dilutions.append(float(fields[8]))
            elif kind == "RMC" and fields[2] == "A" and fields[7]:
                speeds.append(float(fields[7]) * 0.5144)
            elif kind == "VTG" and fields[5]:
                speeds.append(float(fields[5]) * 0.5144)
        except (TypeError, ValueError, IndexError):
            continue
    return fixes, dilutions, speeds, qualities


def grade_of(fixes, dilutions, speeds, qualities):
    """What a recording is of; None if its receiver moves, or says too little."""
    if len(fixes) < 10:
        return None
    span = fixes[-1][0] - fixes[0][0]
    if span < 9 or span / (len(fixes) - 1) > 2 or not qualities <= {"1", "2"} or max(speeds, default=0) >= 1:
        return None
    repeats = sum(a[1:] == b[1:] for a, b in zip(fixes, fixes[1:]))
    if repeats >= 0.5 * (len(fixes) - 1):
        return "held"
    return "weak" if statistics.fmean(dilutions) >= 1.8 else "modern"


def errors(fixes):
    lat0 = statistics.median(fix[1] for fix in fixes)
    lon0 = statistics.median(fix[2] for fix in fixes)
    east = METRES_PER_DEGREE * math.cos(math.radians(lat0))
    return [math.hypot((fix[2] - lon0) * east, (fix[1] - lat0) * METRES_PER_DEGREE) for fix in fixes]


def quantile(sets, share):
    """Every set weighs the same, however many values it has."""
    values = sorted((value, 1 / len(one)) for one in sets for value in one)
    rest = share * len(sets)
    for value, weight in values:
        rest -= weight
        if rest <= 0:
            return value
    return values[-1][0]


def close(ours, theirs):
    return abs(ours - theirs) <= TOLERANCE * theirs or max(ours, theirs) < NOTHING_M


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    recordings = {}
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.log"))):
        with open(path, "rb") as file:
            found = read(file.read().decode("latin-1").split("\n"))
        grade = grade_of(*found)
        if grade:
            recordings.setdefault(grade, []).append((os.path.basename(path)[:-4], found[0]))
    failed = False
    for grade, talker in GRADES.items():
        theirs = recordings.get(grade, [])
        if not theirs:
            print(f"{grade}: no recordings")
            continue
        longest = max(len(fixes) for _, fixes in theirs)
        command = [sys.argv[2], grade, talker, str(longest + 10), str(RECEIVERS)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        lines = {}
        for line in said.splitlines():
            vehicle, _, rest = line.partition(" ")
            lines.setdefault(vehicle, []).append(rest)
        standing = [read(of_one)[0] for of_one in lines.values()]
        pooled, our_pooled = [], []
        for name, fixes in theirs:
            size = len(fixes)
            windows = []
            for one in standing:
                windows += [errors(one[at : at + size]) for at in range(0, len(one) - size + 1, size)][:20]
            own = errors(fixes)
            p50, p95 = quantile([own], 0.5), quantile([own], 0.95)
            of_windows = [sorted(quantile([one], share) for one in windows) for share in (0.5, 0.95)]
            at = [[of[int(share * (len(of) - 1))] for share in (0.05, 0.5, 0.95)] for of in of_windows]
            print(
                f"{grade:6} {name:26} {size:4} fixes  p50 {p50:6.3f} p95 {p95:7.3f}   ours p50 {at[0][1]:6.3f} "
                f"({at[0][0]:.3f} to {at[0][2]:.3f})  p95 {at[1][1]:7.3f} ({at[1][0]:.3f} to {at[1][2]:.3f})"
            )
            if size > 600:
                failed |= not (close(at[0][1], p50) and close(at[1][1], p95))
            pooled.append(own)
            our_pooled.append([value for one in windows for value in one])
        result = []
        for share in (0.5, 0.95):
            ours, them = quantile(our_pooled, share), quantile(pooled, share)
            failed |= not close(ours, them)
            off = "" if them < NOTHING_M else f" ({(ours / them - 1) * 100:+.0f} %)"
            result.append(f"p{share * 100:.0f} {them:.3f} m, ours {ours:.3f} m{off}")
        print(f"{grade:6} together, {len(theirs)} recordings: {'; '.join(result)}\n")
    print("more than 20 % off" if failed else "all within 20 %")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
