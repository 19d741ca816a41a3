"""The other side of tests/it/peer.rs: Google's protobuf, which shares no code with drover-wire.

    peer.py SCHEMA check             reads messages, compares their fields, writes them back
    peer.py SCHEMA make SEED COUNT   writes random messages

SCHEMA is fixtures/wire/geo_telemetry.proto; the classes are made from it here, without protoc. All records are a length
(4 bytes, little endian) and that many bytes. A message is three records: the name of its schema, its encoding, and its
flat form, in which each value is its tag (1 byte) and plain little-endian bytes (numbers 8, floats 4, bools 1, texts and
messages their length in 4 bytes and themselves).
"""

import random
import re
import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto
TYPES = {
    "string": FIELD.TYPE_STRING,
    "bytes": FIELD.TYPE_BYTES,
    "double": FIELD.TYPE_DOUBLE,
    "float": FIELD.TYPE_FLOAT,
    "bool": FIELD.TYPE_BOOL,
    "sint32": FIELD.TYPE_SINT32,
    "uint32": FIELD.TYPE_UINT32,
    "uint64": FIELD.TYPE_UINT64,
}
U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")
I64 = struct.Struct("<q")
F32 = struct.Struct("<f")
F64 = struct.Struct("<d")


def read_schema(text):
    """Reads the part of the proto3 language that the schema uses, and refuses all else."""
    file = descriptor_pb2.FileDescriptorProto(name="geo_telemetry.proto", syntax="proto3")
    file.package = re.search(r"^package ([\w.]+);$", text, re.MULTILINE)[1]
    message = None
    for line in text.splitlines():
        line = line.split("//")[0].strip()
        if not line or line.startswith(("syntax ", "package ")):
            continue
        if found := re.fullmatch(r"message (\w+) \{", line):
            message = file.message_type.add(name=found[1])
        elif found := re.fullmatch(r"(optional|repeated) (\w+) (\w+) = (\d+);", line):
            label, type_name, name, number = found.groups()
            field = message.field.add(name=name, number=int(number))
            if type_name in TYPES:
                field.type = TYPES[type_name]
            else:
                field.type = FIELD.TYPE_MESSAGE
                field.type_name = f".{file.package}.{type_name}"
            if label == "repeated":
                field.label = FIELD.LABEL_REPEATED
            else:
                field.label = FIELD.LABEL_OPTIONAL
                # How protoc itself expresses `optional` in proto3.
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{name}")
        elif line != "}":
            raise SystemExit(f"the schema has a line that is not understood: {line}")
    return file


class Schema:
    """One message: its class, and its fields as (tag, name, type, repeated, schema of a sub-message)."""

    def __init__(self, file, proto, classes, schemas):
        self.name = proto.name
        self.new = classes[f"{file.package}.{proto.name}"]
        self.fields = {}
        for field in proto.field:
            inside = schemas.get(field.type_name.rsplit(".")[-1])
            self.fields[field.number] = (
                field.number,
                field.name,
                field.type,
                field.label == FIELD.LABEL_REPEATED,
                inside,
            )


def load(path):
    with open(path, encoding="utf-8") as text:
        file = read_schema(text.read())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    classes = message_factory.GetMessageClassesForFiles([file.name], pool)
    schemas = {}
    # A sub-message may be defined after its user.
    waiting = list(file.message_type)
    while waiting:
        proto = waiting.pop(0)
        inside = [f.type_name.rsplit(".")[-1] for f in proto.field if f.type == FIELD.TYPE_MESSAGE]
        if all(name in schemas for name in inside):
            schemas[proto.name] = Schema(file, proto, classes, schemas)
        else:
            waiting.append(proto)
    return schemas


