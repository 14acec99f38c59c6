# SPDX-License-Identifier: Apache-2.0
"""Proofs about the log that are of another depth than their sizes.

Whoever signs checkpoints chooses the new root and the proof freely; what they cannot choose is the old root, and where
its parts are in a log of the new size. The registry contract is held to the same cases (contracts/test/Rfc9162.t.sol).
"""

from __future__ import annotations

from attestca_client.protocol import is_consistent, is_included, leaf_hash, node_hash

L = [leaf_hash(bytes([number])) for number in range(6)]
FORGED = leaf_hash(b"forged")
LEFT = node_hash(node_hash(L[0], L[1]), node_hash(L[2], L[3]))
SIX = node_hash(LEFT, node_hash(L[4], L[5]))


def test_a_consistency_proof_is_not_deeper() -> None:
    deep = node_hash(LEFT, node_hash(L[4], node_hash(L[5], FORGED)))
    assert not is_consistent(6, 7, [L[5], FORGED, L[4], LEFT], SIX, deep)


def test_a_consistency_proof_is_not_shallower() -> None:
    new = node_hash(L[0], FORGED)
    assert is_consistent(1, 2, [FORGED], L[0], new)
    assert not is_consistent(1, 8, [FORGED], L[0], new)


def test_nothing_begins_with_a_larger_log() -> None:
    assert not is_consistent(3, 1, [FORGED], FORGED, FORGED)


def test_an_entry_is_as_deep_as_the_size_says() -> None:
    root = node_hash(L[0], node_hash(L[1], L[2]))
    assert not is_included(L[2], 1, 2, [L[1], L[0]], root)
    assert not is_included(L[0], 0, 2, [], L[0])
