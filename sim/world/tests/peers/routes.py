"""Our routes against two routers that know more about roads: Valhalla and OSRM.

Draws pairs of junctions of ours on each extract, asks all three for the fastest way by car, and compares lengths: ours
should be within 2 % of the nearer of the two for most. All minimise time, each with speeds of its own, so some ways
differ where two are about as fast.

    routes.py ROUTES_PROGRAM WORK_DIR EXTRACT.osm.pbf... [--pairs 300] [--seed 1] [--goal 85] [--outliers 10]

Needs Python 3.12 with the packages in requirements.txt; `.ci/routes` installs and runs it all. Exits with 1 if the goal
is missed on any extract.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

import osrm
import valhalla

NEAR = 0.02
# A peer may snap an end to another road that lies closer by rounding: then its way is about something else.
SNAP_MAX_M = 5.0


def prepare_osrm(extract, folder):
    base = folder / "map"
    if not base.with_suffix(".osrm.hsgr").exists():
        folder.mkdir(parents=True, exist_ok=True)
        package = pathlib.Path(osrm.__file__).parent
        copy = base.with_suffix(".osm.pbf")
        copy.write_bytes(extract.read_bytes())
        run([package / "bin/osrm-extract", "-p", package / "share/profiles/car.lua", copy])
        run([package / "bin/osrm-contract", base.with_suffix(".osrm")])
    return osrm.OSRM(algorithm="CH", storage_config=str(base.with_suffix(".osrm")), use_shared_memory=False)


def prepare_valhalla(extract, folder):
    path, tiles = folder / "valhalla.json", folder / "tiles"
    tiles.mkdir(parents=True, exist_ok=True)
    config = valhalla.get_config(tile_extract="", tile_dir=str(tiles), verbose=False)
    config["mjolnir"]["concurrency"] = 1
    if not path.exists():
        path.write_text(json.dumps(config))
        run([pathlib.Path(valhalla.__file__).parent / "bin/valhalla_build_tiles", "-c", path, extract])
    return valhalla.Actor(config)


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stdout}\n{done.stderr}")


def by_osrm(engine, start, end):
    parameters = osrm.RouteParameters(
        coordinates=[tuple(start), tuple(end)], overview="full", geometries="geojson", continue_straight=False
    )
    try:
        answer = engine.Route(parameters)
    except RuntimeError:
        return None
    if answer["code"] != "Ok":
        return None
    route = answer["routes"][0]
    line = [tuple(point) for point in route["geometry"]["coordinates"]]
    return float(route["distance"]), line


def by_valhalla(actor, start, end):
    place = lambda point: {"lon": point[0], "lat": point[1], "node_snap_tolerance": 1, "radius": 0}
    request = {"locations": [place(start), place(end)], "costing": "auto", "units": "kilometers"}
    try:
        trip = actor.route(request)["trip"]
    except (RuntimeError, valhalla.ValhallaError):
        return None
    leg = trip["legs"][0]
    return trip["summary"]["length"] * 1000.0, decode(leg["shape"])


def decode(shape):
    """Google's polyline, with six digits."""
    line, values, at = [], [0, 0], 0
    while at < len(shape):
        for index in (0, 1):
            shift = result = 0
            while True:
                byte = ord(shape[at]) - 63
                at += 1
                result |= (byte & 31) << shift
                shift += 5
                if byte < 32:
                    break
            values[index] += ~(result >> 1) if result & 1 else result >> 1
        line.append((values[1] / 1e6, values[0] / 1e6))
    return line


def metres(a, b):
    north = (a[1] - b[1]) * 111_200.0
    east = (a[0] - b[0]) * 111_320.0 * math.cos(math.radians(a[1]))
    return math.hypot(north, east)


def is_about(answer, start, end):
    """True if the peer went from where it was asked to where it was asked."""
    return answer is not None and metres(answer[1][0], start) < SNAP_MAX_M and metres(answer[1][-1], end) < SNAP_MAX_M


def compare(extract, arguments):
    folder = arguments.work / extract.name.split(".")[0]
    engine = prepare_osrm(extract, folder / "osrm")
    actor = prepare_valhalla(extract, folder / "valhalla")
    command = [arguments.routes, extract, arguments.pairs, arguments.seed]
    lines = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True).stdout
    prepared, *routes = map(json.loads, lines.splitlines())
    near, silent, outliers, peers_near, ratios = 0, 0, [], 0, {"osrm": [], "valhalla": []}
    for route in routes:
        start, end = route["start"], route["end"]
        answers = {"osrm": by_osrm(engine, start, end), "valhalla": by_valhalla(actor, start, end)}
        answers = {name: answer for name, answer in answers.items() if is_about(answer, start, end)}
        if not answers:
            silent += 1
            continue
        ours = route["length_m"]
        errors = {name: abs(ours - answer[0]) / answer[0] for name, answer in answers.items()}
        for name, error in errors.items():
            ratios[name].append(error <= NEAR)
        if len(answers) == 2:
            one, other = (answer[0] for answer in answers.values())
            peers_near += abs(one - other) / max(one, other) <= NEAR
        if min(errors.values()) <= NEAR:
            near += 1
        else:
            outliers.append((min(errors.values()), route, answers))
    asked = len(routes) - silent
    share = 100.0 * near / max(asked, 1)
    each = ", ".join(f"{name} {100.0 * sum(found) / max(len(found), 1):.1f} % of {len(found)}" for name, found in ratios.items())
    print(
        f"{extract.name}: {near} of {asked} routes ({share:.1f} %) within 2 % of the nearer; {each}; "
        f"the peers of each other {100.0 * peers_near / max(asked, 1):.1f} %; neither knew {silent}; "
        f"{prepared['junctions']} junctions, {prepared['edges']} edges, {prepared['cpu_ms']} ms of CPU, "
        f"{prepared['peak_mib']} MiB"
    )
    for error, route, answers in sorted(outliers, key=lambda one: -one[0])[: arguments.outliers]:
        lengths = ", ".join(f"{name} {answer[0]:.0f} m" for name, answer in answers.items())
        print(f"  {route['from']} to {route['to']}: {error:.1%}, ours {route['length_m']:.0f} m, {lengths}")
    if arguments.dump:
        folder.joinpath("outliers.json").write_text(json.dumps(outliers))
    return asked > 0 and share >= arguments.goal and silent <= len(routes) // 10


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("routes", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("extracts", type=pathlib.Path, nargs="+")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--goal", type=float, default=85.0)
    parser.add_argument("--outliers", type=int, default=0, help="show that many of the worst")
    parser.add_argument("--dump", action="store_true", help="write all outliers with their lines to the work folder")
    arguments = parser.parse_args()
    results = [compare(extract, arguments) for extract in arguments.extracts]
    sys.exit(0 if all(results) else 1)


main()
