"""Fixes of real receivers' logs: `drover tracker --print` against pynmea2, which shares no code with it.

    nmea_peer.py DROVER FOLDER [--list]

For every *.log in FOLDER both read the same bytes. Each fix of ours must be a position that pynmea2 reads from a sentence
of that moment: the same time, and the same latitude and longitude to 1e-9 degrees. Each position that pynmea2 reads from a
valid sentence must be a fix of ours, or belong to one of the classes below, each of which says why. Anything else is a
failure. --list shows the members of each class.

    same moment      another sentence of the moment became the fix: GGA goes before RMC, since it has more digits and its
                     quality; of several GGA (one per constellation) the one with most satellites; and what comes when a
                     moment's fix is made already is late
    moment has none  another sentence of the moment says that there is no position (RMC V beside GGA 1, or the reverse):
                     the receiver is not sure, so there is no fix
    no date          a position before any date was heard: the time of day alone is no moment
    not strict       pynmea2 takes what crate nmea refuses, such as letters where a number belongs. There are no more of
                     them than the summary counts as `unparsed`
"""

import collections
import datetime
import json
import pathlib
import re
import subprocess
import sys

import pynmea2

SAME_DEG = 1e-9
LINE = re.compile(rb"\$([A-Z]{2}(?:RMC|GGA|ZDA)),[^$*]*\*[0-9A-Fa-f]{2}")
INVALID_QUALITY = {"", "0", "7", "8"}
INVALID_MODES = {"N", "M", "S"}


class Sentence:
    """What pynmea2 says of one RMC, GGA or ZDA."""

    def __init__(self, text):
        message = pynmea2.parse(text, check=True)
        self.text, self.kind = text, message.sentence_type
        self.time = message.timestamp.replace(tzinfo=None) if message.timestamp else None
        self.date = self.place = None
        self.valid = False
        if self.kind == "RMC":
            self.date = message.datestamp
            mode = message.data[11] if len(message.data) > 11 else ""
            self.valid = message.status == "A" and mode not in INVALID_MODES
        elif self.kind == "ZDA":
            if message.day and message.month and message.year:
                self.date = datetime.date(message.year, message.month, message.day)
            return
        else:
            self.valid = str(message.gps_qual if message.gps_qual is not None else "") not in INVALID_QUALITY
        if message.lat and message.lon and message.lat_dir and message.lon_dir:
            self.place = (message.latitude, message.longitude)


def read(data):
    """Sentences in order; those that pynmea2 can not read are counted by reason."""
    sentences, refused = [], collections.Counter()
    for line in re.split(rb"[\r\n]", data):
        # A `$` always begins a new sentence.
        text = line[line.rfind(b"$") :] if b"$" in line else b""
        if not LINE.fullmatch(text):
            continue
        try:
            sentences.append(Sentence(text.decode("ascii")))
        except (pynmea2.ParseError, ValueError, TypeError, AttributeError, IndexError, UnicodeDecodeError) as error:
            refused[type(error).__name__] += 1
    return sentences, refused


def near(one, other):
    return abs(one[0] - other[0]) <= SAME_DEG and abs(one[1] - other[1]) <= SAME_DEG


def time_of_day(text):
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment.date(), moment.time()


def unread_by_strict(text):
    """True for what the product's parser refuses and pynmea2 lets through."""
    fields = text[1 : text.index("*")].split(",")
    kind = fields[0][2:]
    number = re.compile(r"-?\d*\.?\d*")
    numeric = {"RMC": (1, 3, 5, 7, 8, 10), "GGA": (1, 2, 4, 6, 7, 8, 9, 11)}[kind]
    return any(at >= len(fields) or not number.fullmatch(fields[at]) for at in numeric)


def check(drover, path):
    data = path.read_bytes()
    done = subprocess.run([drover, "tracker", "--nmea", path, "--print"], capture_output=True, check=False)
    assert done.returncode == 0, f"{path.name}: exit code {done.returncode}: {done.stderr.decode()}"
    fixes = [json.loads(line) for line in done.stdout.splitlines()]
    summary = done.stderr.decode().strip()
    sentences, refused = read(data)

    spoken = collections.defaultdict(list)
    for sentence in sentences:
        if sentence.kind != "ZDA" and sentence.time:
            spoken[sentence.time].append(sentence)

    failures = []
    made = collections.defaultdict(list)
    for fix in fixes:
        date, time = time_of_day(fix["time"])
        place = (fix["lat"], fix["lon"])
        made[time].append(place)
        said = [one for one in spoken[time] if one.valid and one.place and near(one.place, place)]
        if not said:
            there = [one.text for one in spoken[time]][:4]
            failures.append(f"{path.name}: {fix['time']} {place} is not what pynmea2 reads: {there}")
        dates = {one.date for one in spoken[time] if one.kind == "RMC" and one.date}
        if dates and date not in dates:
            failures.append(f"{path.name}: {fix['time']} has none of the dates {dates}")

    classes = collections.defaultdict(list)
    dated, equal = False, 0
    for sentence in sentences:
        if sentence.date:
            dated = True
        if sentence.kind == "ZDA" or not (sentence.valid and sentence.place and sentence.time):
            continue
        places = made.get(sentence.time, [])
        if any(near(sentence.place, place) for place in places):
            equal += 1
            continue
        others = [one for one in spoken[sentence.time] if one is not sentence]
        if places and any(one.place and any(near(one.place, place) for place in places) for one in others):
            classes["same moment"].append(sentence.text)
        elif any(not one.valid for one in others):
            classes["moment has none"].append(sentence.text)
        elif not dated:
            classes["no date"].append(sentence.text)
        elif unread_by_strict(sentence.text):
            classes["not strict"].append(sentence.text)
        else:
            failures.append(f"{path.name}: no fix of {sentence.text}; {summary}")
    unparsed = re.search(r"unparsed (\d+)", summary)
    if len(classes["not strict"]) > int(unparsed[1] if unparsed else 0):
        failures.append(f"{path.name}: {len(classes['not strict'])} sentences are lost without a word; {summary}")
    return fixes, equal, classes, refused, failures


def main(drover, folder, show):
    paths = sorted(pathlib.Path(folder).glob("*.log"))
    if not paths:
        print(f"skipped: no recordings in {folder}")
        return 0
    totals, refused_total = collections.Counter(), collections.Counter()
    members, failures = collections.defaultdict(list), []
    for path in paths:
        fixes, equal, classes, refused, wrong = check(drover, path)
        totals["fixes"] += len(fixes)
        totals["equal"] += equal
        refused_total += refused
        failures += wrong
        for name, texts in filter(lambda item: item[1], classes.items()):
            members[name] += [(path.name, text) for text in texts]
    print(f"pynmea2: {totals['fixes']} fixes of {len(paths)} logs are what it reads; {totals['equal']} sentences equal")
    for name, texts in sorted(members.items()):
        logs = collections.Counter(log for log, _ in texts)
        most = ", ".join(f"{log} {count}" for log, count in logs.most_common(4))
        print(f"  {name}: {len(texts)} sentences of {len(logs)} logs ({most})")
        for log, text in texts if show else ():
            print(f"    {log}: {text}")
    if refused_total:
        print(f"  refused by pynmea2 itself: {dict(refused_total)}")
    for failure in failures[:40]:
        print(f"FAIL {failure}", file=sys.stderr)
    print(f"{len(failures)} unexplained differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], "--list" in sys.argv))
