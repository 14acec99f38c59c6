# SPDX-License-Identifier: Apache-2.0
"""The revocation tree: a function of its set, held against a tree that is made by the definition; proofs about it."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol.revocations import ProofError, read_proof
from ca.revocation_tree import RevocationTree

Tree = Mapping[bytes, bytes]

# Handles as they are, and such that share all but their last bits: those no hash gives, but the tree must not care.
HANDLES = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 7).map(lambda end: bytes(31) + bytes([end])),
    st.integers(0, 7).map(lambda end: b"\xff" * 31 + bytes([0xF8 | end])),
    st.integers(0, 255).map(lambda start: bytes([start]) + bytes(31)),
)
SETS = st.dictionaries(HANDLES, st.binary(min_size=32, max_size=32), max_size=24)


def defined(entries: Tree, depth: int = 0) -> bytes:
    """The root by the definition, without a thought of speed."""
    if not entries:
        return bytes(32)
    if len(entries) == 1:
        ((handle, value),) = entries.items()
        return hashlib.sha256(b"\x02" + handle + value).digest()
    sides: tuple[dict[bytes, bytes], ...] = ({}, {})
    for handle, value in entries.items():
        sides[handle[depth // 8] >> (7 - depth % 8) & 1][handle] = value
    zero, one = (defined(side, depth + 1) for side in sides)
    return hashlib.sha256(b"\x03" + zero + one).digest()


def tree_of(entries: Tree) -> RevocationTree:
    return RevocationTree().with_all(entries.items())


@given(SETS)
def test_the_root_is_what_the_definition_says(entries: Tree) -> None:
    tree = tree_of(entries)
    assert (tree.root, tree.count) == (defined(entries), len(entries))
    assert all(tree.value(handle) == value for handle, value in entries.items())


@given(SETS, st.randoms(use_true_random=False), st.integers(1, 6))
def test_it_is_a_function_of_the_set(entries: Tree, chance: random.Random, parts: int) -> None:
    """In any order, in any parts, with repeats: the same tree."""
    order = list(entries.items())
    chance.shuffle(order)
    cuts = sorted(chance.randrange(len(order) + 1) for _ in range(parts))
    grown = RevocationTree()
    for start, end in pairwise([0, *cuts, len(order)]):
        grown = grown.with_all(order[: end // 2]).with_all(order[start:end])
    assert grown == tree_of(entries)
    single = RevocationTree()
    for one in order:
        single = single.with_all([one])
    assert single == grown


@given(SETS, st.binary(min_size=32, max_size=32))
def test_the_first_value_stays(entries: Tree, other: bytes) -> None:
    tree = tree_of(entries)
    again = tree.with_all((handle, other) for handle in entries)
    assert again == tree
    twice = RevocationTree().with_all([*entries.items(), *((one, other) for one in entries)])
    assert twice == tree


@given(SETS, SETS)
def test_a_tree_never_changes(entries: Tree, more: Tree) -> None:
    tree = tree_of(entries)
    before = tree.root, tree.prove(more)
    tree.with_all(more.items())
    assert (tree.root, tree.prove(more)) == before


@given(SETS, st.lists(HANDLES, max_size=6), st.data())
def test_proofs_of_what_is_and_is_not_there(
    entries: Tree, others: list[bytes], data: st.DataObject
) -> None:
    some = data.draw(st.lists(st.sampled_from(sorted(entries)), max_size=6)) if entries else []
    tree = tree_of(entries)
    read = read_proof(tree.prove([*some, *others]))
    assert read.root == tree.root
    for handle in (*some, *others):
        assert read.value(handle) == entries.get(handle)
    for handle in entries.keys() - {*some, *others}:
        with contextlib.suppress(ProofError):  # it may be shown, where it is beside another
            assert read.value(handle) == entries[handle]


@given(st.dictionaries(HANDLES, st.binary(min_size=32, max_size=32), min_size=2, max_size=24))
def test_nothing_is_shown_but_what_is_asked(entries: Tree) -> None:
    tree = tree_of(entries)
    read = read_proof(tree.prove([]))
    assert (read.root, len(tree.prove([]))) == (tree.root, 33)
    for handle in entries:
        with pytest.raises(ProofError):
            read.value(handle)


def test_what_trees_share() -> None:
    """A single handle more in many costs the way to it, not a copy."""
    chance = random.Random(5)  # noqa: S311 - for a test
    entries = [(chance.randbytes(32), chance.randbytes(32)) for _ in range(4096)]
    tree = RevocationTree().with_all(entries)
    grown = tree.with_all([(chance.randbytes(32), bytes(32))])
    assert len(_nodes(grown._top) - _nodes(tree._top)) < 30


def _nodes(node: object) -> set[int]:
    below = (getattr(node, side, None) for side in ("zero", "one"))
    return {id(node)}.union(*(_nodes(one) for one in below if one is not None))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_handle_has_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        RevocationTree().with_all([(bytes(length), bytes(32))])
    with pytest.raises(ValueError, match="32 bytes"):
        RevocationTree().prove([bytes(length)])
