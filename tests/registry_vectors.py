# SPDX-License-Identifier: Apache-2.0
"""Proofs of `ca.merkle` about large trees, for the registry contract: contracts/test/vectors/proofs.json.

`python -m tests.registry_vectors` writes the file; a test holds it against what is computed. The trees have up to
2^63 - 1 entries. A few of them differ and all others are alike, so that only as much is hashed as a proof needs.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from attestca_client.protocol import leaf_hash, node_hash
from ca import merkle

FILE: Final = Path(__file__).parent.parent / "contracts" / "test" / "vectors" / "proofs.json"
# From size to size. The first two have 13 and 24 nodes: gas is measured with them.
STEPS: Final = (
    (9_941, 10_000),
    (10_485_723, 10_485_773),
    (1, 1 << 40),
    (1 << 20, (1 << 20) + 1),
    ((1 << 20) - 1, 1 << 20),
    ((1 << 40) + 12_345, (1 << 41) - 7),
    ((1 << 62) + 1, (1 << 63) - 1),
    ((1 << 62) - 1, (1 << 63) - 2),
)
_SEED: Final = Random(9162)  # noqa: S311 - which entries differ, not a secret
_OTHERS: Final = sorted(
    {0, 1}
    | {size + offset for step in STEPS for size in step for offset in (-2, -1)}
    | {_SEED.randrange(1, 1 << bits) for bits in range(2, 64)}
)


def tile(level: int, number: int) -> bytes:
    """Hashes of a tile, as many as a full one has, whatever the size of the tree."""
    first = number * merkle.WIDTH
    return b"".join(_subtree(8 * level, at) for at in range(first, first + merkle.WIDTH))


@cache
def _subtree(height: int, number: int) -> bytes:
    """The hash over the entries from number << height on, 2^height of them."""
    first = number << height
    if bisect_left(_OTHERS, first) == bisect_left(_OTHERS, first + (1 << height)):
        return _alike(height)
    if height == 0:
        return leaf_hash(first.to_bytes(8, "big"))
    return node_hash(_subtree(height - 1, 2 * number), _subtree(height - 1, 2 * number + 1))


@cache
def _alike(height: int) -> bytes:
    """The hash over 2^height entries that do not differ."""
    if height == 0:
        return leaf_hash(b"")
    return node_hash(_alike(height - 1), _alike(height - 1))


def vectors() -> dict[str, list[dict[str, object]]]:
    """Both kinds of proof. Keys are in the order in which Solidity decodes them: by name."""
    return {
        "consistency": [_consistency(old, new) for old, new in STEPS],
        "inclusion": [_inclusion(index, size) for index, size in STEPS],
    }


def _consistency(old: int, new: int) -> dict[str, object]:
    return {
        "newRoot": _hex(merkle.tree_hash(tile, new)),
        "newSize": new,
        "oldRoot": _hex(merkle.tree_hash(tile, old)),
        "oldSize": old,
        "proof": [_hex(node) for node in merkle.consistency_proof(tile, old, new)],
    }


def _inclusion(index: int, size: int) -> dict[str, object]:
    return {
        "index": index,
        "leaf": _hex(_subtree(0, index)),
        "proof": [_hex(node) for node in merkle.inclusion_proof(tile, index, size)],
        "root": _hex(merkle.tree_hash(tile, size)),
        "size": size,
    }


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"


def text() -> str:
    """The file."""
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
