"""A question to a name server and its answer, by UDP or TCP, without any library."""

import ipaddress
import secrets
import socket
import struct

TYPES = {"A": 1, "SOA": 6, "PTR": 12, "AAAA": 28, "SRV": 33}
CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


def resolve(server, name, kind="A", tcp=False, port=53):
    """The code, and the data of the answers as texts, sorted."""
    sent = secrets.token_bytes(2)
    labels = b"".join(bytes([len(label)]) + label for label in name.encode().rstrip(b".").split(b"."))
    question = sent + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, TYPES[kind], 1)
    answer = (by_tcp if tcp else by_udp)(server, port, question)
    assert answer[:2] == sent
    flags, _, count = struct.unpack(">HHH", answer[2:8])
    at = 12 + len(question) - 12
    found = []
    for _ in range(count):
        at = name_at(answer, at)[1]
        type_, _, _, length = struct.unpack(">HHIH", answer[at : at + 10])
        at += 10
        assert type_ == TYPES[kind]
        found.append(data(answer, at, length, kind))
        at += length
    return CODES[flags & 0xF], sorted(found)


def by_udp(server, port, question):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((server, port))
        client.send(question)
        return client.recv(65535)


def by_tcp(server, port, question):
    with socket.create_connection((server, port), timeout=30) as client:
        client.sendall(struct.pack(">H", len(question)) + question)
        stream = client.makefile("rb")
        return stream.read(struct.unpack(">H", stream.read(2))[0])


def data(answer, at, length, kind):
    if kind in ("A", "AAAA"):
        return str(ipaddress.ip_address(answer[at : at + length]))
    if kind == "SRV":
        return "{} {} {} {}".format(*struct.unpack(">HHH", answer[at : at + 6]), name_at(answer, at + 6)[0])
    return name_at(answer, at)[0]


def name_at(answer, at):
    """The name there, and where it ends."""
    labels, end = [], None
    while answer[at]:
        if answer[at] >= 0xC0:
            end = end or at + 2
            at = struct.unpack(">H", answer[at : at + 2])[0] & 0x3FFF
            continue
        labels.append(answer[at + 1 : at + 1 + answer[at]].decode())
        at += 1 + answer[at]
    return ".".join(labels), end or at + 1
