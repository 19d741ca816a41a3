#!/usr/bin/env python3
"""Odd queries (RFC 8906 section 8) as Knot answers them, code and flags; and dig, kdig and dnspython read every record alike.

Needs the `drover` binary as its argument, and dig, kdig, knotd and dnspython; says what is missing and ends with 0 otherwise,
unless DROVER_PEER_REQUIRED is set.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import servers

ODD = {
    "soa": "+noedns +norec soa {zone}",
    "type 1000": "+noedns +norec type1000 {zone}",
    "cd": "+noedns +norec +cd soa {zone}",
    "ad": "+noedns +norec +ad soa {zone}",
    "z": "+noedns +norec +zflag soa {zone}",
    "rd": "+noedns +rec soa {zone}",
    "opcode 15": "+noedns +norec +noad +opcode=15 +header-only",
    "tcp": "+noedns +norec +tcp soa {zone}",
    "edns 0": "+edns=0 +nocookie +norec soa {zone}",
    "edns 1": "+edns=1 +noednsneg +nocookie +norec soa {zone}",
    "option 100": "+edns=0 +nocookie +norec +ednsopt=100 soa {zone}",
    "flag 0x40": "+edns=0 +nocookie +norec +ednsflags=0x40 soa {zone}",
    "edns 1, option": "+edns=1 +noednsneg +nocookie +norec +ednsopt=100 soa {zone}",
    "do, 512": "+edns=0 +nocookie +norec +dnssec +bufsize=512 soa {zone}",
    "nsid, subnet, cookie": "+edns=0 +norec +nsid +subnet=192.0.2.0/24 +cookie soa {zone}",
    "no such name": "+noedns +norec a nothing.{zone}",
    "another zone": "+noedns +norec a example.com",
}

# Names of ours and their types, each answered with records.
RECORDS = [
    ("svc-0", "A"),
    ("svc-0", "AAAA"),
    ("svc-0", "HTTPS"),
    ("_geostream._udp.svc-0", "SRV"),
    ("", "SOA"),
    ("", "NS"),
    ("ns1", "A"),
    ("router-3.nodes", "AAAA"),
]


def dig(port, words):
    command = ["dig", "@127.0.0.1", "-p", str(port), "+tries=1", "+time=5", "+noad", *words.split()]
    return subprocess.run(command, capture_output=True, text=True).stdout


def seen(text):
    """Code, flags and what is in the OPT record but for its options."""
    status = re.search(r"opcode: (\S+), status: (\S+),", text)
    flags = re.search(r";; flags:([^;]*);", text)
    edns = re.search(r"; EDNS: version: (\d+), flags:([^;]*);", text)
    must_be_zero = re.search(r"MBZ: (\S+)", text)
    return (
        status and status.groups(),
        flags and tuple(sorted(flags.group(1).split())),
        edns and (edns.group(1), edns.group(2).split()),
        must_be_zero and must_be_zero.group(1),
    )


def odd(program, folder):
    """Ours by either rule for clients without a cookie: dig comes again by TCP when it is told to."""
    failed = 0
    peer = servers.knot(folder, servers.free_port())
    try:
        for rule in ["truncate", "answer"]:
            ours = servers.drover(program, folder, servers.free_port(), keys=f'unproven = "{rule}"')
            try:
                for what, words in ODD.items():
                    words = words.format(zone=servers.ZONE)
                    one, other = seen(dig(ours.port, words)), seen(dig(peer.port, words))
                    if one != other or one[0] is None:
                        failed += 1
                        print(f"DIFFERS  {rule}, {what}: ours {one}, Knot's {other}")
            finally:
                ours.stop()
    finally:
        peer.stop()
    print(f"{len(ODD)} odd queries by two rules: {2 * len(ODD) - failed} as Knot answers them, {failed} not")
    return failed


def short(command):
    """The data of the answer's records, in order."""
    text = subprocess.run(command, capture_output=True, text=True).stdout
    data = [re.sub(r'(^|\s)(alpn|port|ipv4hint|ipv6hint)="?([^"\s]*)"?', r"\1\2=\3", line) for line in text.splitlines()]
    return sorted(settled(line.strip()) for line in data if line and not line.startswith(";"))


def settled(line):
    """Hints in order: each answer begins with another node."""
    return re.sub(r"(ipv[46]hint=)(\S+)", lambda hint: hint[1] + ",".join(sorted(hint[2].split(","))), line)


def by_dnspython(name, kind, port, tcp):
    import dns.message
    import dns.query
    import dns.rdatatype

    ask = dns.message.make_query(name, kind)
    query = dns.query.tcp if tcp else dns.query.udp
    answer = query(ask, "127.0.0.1", port=port, timeout=5)
    wanted = dns.rdatatype.from_text(kind)
    data = [rdata.to_text() for rrset in answer.answer for rdata in rrset if rrset.rdtype == wanted]
    # As dig writes parameters: without quotes.
    return sorted(settled(text.replace('"', "")) for text in data)


def agreement(program, folder):
    failed = count = 0
    ours = servers.drover(program, folder, servers.free_port(), keys='unproven = "answer"')
    try:
        for below, kind in RECORDS:
            name = f"{below}.{servers.ZONE}." if below else f"{servers.ZONE}."
            for tcp in [False, True]:
                way = "+tcp" if tcp else "+notcp"
                at = ["@127.0.0.1", "-p", str(ours.port), "+short", way, name, kind]
                read = {
                    "dig": short(["dig", "+nocookie", *at]),
                    "kdig": short(["kdig", *at]),
                    "dnspython": by_dnspython(name, kind, ours.port, tcp),
                }
                count += 1
                if not read["dig"] or any(data != read["dig"] for data in read.values()):
                    failed += 1
                    print(f"DIFFERS  {name} {kind} {way}: {read}")
    finally:
        ours.stop()
    print(f"{count} answers: dig, kdig and dnspython read {count - failed} alike")
    return failed


def main():
    lacking = servers.missing(["dig", "kdig", "knotd"])
    try:
        import dns.message  # noqa: F401
    except ImportError:
        lacking.append("dnspython")
    if lacking:
        print(f"skipped: {', '.join(lacking)} not installed (.ci/dns installs them)")
        return 1 if os.environ.get("DROVER_PEER_REQUIRED") else 0
    with tempfile.TemporaryDirectory() as folder:
        program, folder = os.path.abspath(sys.argv[1]), pathlib.Path(folder)
        return min(1, odd(program, folder) + agreement(program, folder))


if __name__ == "__main__":
    sys.exit(main())
