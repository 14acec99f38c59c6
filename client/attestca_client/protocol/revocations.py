# SPDX-License-Identifier: Apache-2.0
"""The revocation tree: a compressed sparse Merkle tree over the handles that are revoked, and proofs about it.

Keys are handles (32 bytes, read from the most significant bit). A tree is

    empty                          hash: 32 zero bytes
    a leaf, wherever it is alone   hash: SHA-256(0x02 || handle || value)
    a branch                       hash: SHA-256(0x03 || hash of the 0 side || hash of the 1 side)

where `value` is the `protocol.leaf_hash` of the entry of the log that revoked the handle. A branch has at least two
leaves below it, so a set of (handle, value) has exactly one tree.

A proof is the tree itself, cut back to what the question needs: one for all handles of a certificate, which share what
lies near the root. In pre-order:

    0x00                           an empty subtree
    0x01 || handle || value        a leaf
    0x02 || hash                   a subtree that is not shown, 32 bytes
    0x03 || 0 side || 1 side       a branch

Pure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

EMPTY_ROOT: Final = bytes(32)
HASH: Final = 32
MAX_PROOF: Final = 262_144  # bytes
EMPTY, LEAF, HIDDEN, BRANCH = range(4)  # the first byte of each
_DEPTH: Final = 256


class ProofError(ValueError):
    """Not a proof, not one of this tree, or not one about this handle."""


@dataclass(frozen=True, slots=True)
class PrunedTree:
    """A proof that was read. `root`: the hash of the whole, to be compared with a checkpoint that was checked.

    `leaves`: handle -> value of the leaves that are shown. `hidden`: the bits on the way to each subtree that is not.
    """

    root: bytes
    leaves: Mapping[bytes, bytes]
    hidden: frozenset[str]

    def value(self, handle: bytes) -> bytes | None:
        """The value of a handle that is in the tree; None for one that is proven not to be.

        Raises ProofError where the proof does not show.
        """
        found, whole = self.leaves.get(handle), bits(handle)
        if found is None and any(whole.startswith(way) for way in self.hidden):
            raise ProofError(f"the proof says nothing of {handle.hex()}")
        return found


def leaf_node(handle: bytes, value: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\x02" + handle + value).digest()


def branch_node(zero: bytes, one: bytes) -> bytes:
    """The hash of a branch."""
    return hashlib.sha256(b"\x03" + zero + one).digest()


def bits(handle: bytes) -> str:
    """The way to a handle: its bits as "0" and "1", the most significant first."""
    return f"{int.from_bytes(handle, 'big'):0{len(handle) * 8}b}"


def read_proof(proof: bytes) -> PrunedTree:
    """The tree in a proof. Raises ProofError.

    A leaf where its handle does not belong, and a branch that has less than two leaves below it, are refused: no tree
    of revocations has them.
    """
    if len(proof) > MAX_PROOF:
        raise ProofError("the proof is too long")
    reader = _Reader(proof)
    try:
        root, _ = reader.node("")
    except RecursionError as error:  # no tree is so deep; but the caller may be
        raise ProofError("the proof is too deep") from error
    if reader.at != len(proof):
        raise ProofError("bytes behind the proof")
    return PrunedTree(root, reader.leaves, frozenset(reader.hidden))


class _Reader:
    """Reads pre-order, at most as deep as a handle has bits."""

    def __init__(self, proof: bytes) -> None:
        self._proof = proof
        self.at = 0
        self.leaves: dict[bytes, bytes] = {}
        self.hidden: list[str] = []

    def node(self, way: str) -> tuple[bytes, int]:
        """The hash of the subtree at `way`, and its form."""
        form = self._take(1)[0]
        if form == EMPTY:
            return EMPTY_ROOT, form
        if form == LEAF:
            return self._leaf(way), form
        if form == HIDDEN:
            self.hidden.append(way)
            return self._hash(), form
        if form == BRANCH and len(way) < _DEPTH:
            return self._branch(way), form
        raise ProofError("not the form of a subtree")

    def _leaf(self, way: str) -> bytes:
        handle, value = self._take(HASH), self._take(HASH)
        if not bits(handle).startswith(way):
            raise ProofError("a leaf stands where its handle does not belong")
        self.leaves[handle] = value
        return leaf_node(handle, value)

    def _branch(self, way: str) -> bytes:
        zero, form_zero = self.node(way + "0")
        one, form_one = self.node(way + "1")
        if {form_zero, form_one} in ({EMPTY}, {EMPTY, LEAF}):
            raise ProofError("a branch with less than two leaves")
        return branch_node(zero, one)

    def _hash(self) -> bytes:
        found = self._take(HASH)
        if found == EMPTY_ROOT:
            raise ProofError("an empty subtree that is not called one")
        return found

    def _take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self._proof):
            raise ProofError("the proof is cut off")
        taken, self.at = self._proof[self.at : end], end
        return taken
