"""Reads the files of a sealed draw, version 1. Whatever is not exactly as specified raises Bad."""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from hashlib import sha256
from json import loads
from typing import NamedTuple

import bls12381
import ed25519

QUICKNET = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
QUICKNET_KEY = bytes.fromhex(
    "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c"
    "8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb"
    "5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
)
QUICKNET_DST = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
GENESIS = 1692803367
PERIOD = 3

PIECE = 65536
GREATEST = 2**53 - 1
GREATEST_NUMBER = 9999
GREATEST_AGENCY = 2**31 - 1

INT = r"(?:0|[1-9][0-9]{0,15})"
HEX64 = r"[0-9a-f]{64}"
DRAW = r"[A-Za-z0-9._-]{1,64}"


class Bad(Exception):
    """What was given is not as specified, or does not fit."""


def need(condition, problem):
    if not condition:
        raise Bad(problem)


def match(pattern, text, problem):
    found = re.fullmatch(pattern, text)
    need(found, problem)
    return found.groups()


def integer(text, greatest=GREATEST):
    match(INT, text, f"{text!r} is no number")
    need(int(text) <= greatest, f"{text} is too large")
    return int(text)


def agency(text):
    number = integer(text, GREATEST_AGENCY)
    need(number >= 1, "agency 0")
    return number


def base64(text):
    try:
        data = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise Bad(f"{text!r} is no base64") from None
    need(b64encode(data).decode() == text, f"{text!r} is not canonical base64")
    return data


