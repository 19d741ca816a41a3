"""A foreign client of the live map: `websockets` (PyPI) against real processes, with a vehicle that drives.

Usage: websockets_client.py PATH_OF_DROVER. Needs websockets and cryptography (PyPI). Exits with 0 if the client is shown what its token
is good for and nothing else, in all three forms, and if whoever breaks the protocol (RFC 6455) is told so by the right code.
"""

import asyncio
import base64
import hashlib
import json
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

PATIENCE_S = 60
VEHICLE = "VAN-001"
# The first port that `drover init` takes, and how many; a hub takes clients and answers its operator at these places.
PORTS = 160
CLIENTS, ADMIN = 130, 150


def free_ports() -> int:
    """The first of as many ports in a row as a cluster takes."""
    for _ in range(200):
        first = random.randrange(20_000, 32_000)
        try:
            for port in range(first, first + PORTS, 10):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no ports are free")


def run(*args) -> str:
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs tokens by the cluster's key (RFC 7515, ES256), without our code."""

    def __init__(self, folder: pathlib.Path):
        self.key = serialization.load_pem_private_key((folder / "pki/tokens.key").read_bytes(), None)
        self.kid = json.loads((folder / "pki/tokens.jwks").read_text())["keys"][0]["kid"]

    def token(self, key=None, **claims) -> str:
        now = int(time.time())
        said = {"iss": "drover", "sub": "foreign", "iat": now, "exp": now + 600, "tenant": "demo", "role": "dispatcher"}
        said.update(claims)
        header = {"alg": "ES256", "typ": "JWT", "kid": self.kid}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, said))
        r, s = decode_dss_signature((key or self.key).sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return signed + "." + encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


class Cluster:
    """All services of the shipped binary under its supervisor, and a vehicle."""

    def __init__(self, drover: str, folder: pathlib.Path):
        first = free_ports()
        run(drover, "init", folder, "--vehicle", f"demo/{VEHICLE}", "--port", str(first))
        self.url = f"ws://127.0.0.1:{first + CLIENTS}/live-map"
        self.admin = f"http://127.0.0.1:{first + ADMIN}"
        self.log = open(folder / "up.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen([drover, "up", folder], stdout=self.log, stderr=self.log)

    async def ready(self) -> None:
        for _ in range(PATIENCE_S * 10):
            try:
                with urllib.request.urlopen(self.admin + "/ready", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            assert self.process.poll() is None, self.text()
            await asyncio.sleep(0.1)
        raise AssertionError(f"the hub is not ready:\n{self.text()}")

    def metrics(self) -> str:
        with urllib.request.urlopen(self.admin + "/metrics", timeout=5) as answer:
            return answer.read().decode()

    def text(self) -> str:
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(encoding="utf-8")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        assert code == 0, f"exit code {code}:\n{self.text()}"


def bearer(token: str) -> dict:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


async def read(client, wanted: str) -> dict:
    """The next text message of a type."""

    async def until():
        async for message in client:
            if isinstance(message, str):
                message = json.loads(message)
                if message["type"] == wanted:
                    return message
        raise AssertionError(f"closed before {wanted}: {client.close_code} {client.close_reason}")

    return await asyncio.wait_for(until(), PATIENCE_S)


async def say(client, **message) -> None:
    await client.send(json.dumps(message))


async def closed(client) -> int:
    """The code that the hub closes with."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await client.recv()
    except ConnectionClosed:
        return client.close_code


async def sees_json(url: str, token: str) -> None:
    async with connect(url, subprotocols=["drover.json"], **bearer(token)) as client:
        assert client.subprotocol == "drover.json"
        # What both could compress the hub declines (RFC 7692).
        assert not client.protocol.extensions
        welcome = await read(client, "welcome")
        await say(client, action="SUBSCRIBE", topic="live_updates:all", id=1)
        assert (await read(client, "subscribed"))["id"] == 1
        snapshot = await read(client, "snapshot")
        assert all(feature["id"] == VEHICLE for feature in snapshot["features"])
        times, seq = [], 0
        while len(times) < 3:
            update = await read(client, "update")
            assert update["seq"] > seq
            seq = update["seq"]
            for feature in update["features"]:
                assert feature["type"] == "Feature" and feature["id"] == VEHICLE
                assert feature["geometry"]["type"] == "Point" and len(feature["geometry"]["coordinates"]) == 2
                times.append(feature["properties"]["time_ms"])
        assert times == sorted(set(times)), times
        # The link is lost, without a goodbye.
        client.transport.abort()
    async with connect(url, subprotocols=["drover.json"], **bearer(token)) as client:
        await say(client, action="RESUME", session=welcome["session"], seq=seq, id=2)
        assert (await read(client, "resumed"))["resumed"] is True
        update = await read(client, "update")
        assert update["features"][0]["properties"]["time_ms"] > times[-1]


async def sees_features(url: str, token: str) -> None:
    """The first contract: who it is in the first message, and bare features."""
    async with connect(url) as client:
        await say(client, action="AUTHENTICATE", token=token)
        await say(client, action="SUBSCRIBE", topic=f"vehicle:{VEHICLE}")
        feature = await read(client, "Feature")
        assert feature["id"] == VEHICLE and abs(feature["properties"]["timestamp"] - time.time()) < 60, feature


async def sees_binary(url: str, token: str) -> None:
    async with connect(url, subprotocols=["drover.json", "drover.bin"], **bearer(token)) as client:
        assert client.subprotocol == "drover.bin"
        await say(client, action="SUBSCRIBE", topic=f"vehicle:{VEHICLE}")
        handles, records = {}, 0
        async with asyncio.timeout(PATIENCE_S):
            async for message in client:
                if isinstance(message, str):
                    handles.update(json.loads(message).get("handles", {}))
                    continue
                kind, flags, size, _, server_ms = struct.unpack_from("<BBHId", message)
                assert (kind, size) == (1, 24) and (len(message) - 16) % size == 0
                handle, lon, lat, *_, low_ms = struct.unpack_from("<IiiHHBBHI", message, 16)
                assert handles[str(handle)] == VEHICLE
                assert abs(lat) <= 90e7 and abs(lon) <= 180e7 and lat and lon
                assert (int(server_ms) - low_ms) % 2**32 < 3_600_000, "the fix is of this hour"
                records += flags == 0
                if records == 2:
                    return


async def refused(url: str, token: str) -> None:
    try:
        async with connect(url, **bearer(token)):
            raise AssertionError("let in")
    except InvalidStatus as error:
        answer = error.response
        assert answer.status_code == 403, answer.status_code
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert json.loads(answer.body)["status"] == 403


async def others_are_refused(url: str, issuer: Issuer) -> None:
    past = int(time.time()) - 3_600
    stranger = ec.generate_private_key(ec.SECP256R1())
    await refused(url, issuer.token(iat=past - 600, exp=past))
    await refused(url, issuer.token(key=stranger))
    await refused(url, issuer.token(iss="somebody"))
    await refused(url, "guessed")
    # Without a token: not in time, and nothing before.
    async with connect(url) as client:
        await say(client, action="SUBSCRIBE", topic="live_updates:all")
        assert (await read(client, "error"))["code"] == "unauthenticated"
        assert await closed(client) == 4401
    async with connect(url) as client:
        await say(client, action="AUTHENTICATE", token=issuer.token(iat=past - 600, exp=past))
        assert (await read(client, "error"))["code"] == "expired"
        assert await closed(client) == 4403
    # Another tenant has no such vehicle, and hears nothing of it.
    async with connect(url, subprotocols=["drover.json"], **bearer(issuer.token(tenant="other"))) as client:
        for topic in ("live_updates:all", f"vehicle:{VEHICLE}"):
            await say(client, action="SUBSCRIBE", topic=topic)
            assert (await read(client, "snapshot"))["features"] == []
        try:
            async with asyncio.timeout(3):
                raise AssertionError(f"told {await client.recv()}")
        except TimeoutError:
            pass
    # A driver sees their own vehicle.
    driver = issuer.token(role="driver", vehicle="VAN-999")
    async with connect(url, subprotocols=["drover.json"], **bearer(driver)) as client:
        await say(client, action="SUBSCRIBE", topic=f"vehicle:{VEHICLE}", id=9)
        error = await read(client, "error")
        assert (error["id"], error["code"]) == (9, "forbidden"), error


async def rules_are_kept(url: str, token: str) -> None:
    """RFC 6455: what a client may do, and what it is told that does something else."""
    async with connect(url, **bearer(token)) as client:
        # In fragments, with a ping between them (sections 5.4 and 5.5).
        await client.send(['{"action":', '"PING",', '"id":3}'])
        assert (await read(client, "pong"))["id"] == 3
        await asyncio.wait_for(await client.ping(b"are you there?"), PATIENCE_S)
        await client.close(1000, "enough")
        assert client.close_code == 1000

    def frame(opcode: Opcode, data: bytes, mask: bool = True, fin: bool = True) -> bytes:
        return Frame(opcode, data, fin).serialize(mask=mask)

    text, more = Opcode.TEXT, Opcode.CONT
    cases = [
        ("not masked", 1002, frame(text, b"x", mask=False)),
        ("goes on with nothing", 1002, frame(more, b"x")),
        ("begins twice", 1002, frame(text, b"x", fin=False) + frame(text, b"y")),
        ("not UTF-8", 1007, frame(text, b"\xc3\x28")),
        ("not UTF-8 in the second fragment", 1007, frame(text, b"\xc3", fin=False) + frame(more, b"\x28")),
        ("binary", 1003, frame(Opcode.BINARY, b"x")),
        ("too large", 1009, frame(text, b"x" * 20_000)),
        ("too large in fragments", 1009, frame(text, b"x" * 9_000, fin=False) + frame(more, b"x" * 9_000)),
        ("a close of one byte", 1002, frame(Opcode.CLOSE, b"\x03")),
        ("a close code that nobody may send", 1002, frame(Opcode.CLOSE, struct.pack(">H", 1005))),
    ]
    for what, code, data in cases:
        async with connect(url, **bearer(token)) as client:
            await read(client, "welcome")
            client.transport.write(data)
            found = await closed(client)
            assert found == code, f"{what}: closed with {found}, not {code}"


async def main(drover: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "cluster"
        cluster = Cluster(drover, folder)
        try:
            await cluster.ready()
            issuer = Issuer(folder)
            ours = run(drover, "token", "--key", folder / "pki", "--tenant", "demo")
            for token in (ours, issuer.token()):
                await sees_json(cluster.url, token)
            await sees_features(cluster.url, ours)
            await sees_binary(cluster.url, ours)
            await others_are_refused(cluster.url, issuer)
            await rules_are_kept(cluster.url, ours)
            metrics = cluster.metrics()
            assert hashlib.sha256(ours.encode()).hexdigest() not in metrics, "names of tokens are no labels"
            counted = [line for line in metrics.splitlines() if "hub_refused" in line.replace(".", "_") and line[0] != "#"]
            assert sum(float(line.split()[-1]) for line in counted) >= 5, metrics
        except BaseException:
            cluster.process.kill()
            print(cluster.text(), file=sys.stderr)
            raise
        cluster.stop()
    print(
        "websockets: a vehicle was seen in JSON, as features and in binary records, by tokens of ours and of a foreign signer; eight "
        "others were refused or shown nothing, and ten breaches of RFC 6455 closed with their codes"
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