def flat_value(kind, inside, value):
    if kind in (FIELD.TYPE_UINT32, FIELD.TYPE_UINT64):
        return U64.pack(value)
    if kind == FIELD.TYPE_SINT32:
        return I64.pack(value)
    if kind == FIELD.TYPE_DOUBLE:
        return F64.pack(value)
    if kind == FIELD.TYPE_FLOAT:
        return F32.pack(value)
    if kind == FIELD.TYPE_BOOL:
        return b"\1" if value else b"\0"
    if kind == FIELD.TYPE_STRING:
        value = value.encode()
    elif kind == FIELD.TYPE_MESSAGE:
        value = flat(inside, value)
    return U32.pack(len(value)) + value


def flat(schema, message):
    parts = []
    for field, value in message.ListFields():
        tag, _, kind, repeated, inside = schema.fields[field.number]
        for element in value if repeated else (value,):
            parts.append(bytes((tag,)))
            parts.append(flat_value(kind, inside, element))
    return b"".join(parts)


def read_record(stream):
    header = stream.read(4)
    if not header:
        return None
    (length,) = U32.unpack(header)
    record = stream.read(length)
    if len(record) != length:
        raise SystemExit("the stream ends inside a record")
    return record


def write_record(stream, record):
    stream.write(U32.pack(len(record)))
    stream.write(record)


def check(schemas, source, sink):
    count = 0
    while (name := read_record(source)) is not None:
        encoded, expected = read_record(source), read_record(source)
        schema = schemas[name.decode()]
        message = schema.new.FromString(encoded)
        found = flat(schema, message)
        if found != expected:
            raise SystemExit(
                f"message {count}, {schema.name} {encoded.hex()}:\n"
                f"protobuf reads {found.hex()}\nexpected was   {expected.hex()}\n{message}"
            )
        write_record(sink, message.SerializeToString())
        count += 1


EDGES = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324, 1.7976931348623157e308]


def make_value(rng, kind, inside):
    if kind == FIELD.TYPE_UINT32:
        return rng.getrandbits(rng.randrange(33))
    if kind == FIELD.TYPE_SINT32:
        return rng.getrandbits(rng.randrange(32)) * rng.choice((1, -1))
    if kind == FIELD.TYPE_UINT64:
        return rng.getrandbits(rng.randrange(65))
    if kind == FIELD.TYPE_DOUBLE:
        return rng.choice(EDGES) if rng.random() < 0.25 else rng.uniform(-180, 180)
    if kind == FIELD.TYPE_FLOAT:
        return rng.choice(EDGES[:5]) if rng.random() < 0.25 else rng.uniform(-60, 8000)
    if kind == FIELD.TYPE_BOOL:
        return rng.random() < 0.5
    if kind == FIELD.TYPE_BYTES:
        return rng.randbytes(20_000 if rng.random() < 0.01 else rng.randrange(32))
    if kind == FIELD.TYPE_STRING:
        alphabet = rng.choice(("ABCXYZabcxyz0189-_. ", "aß€\U0001f69a\0\x7f\u07ff\ud7ff\ue000\uffff\U0010ffff"))
        return "".join(rng.choices(alphabet, k=300 if rng.random() < 0.01 else rng.randrange(12)))
    return make_message(rng, inside)


def make_message(rng, schema):
    message = schema.new()
    for _, name, kind, repeated, inside in schema.fields.values():
        if repeated:
            length = 40 if rng.random() < 0.02 else rng.randrange(4)
            getattr(message, name).extend([make_value(rng, kind, inside) for _ in range(length)])
        elif rng.random() < 0.75:
            setattr(message, name, make_value(rng, kind, inside))
    return message


def make(schemas, sink, seed, count):
    rng = random.Random(seed)
    kinds = list(schemas.values())
    for _ in range(count):
        schema = rng.choice(kinds)
        message = make_message(rng, schema)
        write_record(sink, schema.name.encode())
        write_record(sink, message.SerializeToString())
        write_record(sink, flat(schema, message))


def main():
    schemas = load(sys.argv[1])
    if sys.argv[2] == "check":
        check(schemas, sys.stdin.buffer, sys.stdout.buffer)
    else:
        make(schemas, sys.stdout.buffer, int(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.buffer.flush()


main()