def utf8(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Bad("invalid UTF-8") from None


# --- Signed notes

OPERATOR, WITNESS = 1, 4


class Key(NamedTuple):
    name: str
    id: bytes
    type: int
    key: bytes


def key_name(text):
    fits = text and "+" not in text and not any(c.isspace() or c < " " for c in text)
    need(fits, f"{text!r} is no name of a key")
    return text


def vkey(text, kind):
    parts = text.split("+", 2)
    need(len(parts) == 3, f"{text!r} is no verifier key")
    name, data = key_name(parts[0]), base64(parts[2])
    need(len(data) == 33 and data[0] == kind, f"{text!r} is a key of another type")
    expected = sha256(name.encode() + b"\n" + data).digest()[:4]
    need(parts[1] == expected.hex(), f"{text!r} has another key ID")
    return Key(name, expected, kind, data[1:])


def verified(text, key, signature):
    """The time of a cosignature, or None of a plain signature."""
    if key.type == OPERATOR:
        need(ed25519.verifies(key.key, text, signature), f"wrong signature of {key.name}")
        return None
    need(len(signature) == 72, f"cosignature of {key.name} is not 72 bytes")
    time = int.from_bytes(signature[:8], "big")
    message = f"cosignature/v1\ntime {time}\n".encode() + text
    need(ed25519.verifies(key.key, message, signature[8:]), f"wrong cosignature of {key.name}")
    return time


def note(data, operator, witnesses=()):
    """The text of a note that the operator signed, and (witness, time) of each cosignature."""
    whole = utf8(data)
    need(all(c >= " " or c == "\n" for c in whole), "control character in a note")
    split = whole.rfind("\n\n")
    need(split >= 0, "note without signatures")
    text, lines = whole[: split + 1], whole[split + 2 :]
    need(lines.endswith("\n"), "note does not end in LF")
    signed, times = False, []
    for line in lines[:-1].split("\n"):
        parts = line.split(" ")
        need(len(parts) == 3 and parts[0] == "\u2014", f"{line!r} is no signature")
        name, signature = key_name(parts[1]), base64(parts[2])
        need(len(signature) > 4, f"{line!r} has no signature")
        for key in (operator, *witnesses):
            if (key.name, key.id) != (name, signature[:4]):
                continue
            time = verified(text.encode(), key, signature[4:])
            if key == operator:
                signed = True
            else:
                times.append((key, time))
    need(signed, f"{operator.name} has not signed")
    return text, times


# --- The tree


def leaf_hash(entry):
    return sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return sha256(b"\1" + left + right).digest()


def root_of(hashes):
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return node_hash(root_of(hashes[:half]), root_of(hashes[half:]))


def root_of_path(leaf, index, size, path):
    """The root that a leaf and its siblings lead to."""
    need(index < size, f"index {index} in a tree of {size}")
    if size == 1:
        need(not path, "too many hashes")
        return leaf
    need(path, "too few hashes")
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return node_hash(root_of_path(leaf, index, half, path[:-1]), path[-1])
    return node_hash(path[-1], root_of_path(leaf, index - half, size - half, path[:-1]))


class Checkpoint(NamedTuple):
    draw: str
    size: int
    root: bytes


def checkpoint(text, operator):
    lines = text.split("\n")
    need(len(lines) == 4, "a checkpoint has three lines")
    origin, size, root = lines[:3]
    need(origin.startswith(operator.name + "/"), f"checkpoint of {origin!r}")
    (draw,) = match(f"({DRAW})", origin[len(operator.name) + 1 :], f"checkpoint of {origin!r}")
    need(len(base64(root)) == 32, "root is not 32 bytes")
    return Checkpoint(draw, integer(size), base64(root))


# --- The source of the number


def time_of(round):
    return GENESIS + PERIOD * (round - 1)


class Source(NamedTuple):
    kind: str
    value: int | None


def source(text):
    kind, _, rest = text.partition("/")
    if text == "announced":
        return Source(kind, None)
    if kind == "fixed":
        return Source(kind, integer(rest, GREATEST_NUMBER))
    need(kind == "drand" and rest.startswith(QUICKNET + "/"), f"unknown source {text}")
    round = integer(rest[len(QUICKNET) + 1 :])
    need(round >= 1, "round 0")
    return Source(kind, round)


def source_of_rule(rule, sealed_at):
    relative = re.fullmatch(f"drand/{QUICKNET}/\\+({INT})", rule)
    if relative is None:
        return source(rule)
    earliest = sealed_at + integer(relative[1])
    return Source("drand", max(1, -(-(earliest - GENESIS) // PERIOD) + 1))


# --- The seal


class Book(NamedTuple):
    bets: int
    size: int
    digest: str
    marks: list


class Seal(NamedTuple):
    draw: str
    sealed_at: int
    source: Source
    books: dict
    entries: list
    root: bytes
    times: list


def books_of(lines):
    """Each agency's book, or None of an excluded agency."""
    books, marks, marked, last = {}, [], None, 0
    for line in lines:
        kind, *fields = line.split(" ")
        need(fields, f"unknown entry {line!r}")
        number = agency(fields[0])
        need(marked in (None, number), f"marks of {marked} before an entry of {number}")
        need(number > last, f"agency {number} after {last}")
        if kind == "mark":
            _, size, digest = match(f"mark ({INT}) ({INT}) ({HEX64})", line, f"bad {line!r}")
            need(integer(size) == PIECE * (len(marks) + 1), f"bad place of {line!r}")
            marks.append(digest)
            marked = number
            continue
        if kind == "excluded":
            need(len(fields) == 1 and marked is None, f"bad {line!r}")
            books[number] = None
        else:
            pattern = f"book {INT} ({INT}) ({INT}) ({HEX64}) [0-9a-f]{{32}}"
            bets, size, digest = match(pattern, line, f"bad {line!r}")
            books[number] = Book(integer(bets), integer(size), digest, marks)
            need(len(marks) == integer(size) // PIECE, f"marks of {number} missing")
        marks, marked, last = [], None, number
    need(marked is None, f"marks of {marked} without a book")
    return books


def seal(data, operator, witnesses):
    split = data.find(b"\n\n")
    need(split > 0, "a seal has entries, an empty line and a note")
    entries = data[: split + 1].splitlines(keepends=True)
    lines = utf8(data[: split + 1])[:-1].split("\n")
    need(len(lines) == len(entries), "line ends are LF")
    first = f"lottery-seal/v1 ({DRAW}) ({INT}) ({INT}) ({INT}) ([^ ]+)"
    draw, agencies, bets, sealed_at, where = match(first, lines[0], "bad first entry")
    made = source(where)
    sealed_at = integer(sealed_at)
    if made.kind == "drand":
        need(sealed_at < time_of(made.value), "sealed at or after the time of its round")
    books = books_of(lines[1:])
    need(len(books) == integer(agencies), "another number of agencies")
    need(sum(b.bets for b in books.values() if b) == integer(bets), "BETS is not the sum")

    text, times = note(data[split + 2 :], operator, witnesses)
    signed = checkpoint(text, operator)
    need(signed.draw == draw, f"checkpoint of draw {signed.draw}")
    need(signed.size == len(entries), "another number of entries")
    need(signed.root == root_of([leaf_hash(e) for e in entries]), "another root")
    return Seal(draw, sealed_at, made, books, entries, signed.root, times)


def proof(data, operator, witnesses):
    """The entry that a proof proves, its index, and the checkpoint."""
    split = data.find(b"\n\n")
    need(split >= 0, "a proof has a note")
    head, *lines = utf8(data[:split]).split("\n")
    need(head == "c2sp.org/tlog-proof@v1" and len(lines) >= 2, "bad proof")
    (extra,) = match("extra ([^ ]+)", lines[0], "proof without entry")
    (index,) = match(f"index ({INT})", lines[1], "proof without index")
    path = [base64(line) for line in lines[2:]]
    need(all(len(digest) == 32 for digest in path), "a hash is not 32 bytes")
    text, _ = note(data[split + 2 :], operator, witnesses)
    signed = checkpoint(text, operator)
    entry, at = base64(extra), integer(index)
    root = root_of_path(leaf_hash(entry), at, signed.size, path)
    need(root == signed.root, "proof does not lead to the root")
    return entry, at, signed


# --- Receipt, result, beacon


class Receipt(NamedTuple):
    draw: str
    agency: int
    bets: int
    digest: str
    rule: str


def receipt(data, operator):
    text, _ = note(data, operator)
    pattern = f"lottery-receipt/v1 ({DRAW}) ({INT}) ({INT}) ({HEX64}) ([^ \\n]+)\n"
    draw, number, bets, digest, rule = match(pattern, text, "bad receipt")
    source_of_rule(rule, 0)
    return Receipt(draw, agency(number), integer(bets), digest, rule)


class Beacon(NamedTuple):
    round: int
    signature: str


class Result(NamedTuple):
    draw: str
    number: int
    root: bytes
    beacon: Beacon | None
    winners: dict


def result(data, operator):
    text, _ = note(data, operator)
    pattern = (
        f"lottery-result/v1 ({DRAW}) ({INT})\nseal ([^ \\n]+)\n"
        f"(?:beacon ({INT}) ([0-9a-f]{{96}})\n)?((?:winners {INT} {INT}\n)*)"
    )
    draw, number, root, round, signature, lines = match(pattern, text, "bad result")
    need(len(base64(root)) == 32, "root is not 32 bytes")
    winners, last = {}, 0
    for line in lines.split("\n")[:-1]:
        _, who, count = line.split(" ")
        need(agency(who) > last, "winners not in order")
        last = agency(who)
        winners[last] = integer(count)
    beacon = Beacon(integer(round), signature) if round is not None else None
    return Result(draw, integer(number, GREATEST_NUMBER), base64(root), beacon, winners)


def refused_constant(name):
    raise Bad(f"{name} in JSON")


def json_number(text):
    """1000.0 and 1e3 are the same number as 1000."""
    value = float(text)
    return int(value) if value.is_integer() else value


JSON = {
    "parse_constant": refused_constant,
    "parse_float": json_number,
    "parse_int": json_number,
}


def beacon(data):
    try:
        fields = loads(utf8(data), **JSON)
    except (ValueError, RecursionError):
        raise Bad("beacon is no JSON") from None
    need(isinstance(fields, dict), "beacon is no object")
    round, signature = fields.get("round"), fields.get("signature")
    need(type(round) is int and 1 <= round <= GREATEST, "beacon without round")
    need(isinstance(signature, str), "beacon without signature")
    match("[0-9a-f]{96}", signature, "a signature is 96 hex digits")
    if "randomness" in fields:
        need(fields["randomness"] == randomness(signature), "randomness is not the hash")
    return Beacon(round, signature)


def randomness(signature):
    return sha256(bytes.fromhex(signature)).hexdigest()


def number_of(draw, sealed, given):
    """The number of a draw, from the beacon of the sealed round."""
    need(given.round == sealed.value, f"beacon of round {given.round}, not {sealed.value}")
    message = sha256(given.round.to_bytes(8, "big")).digest()
    data = bytes.fromhex(given.signature)
    verifies = bls12381.verifies(QUICKNET_KEY, message, data, QUICKNET_DST)
    need(verifies, "the beacon does not verify")
    text = f"lottery-number/v1\n{draw}\n{randomness(given.signature)}\n"
    return int.from_bytes(sha256(text.encode()).digest(), "big") % 10000


# --- Books

FIELD = r'(?:[^,"\r\n]*|"(?=[^"\r\n]*(?:,|""))(?:[^"\r\n]|"")*")'
ROW = re.compile(rf"{FIELD},{FIELD},{FIELD},{FIELD},{INT}\n")


def rows(data):
    """The canonical rows of a book."""
    lines = utf8(data).split("\n")
    need(lines.pop() == "", "a book ends in LF")
    for i, line in enumerate(lines):
        need(ROW.fullmatch(line + "\n"), f"row {i} is not canonical")
    return lines


def marks(data):
    running, found = sha256(), []
    for end in range(PIECE, len(data) + 1, PIECE):
        running.update(data[end - PIECE : end])
        found.append(running.hexdigest())
    return found
