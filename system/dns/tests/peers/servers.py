"""Starts our DNS server and others with the same zone, each in a folder of its own, and stops them again."""

import os
import pathlib
import shutil
import socket
import subprocess
import time

ZONE = "fleet.example"
NAMES = 200


def missing(programs):
    """Those of `programs` that this machine does not have."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [program for program in programs if shutil.which(program, path=path) is None]


def free_port():
    """A port that is free for UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                try:
                    udp.bind(("127.0.0.1", port))
                except OSError:
                    continue
        return port


class Server:
    """A process that answers on a port of 127.0.0.1, on one core if it is told which."""

    def __init__(self, name, port, command, folder, core=None):
        self.name, self.port = name, port
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        self.log = open(folder / f"{name}.log", "wb")
        self.process = subprocess.Popen(pinned + command, stdout=self.log, stderr=subprocess.STDOUT)
        due = time.monotonic() + 15
        while time.monotonic() < due:
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        text = (folder / f"{name}.log").read_text(errors="replace")
        self.stop()
        raise SystemExit(f"{name} does not start:\n{text}")

    def cpu_s(self):
        """User's and system's time of all of its threads so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.log.close()


def addresses(name):
    """The routers behind the name with that number, each time four."""
    return [f"192.0.2.{1 + (name + turn * 7) % 40}" for turn in range(4)]


def zone_file(path):
    """What a server with zone files needs to answer as ours does."""
    lines = [
        f"$ORIGIN {ZONE}.",
        "$TTL 10",
        "@ IN SOA ns1 hostmaster 1 10 10 100 5",
        "@ IN NS ns1",
        "ns1 IN A 127.0.0.1",
    ]
    for name in range(NAMES):
        lines += [f"svc-{name} IN A {addr}" for addr in addresses(name)]
        lines += [f"svc-{name} IN AAAA 2001:db8::{addr.rpartition('.')[2]}" for addr in addresses(name)]
    path.write_text("\n".join(lines) + "\n")


def drover(program, folder, port, core=None, keys=""):
    """Ours. `keys` are more lines of [dns]."""
    run = lambda *args: subprocess.run([program, *args], check=True, stdout=subprocess.DEVNULL)
    pki = folder / "pki"
    if not pki.exists():
        run("pki", "init", str(pki))
        run("pki", "secret", str(pki))
        run("pki", "issue", str(pki), "dns/0")
    text = [
        '[tls]\ncertificate = "pki/dns-0.pem"\nkey = "pki/dns-0.key"\nca = "pki/ca.pem"\n',
        '[process]\nstate_dir = "state"\nthreads = 1\nlog = "warn"\n',
        '[cluster]\nsecret = "pki/cluster.secret"\n',
        f'[dns]\nlisten = "127.0.0.1:{port}"\nzone = "{ZONE}"\ncontact = "hostmaster.{ZONE}"\n{keys}\n',
        '[[dns.nameservers]]\nname = "ns1"\naddrs = ["127.0.0.1"]\n',
    ]
    for node in range(40):
        addr = f"192.0.2.{node + 1}"
        text.append(
            f'[[dns.nodes]]\nnode = "router/{node}"\naddrs = ["{addr}", "2001:db8::{node + 1}"]\nport = 443\n'
        )
    for name in range(NAMES):
        nodes = [f'"router/{int(addr.rpartition(".")[2]) - 1}"' for addr in addresses(name)]
        text.append(
            f'[[dns.names]]\nname = "svc-{name}"\nkind = "router"\nnodes = [{", ".join(nodes)}]\n'
            'service = "_geostream._udp"\nalpn = ["h3"]\n'
        )
    config = folder / f"dns-{port}.toml"
    config.write_text("\n".join(text))
    return Server("drover", port, [program, "dns", "--config", str(config)], folder, core)


def knot(folder, port, core=None):
    zone_file(folder / "knot.zone")
    config = folder / "knot.conf"
    config.write_text(
        f"server:\n    rundir: {folder}\n    listen: 127.0.0.1@{port}\n    udp-workers: 1\n    tcp-workers: 1\n"
        "    background-workers: 1\n    identity: \"\"\n    nsid: \"\"\n"
        f"database:\n    storage: {folder}\n"
        f"zone:\n  - domain: {ZONE}\n    file: {folder}/knot.zone\n"
        "    journal-content: none\n    zonefile-sync: -1\n"
    )
    return Server("knot", port, ["/usr/sbin/knotd", "-c", str(config)], folder, core)


def gdnsd(folder, port, core=None):
    home = folder / "gdnsd"
    (home / "zones").mkdir(parents=True, exist_ok=True)
    zone_file(home / "zones" / ZONE)
    (home / "config").write_text(
        f"options => {{ listen => 127.0.0.1:{port}, udp_threads => 1, tcp_threads => 1, "
        f"run_dir => {home}/run, state_dir => {home}/state }}\n"
    )
    return Server("gdnsd", port, ["/usr/sbin/gdnsd", "-c", str(home), "start"], folder, core)
