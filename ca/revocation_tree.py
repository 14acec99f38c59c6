# SPDX-License-Identifier: Apache-2.0
"""The revocation tree as the authority and its auditors keep it; `attestca_client.protocol.revocations` defines it.

Rules: a tree never changes. One with more in it shares all that stayed the same with the one before, so the trees of
earlier checkpoints cost what has changed since. A set of (handle, value) has one tree, in whatever order it was made.
The first value of a handle stays.

Pure. A tree of n handles is some log2(n) deep, handles being hashes; nothing here depends on that but the cost.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from attestca_client.protocol.revocations import (
    BRANCH,
    EMPTY,
    EMPTY_ROOT,
    HASH,
    HIDDEN,
    LEAF,
    branch_node,
    leaf_node,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BITS: Final = HASH * 8


@dataclass(frozen=True, slots=True)
class _Leaf:
    """`key`: the handle as a number, whose bits are the way to it."""

    key: int
    value: bytes

    @property
    def handle(self) -> bytes:
        return self.key.to_bytes(HASH, "big")

    @property
    def hash(self) -> bytes:
        return leaf_node(self.handle, self.value)


@dataclass(frozen=True, slots=True)
class _Branch:
    """Of at least two leaves."""

    zero: _Node
    one: _Node
    count: int
    hash: bytes


_Node: TypeAlias = _Leaf | _Branch | None


@dataclass(frozen=True, slots=True)
class RevocationTree:
    """What is revoked. `RevocationTree()` is empty."""

    _top: _Node = field(default=None, repr=False)

    @property
    def root(self) -> bytes:
        """32 bytes."""
        return _hash(self._top)

    @property
    def count(self) -> int:
        """Handles that are in it."""
        return _count(self._top)

    def with_all(self, entries: Iterable[tuple[bytes, bytes]]) -> RevocationTree:
        """The tree with these (handle, value) as well, 32 bytes each. What a handle has that is there already stays."""
        new: dict[int, bytes] = {}
        for handle, value in entries:
            new.setdefault(_key(handle), value)
        return RevocationTree(_put(self._top, [_Leaf(*one) for one in sorted(new.items())], 0))

    def value(self, handle: bytes) -> bytes | None:
        """The value of a handle; None if it is not in the tree."""
        key, node, depth = _key(handle), self._top, 0
        while isinstance(node, _Branch):
            node, depth = (node.one if key >> (_BITS - 1 - depth) & 1 else node.zero), depth + 1
        return node.value if node is not None and node.key == key else None

    def prove(self, handles: Iterable[bytes]) -> bytes:
        """The tree cut back to what shows these handles, or that they are not in it: see `protocol.revocations`."""
        return b"".join(_shown(self._top, sorted({_key(handle) for handle in handles}), 0))


def _key(handle: bytes) -> int:
    if len(handle) != HASH:
        raise ValueError(f"a handle has {HASH} bytes")
    return int.from_bytes(handle, "big")


def _hash(node: _Node) -> bytes:
    return EMPTY_ROOT if node is None else node.hash


def _count(node: _Node) -> int:
    if isinstance(node, _Branch):
        return node.count
    return 0 if node is None else 1


def _put(node: _Node, new: list[_Leaf], depth: int) -> _Node:
    """`node`, whose way has `depth` bits, with these leaves, which belong below it and are sorted."""
    if not new:
        return node
    if node is None and len(new) == 1:
        return new[0]
    if not isinstance(node, _Branch):
        return _split(node, new, depth)
    at = _middle(new, depth)
    zero, one = _put(node.zero, new[:at], depth + 1), _put(node.one, new[at:], depth + 1)
    return node if zero is node.zero and one is node.one else _branch(zero, one)


def _split(there: _Leaf | None, new: list[_Leaf], depth: int) -> _Node:
    """What stands where a leaf or nothing was, and leaves come."""
    if there is not None:
        at = bisect_left(new, there.key, key=_way)
        if at < len(new) and new[at].key == there.key:
            new = [*new[:at], there, *new[at + 1 :]]
        else:
            new = [*new[:at], there, *new[at:]]
    if len(new) < 2:
        return new[0] if new else None
    at = _middle(new, depth)
    return _branch(_split(None, new[:at], depth + 1), _split(None, new[at:], depth + 1))


def _branch(zero: _Node, one: _Node) -> _Branch:
    return _Branch(zero, one, _count(zero) + _count(one), branch_node(_hash(zero), _hash(one)))


def _way(leaf: _Leaf) -> int:
    return leaf.key


def _middle(leaves: list[_Leaf], depth: int) -> int:
    """Where the leaves of the 1 side begin."""
    return bisect_left(leaves, _first_of_one_side(leaves[0].key, depth), key=_way)


def _first_of_one_side(key: int, depth: int) -> int:
    """The lowest key that begins with the first `depth` bits of `key` and then has a 1."""
    below = _BITS - 1 - depth
    return (key >> below | 1) << below


def _shown(node: _Node, keys: list[int], depth: int) -> Iterator[bytes]:
    """The parts of the proof of a subtree. `keys`: those below it that are asked about, sorted."""
    if node is None:
        yield bytes([EMPTY])
    elif not keys:
        yield bytes([HIDDEN]) + node.hash
    elif isinstance(node, _Leaf):
        yield bytes([LEAF]) + node.handle + node.value
    else:
        at = bisect_left(keys, _first_of_one_side(keys[0], depth))
        yield bytes([BRANCH])
        yield from _shown(node.zero, keys[:at], depth + 1)
        yield from _shown(node.one, keys[at:], depth + 1)
