"""A foreign vehicle: aioquic sends the contracts' golden report to real processes, to a gateway itself and through a router.

Usage: aioquic_vehicle.py PATH_OF_DROVER. Needs aioquic (PyPI). Exits with 0 if the report is stored once and acknowledged
as the contracts say, also from another address than the session began at.
"""

import asyncio
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived

# TRUCK-042 at 48.8584, 2.2945, 85 km/h, 1749600000: contracts, section 1.
GOLDEN = bytes.fromhex("0a09545255434b2d3034321176711b0de06d4840194260e5d0225b0240205528808ea3c206")
ACK_OK = bytes.fromhex("0a024f4b")
PATIENCE_S = 20


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """One real process of the shipped binary."""

    def __init__(self, drover: str, kind: str, config: pathlib.Path):
        checked = subprocess.run([drover, kind, "--config", config, "--check-config"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        self.log = open(config.with_suffix(".log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([drover, kind, "--config", config], stderr=self.log)

    def text(self) -> str:
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(encoding="utf-8")

    async def says(self, words: str) -> None:
        for _ in range(PATIENCE_S * 50):
            if words in self.text():
                return
            assert self.process.poll() is None, self.text()
            await asyncio.sleep(0.02)
        raise AssertionError(f"{words!r} was not logged:\n{self.text()}")

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        assert code == 0, f"exit code {code}:\n{self.text()}"
        return self.text()


class Vehicle(QuicConnectionProtocol):
    """Sends a report on a stream of its own; waits for a stream of the gateway."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.streams: dict[int, bytes] = {}
        self.answers: asyncio.Queue = asyncio.Queue()

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            self.streams[event.stream_id] = self.streams.get(event.stream_id, b"") + event.data
            if event.end_stream:
                self.answers.put_nowait(self.streams.pop(event.stream_id))
        elif isinstance(event, ConnectionTerminated):
            self.answers.put_nowait(AssertionError(f"the gateway closed the connection: {event.reason_phrase}"))

    async def migrate(self) -> None:
        """Goes on from another port, under another connection id, as a vehicle in another network."""
        old = self._transport
        self._quic.change_connection_id()
        loop = asyncio.get_running_loop()
        # As aioquic makes its own: for both families.
        fresh = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        fresh.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        fresh.bind(("::", 0, 0, 0))
        self._transport, _ = await loop.create_datagram_endpoint(lambda: Relay(self), sock=fresh)
        old.close()

    def connection_lost(self, exc):
        """The socket of before is gone on purpose."""

    async def report(self, body: bytes) -> bytes:
        stream = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self._quic.send_stream_data(stream, body, end_stream=True)
        self.transmit()
        answer = await asyncio.wait_for(self.answers.get(), PATIENCE_S)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Relay(asyncio.DatagramProtocol):
    """Another socket of the same vehicle."""

    def __init__(self, vehicle: Vehicle):
        self.vehicle = vehicle

    def datagram_received(self, data, addr):
        self.vehicle.datagram_received(data, addr)


def write_configs(drover: str, folder: pathlib.Path) -> tuple[dict[str, pathlib.Path], int, int]:
    def run(*args):
        done = subprocess.run([drover, *args], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    pki = folder / "pki"
    run("pki", "init", pki)
    run("pki", "secret", pki)
    for who in ["router/0", "gateway/0", "persistence/0", "acme/TRUCK-042"]:
        run("pki", "issue", pki, who)
    vehicles, bus, outer, inner = free_port(), free_port(), free_port(), free_port()

    def config(kind: str, text: str) -> pathlib.Path:
        path = folder / f"{kind}.toml"
        tls = f'[tls]\ncertificate = "pki/{kind}-0.pem"\nkey = "pki/{kind}-0.key"\nca = "pki/ca.pem"\n'
        state = f'[process]\nstate_dir = "state-{kind}"\nlog = "info"\n'
        cluster = "" if kind == "persistence" else '[cluster]\nsecret = "pki/cluster.secret"\n'
        path.write_text(f"{tls}{state}{cluster}[{kind}]\n{text}", encoding="utf-8")
        return path

    peer = f'[[gateway.persistence]]\nnode = "persistence/0"\naddr = "127.0.0.1:{bus}"\n'
    behind = f'[[router.gateways]]\nnode = "gateway/0"\naddr = "127.0.0.1:{vehicles}"\n'
    listen = f'listen = "127.0.0.1:{vehicles}"\nrouters = ["127.0.0.1:{inner}"]\nbus_bind = "127.0.0.1:0"\n'
    configs = {
        "persistence": config("persistence", f'listen = "127.0.0.1:{bus}"\n'),
        "gateway": config("gateway", listen + peer),
        "router": config("router", f'listen = "127.0.0.1:{outer}"\ninner = "127.0.0.1:{inner}"\n{behind}'),
    }
    return configs, vehicles, outer


async def drive(folder: pathlib.Path, port: int) -> None:
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=["geostream/1.0"], server_name="gateway.drover.internal"
    )
    configuration.load_cert_chain(folder / "pki/acme-TRUCK-042.pem", folder / "pki/acme-TRUCK-042.key")
    configuration.load_verify_locations(str(folder / "pki/ca.pem"))
    configuration.verify_mode = ssl.CERT_REQUIRED
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Vehicle) as vehicle:
        # The second one is what a vehicle that lost its acknowledgement sends, the third comes from another address.
        for moves in [False, False, True]:
            if moves:
                await vehicle.migrate()
            answer = await vehicle.report(GOLDEN)
            assert answer == ACK_OK, f"answered {answer.hex()}, not {ACK_OK.hex()}"


async def main(drover: str) -> None:
    assert len(GOLDEN) == 37
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        configs, direct, routed = write_configs(drover, folder)
        services = {kind: Service(drover, kind, path) for kind, path in configs.items()}
        try:
            await services["persistence"].says("persistence agent listens")
            await services["gateway"].says("gateway listens")
            await services["router"].says("router listens")
            await drive(folder, direct)
            await drive(folder, routed)
        except BaseException:
            for service in services.values():
                service.process.kill()
                print(service.text(), file=sys.stderr)
            raise
        log = services["router"].stop()
        assert '"router.routed"' in log and '"router.dropped' not in log, log
        services["gateway"].stop()
        log = services["persistence"].stop()
        assert "rows=1 dead_letters=0" in log, log
    print(
        "aioquic: the golden 37 bytes were sent six times, to a gateway and through a router, from two addresses each; stored "
        "once and acknowledged with 0a024f4b each time"
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
