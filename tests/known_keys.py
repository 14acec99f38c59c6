# SPDX-License-Identifier: Apache-2.0
"""RSA keys of fake vendors that need not be looked for: each prime is the hash of a label plus a number that is known.

To find two primes of 2048 bits takes half a second, and every worker needs twenty such keys before its first test runs.
These are for `simulator.amd_keys.SHARED`, and for vendors that nobody trusts; the authorities of a `simulator.world`
are random as ever. What is not known is made as before; to add a label: `python -m tests.known_keys LABEL…`.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import sys
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from simulator.amd_keys import RsaKey

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPONENT: Final = 65537
BITS: Final = 4096
OFFSETS: Final[Mapping[str, tuple[int, int]]] = {
    "Milan ark": (582, 1154),
    "Milan ask": (2222, 616),
    "Milan asvk": (614, 282),
    "Genoa ark": (3638, 866),
    "Genoa ask": (298, 160),
    "Genoa asvk": (378, 3118),
    "Turin ark": (1552, 200),
    "Turin ask": (1588, 1432),
    "Turin asvk": (918, 642),
    "Google root": (1760, 770),
    "Google us-central1": (66, 746),
    "Google europe-west4": (2480, 1410),
    "other Milan ark": (1476, 474),
    "other Milan ask": (158, 950),
    "other Milan asvk": (910, 154),
    "other Genoa ark": (20, 1524),
    "other Genoa ask": (2416, 956),
    "other Genoa asvk": (1268, 456),
    "other Turin ark": (2184, 30),
    "other Turin ask": (314, 8),
    "other Turin asvk": (1774, 174),
}


def primes(label: str) -> tuple[int, int]:
    """Of the key with this label."""
    first, second = OFFSETS[label]
    return _beginning(label, "p") + first, _beginning(label, "q") + second


def keys(prefix: str = "") -> dict[str, RsaKey]:
    """All whose labels begin so, by the rest of the label."""
    return {
        label.removeprefix(prefix): RsaKey(_key(*primes(label)))
        for label in OFFSETS
        if label.startswith(prefix)
    }


def _key(p: int, q: int) -> rsa.RSAPrivateKey:
    d = pow(EXPONENT, -1, math.lcm(p - 1, q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p,
        q,
        d,
        rsa.rsa_crt_dmp1(d, p),
        rsa.rsa_crt_dmq1(d, q),
        rsa.rsa_crt_iqmp(p, q),
        rsa.RSAPublicNumbers(EXPONENT, p * q),
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)  # which would take longer


def _beginning(label: str, part: str) -> int:
    """An odd number of half the bits, the first two of them set: the product has all bits."""
    length = BITS // 16
    number = int.from_bytes(hashlib.shake_256(f"{label} {part}".encode()).digest(length), "big")
    return number | 3 << (BITS // 2 - 2) | 1


def _offset(label: str, part: str) -> int:
    start = _beginning(label, part)
    small = math.prod(
        n for n in range(3, 10_000, 2) if all(n % d for d in range(3, min(n, 100), 2))
    )
    numbers = (start + offset for offset in itertools.count(0, 2))
    candidates = (n for n in numbers if math.gcd(n, small) == 1 and (n - 1) % EXPONENT)
    return next(n for n in candidates if is_prime(n)) - start


def is_prime(number: int) -> bool:
    """To some bases: for numbers that come from a hash, not from an adversary."""
    return all(pow(base, number - 1, number) == 1 for base in (2, 3))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f'    "{name}": ({_offset(name, "p")}, {_offset(name, "q")}),')  # noqa: T201 - what it is for
