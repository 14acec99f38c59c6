# SPDX-License-Identifier: Apache-2.0
"""`python -m bench.tree`: what the revocation tree costs while it grows, and how long a staple is then.

Handles are those of nobody, random as hashes are. A certificate has twelve handles and none is revoked; its entry is
in a log of a million. A staple is counted as it is served, JSON; it is compressed as an HTTP server may compress it.
"""

from __future__ import annotations

import hashlib
import random
import statistics
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attestca_client.protocol.checkpoint import Head
from bench.log import issuances
from ca import audit
from ca.http.status import stapled
from ca.log_ports import LogProof
from ca.note import LogKey
from ca.revocation_tree import RevocationTree

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (0, 100, 10_000, 100_000)
HANDLES = 12  # of a certificate
HASHES = 20  # of a proof in a log of a million
TIMED = 300
_KEY = LogKey("log.example", Ed25519PrivateKey.from_private_bytes(bytes(32)))


@dataclass(frozen=True, slots=True)
class Cost:
    """With so many handles revoked: medians in microseconds, bytes.

    `build`: of a handle, all of them at once. `insert`: of one more. `prove`: of a certificate. `staple`: as it is
    served, and compressed.
    """

    revoked: int
    build: float
    insert: float
    prove: float
    staple: int
    compressed: int


def measure() -> list[Cost]:
    """At each of the sizes."""
    return [_cost(size) for size in SIZES]


def _cost(size: int) -> Cost:
    chance = random.Random(size)  # noqa: S311 - which handles
    entries = [(chance.randbytes(32), chance.randbytes(32)) for _ in range(size)]
    start = time.perf_counter()
    tree = RevocationTree().with_all(entries)
    build = (time.perf_counter() - start) / max(1, size) * 1e6
    insert = _median(lambda: tree.with_all([(chance.randbytes(32), bytes(32))]))
    prove = _median(lambda: tree.prove(chance.randbytes(32) for _ in range(HANDLES)))
    staple = _staple(tree, [chance.randbytes(32) for _ in range(HANDLES)], chance)
    return Cost(size, build, insert, prove, len(staple), len(zlib.compress(staple)))


def _median(call: Callable[[], object]) -> float:
    times = []
    for _ in range(TIMED):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def _staple(tree: RevocationTree, handles: list[bytes], chance: random.Random) -> bytes:
    digest = hashlib.sha256(b"lists").digest()
    head = Head(1_000_000, digest, tree.count, tree.root, digest, 1_772_366_400)
    (entry,) = issuances(654_321, 1)
    hashes = tuple(chance.randbytes(32) for _ in range(HASHES))
    proof = LogProof(654_321, audit.encode(entry), hashes, _KEY.sign(head))
    return stapled(proof, tree.prove(handles), ()).model_dump_json().encode()


HEAD = (
    "| handles revoked | build, µs each | insert one, µs | prove a certificate, µs | staple, bytes | compressed |\n"
    "|---|---|---|---|---|---|"
)


def row(cost: Cost) -> str:
    """A line below HEAD."""
    return (
        f"| {cost.revoked:,} | {cost.build:,.0f} | {cost.insert:,.0f} | {cost.prove:,.0f}"
        f" | {cost.staple:,} | {cost.compressed:,} |"
    )


if __name__ == "__main__":
    print(HEAD)
    for found in measure():
        print(row(found))
