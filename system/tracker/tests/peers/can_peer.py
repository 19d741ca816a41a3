"""The other side of tests/it/can_peer.rs: cantools, which shares no code with ours.

    can_peer.py random DBC COUNT SEED   random frames of the file's messages
    can_peer.py log DBC LOG             the frames of a candump log

Writes a line for each frame: identifier and bytes as candump has them, then name and value of each signal; or `!` where
cantools refuses the frame because no signal is multiplexed by the value of its switch.
"""

import random
import sys

import cantools

EXTENDED = 1 << 31


def is_j1939(message):
    return message.protocol == "j1939"


def any_sender(message, rng):
    """The identifier of some frame of a message: a J1939 group has any priority, sender and (PDU1) destination."""
    identifier = message.frame_id
    if is_j1939(message):
        identifier = identifier & 0x03FFFF00 | rng.randrange(8) << 26 | rng.randrange(254)
        if identifier >> 16 & 0xFF < 240:
            identifier = identifier & ~0xFF00 | rng.randrange(256) << 8
    return identifier


def line(identifier, extended, data, decoded):
    width = 8 if extended else 3
    text = f"{identifier:0{width}X}#{bytes(data).hex().upper()}"
    if decoded is None:
        return f"{text} !"
    return " ".join([text] + [f"{name}={float(value)!r}" for name, value in decoded.items()])


def decode(message, data):
    try:
        return message.decode(data, decode_choices=False, allow_truncated=True)
    except cantools.database.errors.DecodeError as error:
        if "multiplexer id" not in str(error):
            raise
        return None


def switches(signals, path=()):
    """Every way through a message's switches, as the raw values to set."""
    yield path
    for entry in signals:
        if isinstance(entry, dict):
            for switch, choices in entry.items():
                for value, below in choices.items():
                    yield from switches(below, path + ((switch, value),))


def set_raw(message, data, name, value):
    """Puts a switch's bits into random bytes."""
    signal = message.get_signal_by_name(name)
    big = signal.byte_order == "big_endian"
    whole = int.from_bytes(data, "big" if big else "little")
    if big:
        first = signal.start // 8 * 8 + 7 - signal.start % 8
        shift = len(data) * 8 - first - signal.length
    else:
        shift = signal.start
    mask = ((1 << signal.length) - 1) << shift
    whole = whole & ~mask | value << shift
    return whole.to_bytes(len(data), "big" if big else "little")


def random_frames(database, count, seed):
    rng = random.Random(seed)
    messages = [message for message in database.messages if message.signals]
    for _ in range(count):
        message = rng.choice(messages)
        data = rng.randbytes(message.length)
        if message.is_multiplexed():
            ways = list(switches(message.signal_tree))
            if rng.random() < 0.9:
                for name, value in rng.choice(ways):
                    data = set_raw(message, data, name, value)
        elif rng.random() < 0.1:
            data = data[: rng.randrange(message.length)]
        yield line(any_sender(message, rng), message.is_extended_frame, data, decode(message, data))


def log_frames(database, path):
    groups = {message.frame_id & 0x03FFFF00: message for message in database.messages if is_j1939(message)}
    plain = {
        (message.frame_id, message.is_extended_frame): message
        for message in database.messages
        if not is_j1939(message)
    }
    with open(path, encoding="ascii") as log:
        for text in log:
            head, data = text.split()[2].split("#")
            identifier, extended, data = int(head, 16), len(head) == 8, bytes.fromhex(data)
            message = plain.get((identifier, extended))
            if message is None and extended:
                group = identifier & 0x03FFFF00
                message = groups.get(group if group >> 16 & 0xFF >= 240 else group & ~0xFF00)
            if message is not None:
                yield line(identifier, extended, data, decode(message, data))


if __name__ == "__main__":
    mode, dbc, *rest = sys.argv[1:]
    loaded = cantools.database.load_file(dbc)
    lines = random_frames(loaded, int(rest[0]), int(rest[1])) if mode == "random" else log_frames(loaded, rest[0])
    for written in lines:
        sys.stdout.write(written + "\n")
