"""Verifies BLS signatures with the signature in G1 and the key in G2, on the curve BLS12-381.

Hashing to the curve is RFC 9380's BLS12381G1_XMD:SHA-256_SSWU_RO_. Standard library only.
"""

from functools import lru_cache
from hashlib import sha256

from isogeny import X_DEN, X_NUM, Y_DEN, Y_NUM

P = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f624"
    "1eabfffeb153ffffb9feffffffffaaab",
    16,
)
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
X = 0xD201000000010000  # the curve's parameter is -X

G2 = bytes.fromhex(
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049"
    "334cf11213945d57e5ac7d055d042b7e024aa2b2f08f0a91260805272dc51051"
    "c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)


def sqrt(a):
    """A square root modulo P, or None."""
    root = pow(a, (P + 1) // 4, P)
    return root if root * root % P == a % P else None


# --- The field of P^2: a pair (a, b) is a + b i, with i^2 = -1


def add2(a, b):
    return (a[0] + b[0]) % P, (a[1] + b[1]) % P


def sub2(a, b):
    return (a[0] - b[0]) % P, (a[1] - b[1]) % P


def mul2(a, b):
    return (a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def inv2(a):
    inverse = pow(a[0] * a[0] + a[1] * a[1], -1, P)
    return a[0] * inverse % P, -a[1] * inverse % P


def sqrt2(a):
    """A square root, or None."""
    if a[1] == 0:
        real = sqrt(a[0])
        return (real, 0) if real is not None else (0, sqrt(-a[0] % P))
    norm = sqrt(a[0] * a[0] + a[1] * a[1])
    if norm is None:
        return None
    half = pow(2, -1, P)
    real = sqrt((a[0] + norm) * half % P)
    if real is None:
        real = sqrt((a[0] - norm) * half % P)
    return real, a[1] * half * pow(real, -1, P) % P


# --- The field of P^12: six elements of P^2, the coefficients of w^0 ... w^5, with w^6 = 1 + i


def mul12(a, b):
    real, imaginary = [0] * 11, [0] * 11
    for i, (a0, a1) in enumerate(a):
        if a0 == 0 and a1 == 0:
            continue
        for j, (b0, b1) in enumerate(b):
            real[i + j] += a0 * b0 - a1 * b1
            imaginary[i + j] += a0 * b1 + a1 * b0
    for k in range(6, 11):
        real[k - 6] += real[k] - imaginary[k]
        imaginary[k - 6] += real[k] + imaginary[k]
    return [(real[k] % P, imaginary[k] % P) for k in range(6)]


ONE12 = [(1, 0)] + [(0, 0)] * 5


def pow12(a, exponent):
    result = ONE12
    for bit in bin(exponent)[2:]:
        result = mul12(result, result)
        if bit == "1":
            result = mul12(result, a)
    return result


# --- Points: (x, y), or None for the identity


def add_g1(left, right):
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2:
        if (y1 + y2) % P == 0:
            return None
        slope = 3 * x1 * x1 * pow(2 * y1, -1, P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def double(point):
    x, y, z = point
    square = y * y % P
    s, m = 4 * x * square % P, 3 * x * x % P
    x = (m * m - 2 * s) % P
    return x, (m * (s - x) - 8 * square * square) % P, 2 * y * z % P


def mul_g1(point, scalar):
    """In Jacobian coordinates, where x / z^2 and y / z^3 count; z = 0 is the identity."""
    x0, y0 = point
    total = (1, 1, 0)
    for bit in bin(scalar)[2:]:
        total = double(total)
        if bit == "0":
            continue
        x, y, z = total
        if z == 0:
            total = (x0, y0, 1)
            continue
        h, r = (x0 * z * z - x) % P, (y0 * z * z * z - y) % P
        if h == 0:
            total = double(total) if r == 0 else (1, 1, 0)
            continue
        v, cube = x * h * h % P, h * h * h % P
        x = (r * r - cube - 2 * v) % P
        total = (x, (r * (v - x) - y * cube) % P, z * h % P)
    x, y, z = total
    if z == 0:
        return None
    inverse = pow(z, -1, P)
    return x * inverse**2 % P, y * inverse**3 % P


def g1_of(data):
    """The point of 48 bytes; None where it is none, the identity, or not in the subgroup."""
    flags, x = data[0] >> 5, int.from_bytes(data, "big") & (2**381 - 1)
    if len(data) != 48 or flags & 0b110 != 0b100 or x >= P:
        return None
    y = sqrt(x**3 + 4)
    if y is None:
        return None
    point = (x, y if (y > P - y) == bool(flags & 1) else P - y)
    return point if mul_g1(point, ORDER) is None else None


def g2_of(data):
    """The point of 96 trusted bytes."""
    flags = data[0] >> 5
    imaginary = int.from_bytes(data[:48], "big") & (2**381 - 1)
    x = (int.from_bytes(data[48:], "big"), imaginary)
    y = sqrt2(add2(mul2(x, mul2(x, x)), (4, 4)))
    greater = y[1] > P - y[1] if y[1] != 0 else y[0] > P - y[0]
    return x, y if greater == bool(flags & 1) else sub2((0, 0), y)


# --- Hashing to the curve


def expand(message, dst, length):
    """expand_message_xmd with SHA-256, RFC 9380, section 5.3.1."""
    dst += bytes([len(dst)])
    first = sha256(bytes(64) + message + length.to_bytes(2, "big") + b"\0" + dst).digest()
    block = sha256(first + b"\1" + dst).digest()
    out = block
    for i in range(2, -(-length // 32) + 1):
        block = sha256(bytes(a ^ b for a, b in zip(first, block)) + bytes([i]) + dst).digest()
        out += block
    return out[:length]


A = int(
    "00144698a3b8e9433d693a02c96d4982b0ea985383ee66a8d8e8981aefd881ac"
    "98936f8da0e0f97f5cf428082d584c1d",
    16,
)
B = int(
    "12e2908d11688030018b12e8753eee3b2016c1f0f24f4070a0b9c14fcef35ef5"
    "5a23215a316ceaa5d1cc48e98e172be0",
    16,
)
Z = 11
COFACTOR = X + 1


def polynomial(coefficients, x):
    total = 0
    for coefficient in reversed(coefficients):
        total = (total * x + coefficient) % P
    return total


def map_to_curve(u):
    """The simplified SWU map of RFC 9380, section 6.6.2, and the isogeny after it."""
    t = Z * u * u % P
    denominator = (t * t + t) % P
    if denominator == 0:
        x = B * pow(Z * A, -1, P) % P
    else:
        x = -B * pow(A, -1, P) * (1 + pow(denominator, -1, P)) % P
    y = sqrt(x**3 + A * x + B)
    if y is None:
        x = t * x % P
        y = sqrt(x**3 + A * x + B)
    if y & 1 != u & 1:
        y = P - y
    return (
        polynomial(X_NUM, x) * pow(polynomial(X_DEN, x), -1, P) % P,
        y * polynomial(Y_NUM, x) * pow(polynomial(Y_DEN, x), -1, P) % P,
    )


def hash_to_curve(message, dst):
    data = expand(message, dst, 128)
    u0, u1 = (int.from_bytes(part, "big") % P for part in (data[:64], data[64:]))
    return mul_g1(add_g1(map_to_curve(u0), map_to_curve(u1)), COFACTOR)


# --- The pairing


def step(t, slope, point):
    """The line through t with this slope, at a point of G1, times w^3.

    w^3 lies in a proper subfield, so the last exponentiation takes it away.
    """
    x, y = point
    constant = sub2(mul2(slope, t[0]), t[1])
    return [constant, (0, 0), (-slope[0] * x % P, -slope[1] * x % P), (y, 0), (0, 0), (0, 0)]


def third(left, right, slope):
    x = sub2(sub2(mul2(slope, slope), left[0]), right[0])
    return x, sub2(mul2(slope, sub2(left[0], x)), left[1])


def miller(q, p):
    f, t = ONE12, q
    for bit in bin(X)[3:]:
        square = mul2(t[0], t[0])
        slope = mul2((3 * square[0], 3 * square[1]), inv2(add2(t[1], t[1])))
        f = mul12(mul12(f, f), step(t, slope, p))
        t = third(t, t, slope)
        if bit == "1":
            slope = mul2(sub2(q[1], t[1]), inv2(sub2(q[0], t[0])))
            f = mul12(f, step(t, slope, p))
            t = third(t, q, slope)
    return f


@lru_cache(maxsize=None)
def verifies(key, message, signature, dst):
    """Whether e(signature, generator) = e(hash of the message, key); the key is trusted."""
    point = g1_of(signature)
    if point is None:
        return False
    x, y = hash_to_curve(message, dst)
    product = mul12(miller(g2_of(G2), point), miller(g2_of(key), (x, P - y)))
    return pow12(product, (P**12 - 1) // ORDER) == ONE12
