#!/usr/bin/env python3
"""CPU time per query of ours, gdnsd and Knot: the same 200 names, each server on one core, dnsperf on another, by turns.

Needs the release build of `drover` as its argument. Rates are dnsperf's as much as the server's; CPU time is the figure.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import servers

ROUNDS = 5
SPAN_S = 3
SERVER_CORE, CLIENT_CORE = 0, 1
GOALS = {"gdnsd": 1.25, "knot": 1.0}


def queries(path):
    """Each name once, and one in eleven that is not there."""
    lines = []
    for name in range(servers.NAMES):
        lines.append(f"svc-{name}.{servers.ZONE} A")
        if name % 10 == 0:
            lines.append(f"nothing-{name}.{servers.ZONE} A")
    path.write_text("\n".join(lines) + "\n")


def cookie_of(port):
    """A cookie that is good for this machine."""
    at = ["@127.0.0.1", "-p", str(port), "+tcp", "+cookie=0123456789abcdef"]
    text = subprocess.run(["dig", *at, "soa", servers.ZONE], capture_output=True, text=True).stdout
    return re.search(r"COOKIE: ([0-9a-f]{48})", text).group(1)


def measured(server, path, cookie):
    """Microseconds of CPU time per answered query, and answers per second."""
    edns = ["-E", f"10:{cookie}"] if cookie else []
    command = ["taskset", "-c", str(CLIENT_CORE), "dnsperf", "-s", "127.0.0.1", "-p", str(server.port)]
    command += ["-d", str(path), "-l", str(SPAN_S), "-c", "8", "-T", "1", "-q", "400", *edns]
    before = server.cpu_s()
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu_s = server.cpu_s() - before
    count = lambda what: int(re.search(rf"{what}:\s+(\d+)", text).group(1))
    completed, lost = count("Queries completed"), count("Queries lost")
    codes = re.search(r"Response codes:\s+(.*)", text).group(1)
    if lost > completed // 100 or not re.fullmatch(r"NOERROR \d+ \([0-9.]+%\), NXDOMAIN \d+ \([0-9.]+%\)", codes):
        raise SystemExit(f"{server.name}: {lost} lost, {codes}")
    return 1e6 * cpu_s / completed, completed / SPAN_S


def main():
    lacking = servers.missing(["dnsperf", "dig", "gdnsd", "knotd", "taskset"])
    if lacking:
        print(f"skipped: {', '.join(lacking)} not installed (.ci/dns installs them)")
        return 0
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        queries(folder / "queries")
        open_to_all = 'unproven = "answer"\nanswers_per_s = 0'
        running = {
            "drover": servers.drover(program, folder, servers.free_port(), SERVER_CORE, open_to_all),
            "gdnsd": servers.gdnsd(folder, servers.free_port(), SERVER_CORE),
            "knot": servers.knot(folder, servers.free_port(), SERVER_CORE),
        }
        try:
            cookie = cookie_of(running["drover"].port)
            costs = {name: [] for name in [*running, "drover with cookies"]}
            rates = {name: [] for name in costs}
            # The first round warms up.
            for round in range(ROUNDS + 1):
                for name in costs:
                    ours = name.startswith("drover ")
                    server = running["drover" if ours else name]
                    cost, rate = measured(server, folder / "queries", cookie if ours else None)
                    if round > 0:
                        costs[name].append(cost)
                        rates[name].append(rate)
        finally:
            for server in running.values():
                server.stop()
    for name, all_costs in costs.items():
        rate = statistics.median(rates[name])
        print(f"{name}: {statistics.median(all_costs):.2f} us of CPU per query, median of {ROUNDS}; {rate:.0f} per second")
    for peer, goal in GOALS.items():
        ratio = statistics.median(ours / other for ours, other in zip(costs["drover"], costs[peer]))
        print(f"drover / {peer}: {ratio:.2f} (goal {goal})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
