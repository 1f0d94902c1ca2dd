"""Verifies Ed25519 signatures as RFC 8032, section 5.1.7, says; with the standard library only."""

from functools import lru_cache
from hashlib import sha512

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)

# A point is (X, Y, Z, T) in extended coordinates: x = X/Z, y = Y/Z, xy = T/Z.
NEUTRAL = (0, 1, 1, 0)


def add(left, right):
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a = (y1 - x1) * (y2 - x2) % P
    b = (y1 + x1) * (y2 + x2) % P
    c = 2 * D * t1 * t2 % P
    d = 2 * z1 * z2
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def decode(text):
    """The point of 32 bytes, or None."""
    number = int.from_bytes(text, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * v**3 * pow(u * v**7, (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * SQRT_OF_MINUS_1 % P
    if v * x * x % P != u or (x == 0 and sign == 1):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def encode(point):
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def table_of(point):
    """For each of the 64 hexadecimal places, the 16 multiples of the point at that place."""
    table = []
    for _ in range(64):
        row = [NEUTRAL]
        for _ in range(16):
            row.append(add(row[-1], point))
        point = row.pop()
        table.append(row)
    return table


def multiply(table, scalar):
    total = NEUTRAL
    for row in table:
        if scalar & 15:
            total = add(total, row[scalar & 15])
        scalar >>= 4
    return total


BASE = table_of(decode((4 * pow(5, -1, P) % P).to_bytes(32, "little")))


@lru_cache
def negative_table(key):
    point = decode(key)
    if point is None:
        return None
    x, y, z, t = point
    return table_of((P - x, y, z, P - t))


@lru_cache(maxsize=None)
def verifies(key, text, signature):
    table = negative_table(key)
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or table is None or s >= ORDER:
        return False
    digest = sha512(signature[:32] + key + text).digest()
    k = int.from_bytes(digest, "little") % ORDER
    return encode(add(multiply(BASE, s), multiply(table, k))) == signature[:32]
