"""SUMO as a peer: flow against density on a ring road, without and with a signal.

Usage: sumo_traffic.py PATH_OF_TRAFFIC_LAB [PLOT.svg]. Needs eclipse-sumo (PyPI). Both drive the intelligent driver model
with the same parameters at the same step of 0.1 s. Prints a table of both, writes the plot, and exits with 0 if every flow
is within 10 % of SUMO's.
"""

import math
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

import sumo

SUMO = pathlib.Path(sumo.SUMO_HOME) / "bin"
TOLERANCE = 0.10

LENGTH_M, LIMIT_MPS, VEHICLE_M = 2000.0, 50 / 3.6, 4.5
HEADWAY_S, GAP_M, ACCELERATION, BRAKING = 1.5, 2.0, 1.4, 2.0
GREEN_S, AMBER_S, RED_S = 30, 3, 27
WARM_UP_S, MEASURE_S = 900, 900
VEHICLES = [10, 20, 30, 40, 50, 60, 70, 85, 100, 120, 150, 180, 220, 260]
EDGES, CORNERS = 3, 12


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed: {done.stderr}")
    return done.stdout


def ours(lab: str, signal: bool) -> dict[int, dict[str, float]]:
    times = (GREEN_S, AMBER_S, RED_S) if signal else (0, 0, 0)
    numbers = [LENGTH_M, LIMIT_MPS, VEHICLE_M, HEADWAY_S, GAP_M, ACCELERATION, BRAKING, *times, WARM_UP_S, MEASURE_S]
    found = {}
    for line in run(lab, "ring", *numbers, *VEHICLES).splitlines():
        vehicles, density, flow, speed, queue, gap = map(float, line.split())
        found[int(vehicles)] = {"density": density, "flow": flow, "queue": queue, "gap": gap}
    return found


def ring_net(folder: pathlib.Path, signal: bool) -> pathlib.Path:
    """A ring of three edges, whose second ends at the signal, as in the laboratory."""
    radius = LENGTH_M / CORNERS / (2 * math.sin(math.pi / CORNERS))
    corner = lambda index: (
        radius * math.cos(2 * math.pi * index / CORNERS), radius * math.sin(2 * math.pi * index / CORNERS))
    step = CORNERS // EDGES
    nodes = ElementTree.Element("nodes")
    edges = ElementTree.Element("edges")
    for edge in range(EDGES):
        x, y = corner(edge * step)
        kind = "traffic_light" if signal and edge == 2 else "priority"
        ElementTree.SubElement(nodes, "node", id=f"n{edge}", x=str(x), y=str(y), type=kind)
        shape = " ".join(f"{x},{y}" for x, y in map(corner, range(edge * step, (edge + 1) * step + 1)))
        ElementTree.SubElement(
            edges, "edge", {"id": f"e{edge}", "from": f"n{edge}", "to": f"n{(edge + 1) % EDGES}", "numLanes": "1",
                            "speed": str(LIMIT_MPS), "length": str(LENGTH_M / EDGES), "shape": shape})
    for name, tree in (("nod", nodes), ("edg", edges)):
        ElementTree.ElementTree(tree).write(folder / f"ring.{name}.xml")
    net = folder / "ring.net.xml"
    run(SUMO / "netconvert", "-n", folder / "ring.nod.xml", "-e", folder / "ring.edg.xml", "-o", net,
        "--no-internal-links", "--no-turnarounds", "--no-warnings")
    return net


def vehicle_type(root: ElementTree.Element) -> None:
    ElementTree.SubElement(
        root, "vType", id="car", carFollowModel="IDM", accel=str(ACCELERATION), decel=str(BRAKING), tau=str(HEADWAY_S),
        minGap=str(GAP_M), length=str(VEHICLE_M), maxSpeed=str(LIMIT_MPS), speedFactor="1", speedDev="0", delta="4")


