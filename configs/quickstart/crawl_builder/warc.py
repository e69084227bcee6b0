"""How do captures become WARC bytes? One gzip member per record, as Common Crawl writes them, with fixed times."""

import base64
import hashlib
import struct
import zlib
from dataclasses import dataclass, field

from .seeded import record_uuid

MEMBER_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03"  # gzip, deflate, no time, best compression, Unix
START_SECONDS = 10 * 3600  # of 2024-03-01, when the made-up crawl begins


@dataclass
class Capture:
    """One fetched URL, and what the person who planted it expects of a FineWeb-like recipe."""

    url: str
    body: bytes
    language: str = "-"
    kind: str = "page"
    expected: str = "kept"
    charset: str = "-"  # how the bytes are encoded
    declared: str = "-"  # what the page says: header:X, meta:X, both joined by +, or none
    status: str = "200 OK"
    headers: list = field(default_factory=lambda: [("Content-Type", "text/html")])
    truncated: bool = False  # the crawler's limit cut the body
    damaged: bool = False  # the gzip member's bytes are flipped
    file: int = -1  # which WARC file; -1: by turns
    payload_type: str = "text/html"  # what the crawler took the body for; empty: it did not say


@dataclass
class Placed:
    """Where a capture's response record ended up."""

    warc: str
    record_index: int
    record_id: str
    capture: Capture


def digest(data):
    """The sha1 of `data` as WARC headers spell it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def timestamp(tick):
    """The made-up time of the `tick`th record, three seconds apart."""
    seconds = START_SECONDS + 3 * tick
    return f"2024-03-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"


def gzip_member(data):
    """One gzip member. Header without time or name; deflate level 9."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(data) + deflate.flush()
    return MEMBER_HEADER + packed + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def damage(member):
    """`member` with 48 bytes in its middle flipped so that its deflate stream is invalid, not only its checksum."""
    middle = len(member) // 2
    for mask in range(1, 256):
        broken = member[:middle] + bytes(byte ^ mask for byte in member[middle : middle + 48]) + member[middle + 48 :]
        try:
            zlib.decompressobj(-15).decompress(broken[len(MEMBER_HEADER) :])
        except zlib.error:
            return broken
    raise SystemExit("the damaged record inflates whatever is flipped: choose other bytes")


def inflated(data):
    """The contents of each gzip member in `data`; None for one that does not inflate."""
    contents = []
    while data:
        inflater = zlib.decompressobj(31)
        try:
            contents.append(inflater.decompress(data))
            data = inflater.unused_data
        except zlib.error:
            contents.append(None)
            following = data.find(MEMBER_HEADER, len(MEMBER_HEADER))
            data = data[following:] if following > 0 else b""
    return contents


def record(kind, tick, headers, block):
    """A WARC record's id and bytes. Its id comes from its content and its time."""
    identity = record_uuid(kind.encode() + str(tick).encode() + repr(headers).encode() + block)
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Date: {timestamp(tick)}",
        f"WARC-Record-ID: <urn:uuid:{identity}>",
        f"Content-Length: {len(block)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"WARC-Block-Digest: {digest(block)}")
    return f"<urn:uuid:{identity}>", "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def host_of(url):
    """The host name in `url`."""
    return url.split("/")[2].split(":")[0]


def address_of(host):
    """A made-up IPv4 address from the block reserved for documentation."""
    return f"192.0.2.{1 + hashlib.sha256(host.encode()).digest()[0] % 254}"


def write(name, captures, tick):
    """The bytes of the WARC file `name` with `captures` in order, where each stands, and the next tick."""
    info = (
        "software: configs/quickstart/build_crawl.py\r\n"
        "description: made-up pages for the quickstart; no page was ever fetched\r\n"
        "format: WARC File Format 1.0\r\n"
        "isPartOf: GRIST-QUICKSTART\r\n"
        "publisher: the Gristmill authors; Apache-2.0 OR MIT\r\n"
    ).encode()
    info_id, data = record("warcinfo", tick, [("Content-Type", "application/warc-fields"), ("WARC-Filename", name)], info)
    members = [gzip_member(data)]
    placed = []
    for capture in captures:
        tick += 1
        path = "/" + capture.url.split("/", 3)[3]
        host = host_of(capture.url)
        common = [("WARC-Warcinfo-ID", info_id), ("WARC-Target-URI", capture.url)]

        request = (
            f"GET {path} HTTP/1.1\r\nUser-Agent: GristBot/0.1 (made-up)\r\nAccept: text/html,*/*;q=0.5\r\n"
            f"Accept-Language: en-US,en;q=0.5\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ).encode()
        request_headers = [("Content-Type", "application/http; msgtype=request"), ("WARC-IP-Address", address_of(host))]
        request_id, request_data = record("request", tick, request_headers + common, request)

        head = f"HTTP/1.1 {capture.status}\r\n" + "".join(f"{key}: {value}\r\n" for key, value in capture.headers) + "\r\n"
        response_headers = [
            ("Content-Type", "application/http; msgtype=response"),
            ("WARC-IP-Address", address_of(host)),
            ("WARC-Concurrent-To", request_id),
            ("WARC-Payload-Digest", digest(capture.body)),
        ]
        if capture.payload_type:
            response_headers.append(("WARC-Identified-Payload-Type", capture.payload_type))
        if capture.truncated:
            response_headers.append(("WARC-Truncated", "length"))
        response_id, response_data = record("response", tick, response_headers + common, head.encode() + capture.body)
        response_member = gzip_member(response_data)
        if capture.damaged:
            response_member = damage(response_member)

        notes = f"fetchTimeMs: {40 + len(capture.body) % 400}\r\n"
        if capture.charset != "-":
            notes += f"charset-detected: {capture.charset}\r\n"
        metadata_headers = [("Content-Type", "application/warc-fields"), ("WARC-Concurrent-To", response_id)]
        _, metadata_data = record("metadata", tick, metadata_headers + common, notes.encode())

        placed.append(Placed(name, len(members) + 1, response_id, capture))
        members += [gzip_member(request_data), response_member, gzip_member(metadata_data)]
    return b"".join(members), placed, tick + 1
