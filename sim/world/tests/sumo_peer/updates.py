"""Vehicle updates per CPU second: SUMO's microscopic traffic against the whole world, by turns on the same machine.

Both move the same number of vehicles through a grid of the same streets in steps of 0.1 s. Both are measured by the CPU
time that their steps take: of SUMO the difference of two runs that differ only in their end, so that neither reading
the network nor inserting the vehicles counts. They do not do the same work: in both vehicles follow each other and give
way; SUMO's change lanes, and all of them drive; ours have receivers, engines and a bus, and some stand at a delivery.

Usage: updates.py WORLD_BENCH [VEHICLES] [ROUNDS]
"""

import os
import random
import re
import resource
import subprocess
import sys
import tempfile

SIDE, BLOCK_M = 100, 100
STEP_S = 0.1
# All vehicles are on the road after this; then so many steps are measured.
INSERTED_S, MEASURED_S = 60, 30


def tool(name):
    import sumo

    return os.path.join(sumo.SUMO_HOME, "bin", name)


def run(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout + done.stderr, cpu_s


def make_network(folder):
    path = os.path.join(folder, "grid.net.xml")
    run([tool("netgenerate"), "--grid", f"--grid.number={SIDE}", f"--grid.length={BLOCK_M}",
         "--default.speed=13.89", "--no-turnarounds=false", "-o", path])
    return path


def make_routes(folder, network, vehicles):
    """A trip for each vehicle to a random place, routed beforehand: routing is not what is measured."""
    with open(network, encoding="utf-8") as file:
        edges = re.findall(r'<edge id="([^":]+)" from=', file.read())
    draw = random.Random(1)
    trips, routes = os.path.join(folder, "trips.xml"), os.path.join(folder, "routes.xml")
    with open(trips, "w", encoding="utf-8") as file:
        file.write('<routes><vType id="van" vClass="delivery" accel="1.8" decel="2.5" maxSpeed="30"/>\n')
        for number in range(vehicles):
            start, end = draw.choice(edges), draw.choice(edges)
            file.write(f'<trip id="{number}" type="van" depart="{number * 40.0 / vehicles:.2f}" '
                       f'from="{start}" to="{end}" departPos="random_free"/>\n')
        file.write("</routes>\n")
    run([tool("duarouter"), "-n", network, "--route-files", trips, "-o", routes, "--ignore-errors",
         "--no-warnings"])
    return routes


def simulate(network, routes, end_s):
    """Vehicle updates until then, and the CPU time of the whole run."""
    out, cpu_s = run([tool("sumo"), "-n", network, "-r", routes, "--step-length", str(STEP_S), "--end", str(end_s),
                      "--duration-log.statistics", "--no-step-log", "--time-to-teleport=-1", "--no-warnings"])
    lasted = float(re.search(r"Duration: ([\d.]+)", out).group(1))
    per_s = float(re.search(r"UPS: ([\d.]+)", out).group(1))
    running = int(re.search(r"Running: (\d+)", out).group(1))
    return lasted * per_s, cpu_s, running


def measure_sumo(network, routes):
    before, before_s, _ = simulate(network, routes, INSERTED_S)
    after, after_s, running = simulate(network, routes, INSERTED_S + MEASURED_S)
    return (after - before) / (after_s - before_s), running


def measure_world(bench, vehicles):
    out, _ = run([bench, "--bench", "--updates", str(vehicles)])
    updates, cpu_s, on_road = out.split()
    return float(updates) / float(cpu_s), int(on_road)


def main():
    bench = sys.argv[1]
    vehicles = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    with tempfile.TemporaryDirectory() as folder:
        network = make_network(folder)
        routes = make_routes(folder, network, vehicles)
        ratios = []
        for _ in range(rounds):
            theirs, running = measure_sumo(network, routes)
            ours, on_road = measure_world(bench, vehicles)
            ratios.append(ours / theirs)
            print(f"{vehicles} vehicles ({on_road} of ours and {running} of SUMO's under way): world {ours / 1e6:.2f} M, SUMO "
                  f"{theirs / 1e6:.2f} M vehicle updates per CPU second: {ratios[-1]:.1f} x", flush=True)
        print(f"median: {sorted(ratios)[len(ratios) // 2]:.1f} x")


if __name__ == "__main__":
    main()