def ring_routes(folder: pathlib.Path, vehicles: int) -> pathlib.Path:
    """All stand in one queue, as the laboratory places them; or evenly, if there are too many for that."""
    routes = ElementTree.Element("routes")
    vehicle_type(routes)
    for edge in range(EDGES):
        around = " ".join(f"e{(edge + index) % EDGES}" for index in range(EDGES))
        ElementTree.SubElement(routes, "route", id=f"from{edge}", edges=around, repeat="200")
    spacing = min(VEHICLE_M + GAP_M, LENGTH_M / vehicles)
    for vehicle in range(vehicles):
        edge, position = divmod(LENGTH_M - 1 - spacing * vehicle, LENGTH_M / EDGES)
        ElementTree.SubElement(
            routes, "vehicle", id=str(vehicle), type="car", route=f"from{int(edge)}", depart="0", departSpeed="0",
            departPos=str(position), insertionChecks="none")
    path = folder / "ring.rou.xml"
    ElementTree.ElementTree(routes).write(path)
    return path


def signal_plan(folder: pathlib.Path) -> pathlib.Path:
    plan = ElementTree.Element("additional")
    logic = ElementTree.SubElement(plan, "tlLogic", id="n2", type="static", programID="fixed", offset="0")
    for seconds, state in ((GREEN_S, "G"), (AMBER_S, "y"), (RED_S, "r")):
        ElementTree.SubElement(logic, "phase", duration=str(seconds), state=state)
    path = folder / "signal.add.xml"
    ElementTree.ElementTree(plan).write(path)
    return path


def theirs(signal: bool) -> dict[int, dict[str, float]]:
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        net = ring_net(folder, signal)
        extra = ["-a", signal_plan(folder)] if signal else []
        for vehicles in VEHICLES:
            summary = folder / "summary.xml"
            run(SUMO / "sumo", "-n", net, "-r", ring_routes(folder, vehicles), *extra, "--step-length", 0.1,
                "--step-method.ballistic", "true", "--end", WARM_UP_S + MEASURE_S, "--time-to-teleport", -1,
                "--collision.action", "none", "--no-warnings", "--no-step-log", "--summary-output", summary,
                "--summary-output.period", 1)
            speeds, queues = [], []
            for step in ElementTree.parse(summary).getroot():
                time = float(step.get("time"))
                if time <= WARM_UP_S:
                    continue
                assert int(step.get("running")) == vehicles, f"{step.get('running')} of {vehicles} at {time} s"
                speeds.append(float(step.get("meanSpeed")))
                if time % (GREEN_S + AMBER_S + RED_S) == GREEN_S + AMBER_S + RED_S - 1:
                    queues.append(int(step.get("halting")))
            density = vehicles / LENGTH_M * 1000
            speed = sum(speeds) / len(speeds)
            found[vehicles] = {"density": density, "flow": density * speed * 3.6, "queue": sum(queues) / len(queues)}
    return found


def equilibrium(density_per_km: float) -> float:
    """Flow of the model's steady state, all driving alike: its gap solved for the speed by bisection."""
    gap = 1000 / density_per_km - VEHICLE_M
    low, high = 0.0, LIMIT_MPS
    for _ in range(60):
        speed = (low + high) / 2
        wanted = (GAP_M + speed * HEADWAY_S) / math.sqrt(max(1 - (speed / LIMIT_MPS) ** 4, 1e-12))
        low, high = (speed, high) if wanted < gap else (low, speed)
    return density_per_km * low * 3.6


def compare(title: str, own: dict, peer: dict, signal: bool) -> bool:
    print(f"{title}\n  per km   ours/h   SUMO/h   ratio" + ("   queue   SUMO" if signal else "   steady state"))
    within = True
    for vehicles, mine in own.items():
        their = peer[vehicles]
        ratio = mine["flow"] / their["flow"]
        within &= abs(ratio - 1) <= TOLERANCE
        last = f"  {mine['queue']:6.1f} {their['queue']:6.1f}" if signal else f"  {equilibrium(mine['density']):8.0f}"
        print(f"  {mine['density']:6.1f} {mine['flow']:8.0f} {their['flow']:8.0f}   {ratio:.3f}{last}")
    print(f"  smallest gap of ours at any time: {min(mine['gap'] for mine in own.values()):.2f} m")
    return within


