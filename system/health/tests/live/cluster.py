"""A small cluster as separate processes without a supervisor, so that what is ended stays away until it is started again."""

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.request

ZONE = "drover.internal"
ROUTERS_NAME = f"routers.{ZONE}"
PORTS = {"health": 9998, "persistence": 9601, "gateway": 4433, "router": 4443, "dns": 5300}
ADMIN = 7000


class Cluster:
    """`hosts` gives the address of each node, such as `router/0`, and `inside` what a command is put behind to run there."""

    def __init__(self, program, folder, counts, hosts, inside=lambda node: []):
        self.program, self.folder, self.counts = os.path.abspath(program), pathlib.Path(folder), counts
        self.hosts, self.inside, self.running = hosts, inside, {}
        run = lambda *args: subprocess.run([self.program, *args], check=True, stdout=subprocess.DEVNULL)
        pki = str(self.folder / "pki")
        run("pki", "init", pki)
        run("pki", "secret", pki)
        for node in self.nodes():
            run("pki", "issue", pki, node)
            (self.folder / f"{stem(node)}.toml").write_text(self.config(node))

    def nodes(self, kind=None):
        kinds = [kind] if kind else ["health", "persistence", "gateway", "router", "dns"]
        return [f"{kind}/{index}" for kind in kinds for index in range(self.counts.get(kind, 0))]

    def at(self, node, shift=0):
        return f"{self.hosts(node)}:{PORTS[node.partition('/')[0]] + shift}"

    def admin(self, node):
        order = self.nodes().index(node)
        return f"{self.hosts(node)}:{ADMIN + order}"

    def config(self, node):
        kind = node.partition("/")[0]
        host = self.hosts(node)
        text = [
            f'[tls]\ncertificate = "pki/{stem(node)}.pem"\nkey = "pki/{stem(node)}.key"\nca = "pki/ca.pem"\n',
            f'[process]\nstate_dir = "state/{stem(node)}"\nthreads = 1\nlog = "warn"\nadmin = "{self.admin(node)}"\n',
        ]
        if kind in ("gateway", "router", "dns"):
            text.append('[cluster]\nsecret = "pki/cluster.secret"\n')
        text.append(f'[{kind}]\nlisten = "{self.at(node)}"\n')
        lists = {"gateway": [("persistence", "persistence")], "router": [("gateways", "gateway")]}
        if kind == "health":
            text.append(f'probe_bind = "{host}:0"\n')
        if kind == "gateway":
            routers = ", ".join(f'"{self.at(router, 1000)}"' for router in self.nodes("router"))
            text.append(f'bus_bind = "{host}:0"\nrouters = [{routers}]\n')
        if kind == "router":
            text.append(f'inner = "{self.at(node, 1000)}"\n')
        if kind == "dns":
            text.append('unproven = "answer"\nanswers_per_s = 0\nnodes_max = 16\n')
            for router in self.nodes("router"):
                addr, port = self.hosts(router), PORTS["router"]
                text.append(f'[[dns.nodes]]\nnode = "{router}"\naddrs = ["{addr}"]\nport = {port}\n')
        for key, of in lists.get(kind, []):
            for other in self.nodes(of):
                text.append(f'[[{kind}.{key}]]\nnode = "{other}"\naddr = "{self.at(other)}"\n')
        if kind != "health":
            for agent in self.nodes("health"):
                text.append(f'[[{kind}.discovery.agents]]\nnode = "{agent}"\naddr = "{self.at(agent)}"\n')
        return "\n".join(text)

    def start(self, node):
        kind = node.partition("/")[0]
        with open(self.folder / f"{stem(node)}.log", "ab") as log:
            command = [*self.inside(node), self.program, kind, "--config", str(self.folder / f"{stem(node)}.toml")]
            self.running[node] = subprocess.Popen(command, stdout=log, stderr=log)

    def start_all(self):
        for node in self.nodes():
            self.start(node)
        for node in self.nodes():
            self.wait(lambda: self.is_ready(node), f"{node} is not ready", 30)

    def is_ready(self, node):
        if self.running[node].poll() is not None:
            raise SystemExit(f"{node} has ended:\n{(self.folder / f'{stem(node)}.log').read_text()}")
        try:
            urllib.request.urlopen(f"http://{self.admin(node)}/ready", timeout=1).read()
            return True
        except OSError:
            return False

    def wait(self, what, otherwise, seconds):
        due = time.monotonic() + seconds
        while not what():
            if time.monotonic() > due:
                raise SystemExit(f"{otherwise} after {seconds} s")
            time.sleep(0.02)

    def signal(self, node, number):
        self.running[node].send_signal(number)
        if number == signal.SIGKILL:
            self.running[node].wait()

    def states(self, agent):
        """What an agent says of each node; nothing if it can not be asked."""
        try:
            text = urllib.request.urlopen(f"http://{self.admin(agent)}/status", timeout=0.5).read()
        except OSError:
            return None
        return {node: of["state"] for node, of in json.loads(text).get("nodes", {}).items()}

    def stop(self):
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self.running.values():
            process.wait()


def stem(node):
    return node.replace("/", "-")