def plot(path: pathlib.Path, panels: list[tuple[str, dict, dict, bool]]) -> None:
    """A plot without a library: two panels of flow against density."""
    width, height, left, top, density_max, flow_max = 420, 300, 60, 40, 140, 1800
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * (width + left) + 30}" height="{height + 110}" '
             'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>']
    for index, (title, own, peer, signal) in enumerate(panels):
        origin = left + index * (width + left)
        x = lambda density: origin + density / density_max * width
        y = lambda flow: top + height - flow / flow_max * height
        parts.append(f'<text x="{origin}" y="24" font-size="14">{title}</text>')
        for flow in range(0, flow_max + 1, 300):
            parts.append(f'<path d="M{origin} {y(flow):.1f}h{width}" stroke="#ddd"/>'
                         f'<text x="{origin - 6}" y="{y(flow) + 4:.1f}" text-anchor="end">{flow}</text>')
        for density in range(0, density_max + 1, 20):
            parts.append(f'<text x="{x(density):.1f}" y="{top + height + 16}" text-anchor="middle">{density}</text>')
        steady = " ".join(f"{x(density):.1f},{y(equilibrium(density)):.1f}" for density in range(1, density_max + 1))
        parts.append(f'<polyline points="{steady}" fill="none" stroke="#999" stroke-dasharray="4 3"/>')
        if signal:
            share = (GREEN_S + AMBER_S) / (GREEN_S + AMBER_S + RED_S)
            cap = max(equilibrium(density) for density in range(1, density_max)) * share
            parts.append(f'<path d="M{origin} {y(cap):.1f}h{width}" stroke="#999" stroke-dasharray="1 3"/>')
        for point in peer.values():
            parts.append(f'<circle cx="{x(point["density"]):.1f}" cy="{y(point["flow"]):.1f}" r="6" fill="none" '
                         'stroke="#d55e00" stroke-width="1.5"/>')
        line = " ".join(f"{x(point['density']):.1f},{y(point['flow']):.1f}" for point in own.values())
        parts.append(f'<polyline points="{line}" fill="none" stroke="#0072b2"/>')
        for point in own.values():
            parts.append(f'<circle cx="{x(point["density"]):.1f}" cy="{y(point["flow"]):.1f}" r="3" fill="#0072b2"/>')
        parts.append(f'<text x="{origin + width / 2}" y="{top + height + 36}" text-anchor="middle">vehicles per km</text>')
    parts.append(f'<text transform="translate(16 {top + height / 2}) rotate(-90)" text-anchor="middle">'
                 "vehicles per hour</text>")
    row = top + height + 60
    parts.append(f'<circle cx="{left + 6}" cy="{row - 4}" r="3" fill="#0072b2"/><text x="{left + 16}" y="{row}">Drover</text>'
                 f'<circle cx="{left + 86}" cy="{row - 4}" r="6" fill="none" stroke="#d55e00" stroke-width="1.5"/>'
                 f'<text x="{left + 98}" y="{row}">SUMO 1.28</text><path d="M{left + 190} {row - 4}h24" stroke="#999" '
                 f'stroke-dasharray="4 3"/><text x="{left + 220}" y="{row}">steady state of the model</text>'
                 f'<path d="M{left + 400} {row - 4}h24" stroke="#999" stroke-dasharray="1 3"/>'
                 f'<text x="{left + 430}" y="{row}">its maximum, for the share of time that is green or amber</text>')
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def main() -> None:
    lab = sys.argv[1]
    panels = []
    within = True
    for title, signal in (("Ring road", False), ("Ring road with a signal", True)):
        own, peer = ours(lab, signal), theirs(signal)
        within &= compare(title, own, peer, signal)
        panels.append((title, own, peer, signal))
    if len(sys.argv) > 2:
        plot(pathlib.Path(sys.argv[2]), panels)
    sys.exit(0 if within else f"a flow is more than {TOLERANCE:.0%} off SUMO's")


if __name__ == "__main__":
    main()
