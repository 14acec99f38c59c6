# SPDX-License-Identifier: Apache-2.0
"""The tree: roots and proofs against the definitions of RFC 9162 written out, and against Go's `sumdb/tlog`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol import (
    EMPTY_TREE,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
)
from ca import merkle
from ca.merkle import TileMissingError
from tests.go_log import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.go_log import GoLog

ENTRIES = tuple(f"entry {number}".encode() for number in range(70_000))
EDGES = (1, 2, 3, 255, 256, 257, 511, 512, 513, 1000)


def mth(entries: Sequence[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, word for word."""
    if not entries:
        return EMPTY_TREE
    if len(entries) == 1:
        return leaf_hash(entries[0])
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return node_hash(mth(entries[:split]), mth(entries[split:]))


class Tree:
    """A tree in tiles, grown in batches."""

    def __init__(self, *batches: int) -> None:
        self.size = 0
        self.tiles: dict[tuple[int, int], bytes] = {}
        for batch in batches:
            self.add(batch)

    def add(self, count: int) -> None:
        leaves = [leaf_hash(one) for one in ENTRIES[self.size : self.size + count]]
        self.tiles.update(merkle.grow(self.read, self.size, leaves))
        self.size += count

    def read(self, level: int, number: int) -> bytes:
        return self.tiles.get((level, number), b"")

    def served(self, size: int) -> dict[str, bytes]:
        """Every tile of the tree of `size` entries, under its path."""
        found = {}
        for (level, number), hashes in self.tiles.items():
            width = merkle.tile_width(level, number, size)
            if width:
                path = merkle.tile_path(level, number, width)
                found[path] = hashes[: width * merkle.HASH]
        return found


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(1, 254, 1, 1, 300, 443)


@pytest.mark.parametrize("size", [0, *EDGES])
def test_the_root_is_that_of_the_definition(tree: Tree, size: int) -> None:
    assert merkle.tree_hash(tree.read, size) == mth(ENTRIES[:size])


@given(st.lists(st.integers(1, 600), min_size=1, max_size=8))
def test_batches_make_no_difference(batches: list[int]) -> None:
    grown = Tree(*batches)
    at_once = Tree(sum(batches))
    assert grown.tiles == at_once.tiles


@given(st.data())
def test_inclusion(data: st.DataObject) -> None:
    grown = Tree(1000)
    size = data.draw(st.sampled_from(EDGES) | st.integers(1, 1000))
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(grown.read, index, size)
    root, leaf = mth(ENTRIES[:size]), leaf_hash(ENTRIES[index])
    assert is_included(leaf, index, size, proof, root)
    assert not is_included(leaf_hash(b"another"), index, size, proof, root)
    assert not is_included(leaf, index, size, (*proof, root), root)
    assert not is_included(leaf, index, size, proof[:-1], root) or size == 1
    assert not is_included(leaf, index + size, size, proof, root)
    assert not is_included(leaf, -1, size, proof, root)
    if size > 1:
        other = data.draw(st.integers(0, size - 1).filter(lambda one: one != index))
        assert not is_included(leaf, other, size, proof, root)


@given(st.data())
def test_consistency(data: st.DataObject) -> None:
    grown = Tree(1000)
    new = data.draw(st.sampled_from(EDGES) | st.integers(1, 1000))
    old = data.draw(st.integers(0, new))
    proof = merkle.consistency_proof(grown.read, old, new)
    before, after = mth(ENTRIES[:old]), mth(ENTRIES[:new])
    assert is_consistent(old, new, proof, before, after)
    assert not is_consistent(old, new, (*proof, after), before, after)
    assert not is_consistent(old, new, proof, mth(ENTRIES[1 : old + 2]), after)
    assert not is_consistent(new + 1, new, proof, before, after)
    if 0 < old < new:
        assert not is_consistent(old, new, proof[:-1], before, after)
        assert not is_consistent(old, new, proof, before, mth(ENTRIES[1 : new + 1]))
        assert not is_consistent(old, new, (), before, after)


def test_a_tree_that_is_not_there(tree: Tree) -> None:
    with pytest.raises(TileMissingError):
        merkle.tree_hash(tree.read, tree.size + 1)
    with pytest.raises(TileMissingError):
        merkle.grow(tree.read, tree.size + 1, [leaf_hash(b"")])
    with pytest.raises(ValueError, match="no such entry"):
        merkle.inclusion_proof(tree.read, 5, 5)
    with pytest.raises(ValueError, match="shrink"):
        merkle.consistency_proof(tree.read, 6, 5)


@pytest.mark.parametrize(
    ("level", "number", "size", "width"),
    [
        (0, 273, 70_000, 112),  # the example of C2SP tlog-tiles
        (1, 0, 70_000, 256),
        (1, 1, 70_000, 17),
        (2, 0, 70_000, 1),
        (2, 1, 70_000, 0),
        (0, 1, 256, 0),
        (1, 0, 256, 1),
    ],
)
def test_widths(level: int, number: int, size: int, width: int) -> None:
    assert merkle.tile_width(level, number, size) == width


@pytest.mark.parametrize(
    ("path", "tile"),
    [
        ("tile/0/000", (0, 0, 256)),
        ("tile/0/x001/x234/067", (0, 1_234_067, 256)),
        ("tile/7/x001/000.p/255", (7, 1000, 255)),
        ("tile/entries/042.p/1", (None, 42, 1)),
    ],
)
def test_paths(path: str, tile: tuple[int | None, int, int]) -> None:
    assert merkle.parse_tile_path(path) == tile
    assert merkle.tile_path(*tile) == path


@given(st.none() | st.integers(0, 7), st.integers(0, (1 << 63) - 1), st.integers(1, 256))
def test_every_path_is_read_back(level: int | None, number: int, width: int) -> None:
    assert merkle.parse_tile_path(merkle.tile_path(level, number, width)) == (level, number, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/8/000",
        "tile/00/000",
        "tile/0/0",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/300",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/000/",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
    ],
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="not the path"):
        merkle.parse_tile_path(path)


@given(st.lists(st.binary(max_size=300)))
def test_bundles(entries: list[bytes]) -> None:
    data = merkle.encode_bundle(entries)
    assert merkle.decode_bundle(data) == tuple(entries)
    assert merkle.tile_of(entries) == b"".join(map(leaf_hash, entries))
    if data:
        with pytest.raises(ValueError, match="cut off"):
            merkle.decode_bundle(data[:-1])
        with pytest.raises(ValueError, match="cut off"):
            merkle.decode_bundle(data + b"\x00")


@given(st.binary())
def test_no_bytes_crash_a_reader_of_bundles(data: bytes) -> None:
    try:
        entries = merkle.decode_bundle(data)
    except ValueError:
        return
    assert merkle.encode_bundle(entries) == data


@pytest.mark.parametrize("size", EDGES)
def test_go_computes_the_same_roots(tree: Tree, size: int, go_log: GoLog) -> None:
    assert go_log.root(list(ENTRIES[:size])) == merkle.tree_hash(tree.read, size)


@pytest.mark.parametrize("size", EDGES)
def test_go_accepts_our_proofs_and_makes_the_same(tree: Tree, size: int, go_log: GoLog) -> None:
    root = merkle.tree_hash(tree.read, size)
    for at in sorted({0, size // 2, size - 1}):
        proof = merkle.inclusion_proof(tree.read, at, size)
        leaf = leaf_hash(ENTRIES[at])
        go_log.ask("included", index=at, size=size, leaf=leaf, root=root, proof=proof)
        made = go_log.proof("prove-included", tree.served(size), index=at, size=size, root=root)
        assert made == list(proof)
        with pytest.raises(RefusedError):
            go_log.ask("included", index=at, size=size, leaf=EMPTY_TREE, root=root, proof=proof)
    for old in sorted({1, size // 2 or 1, size}):
        before = merkle.tree_hash(tree.read, old)
        proof = merkle.consistency_proof(tree.read, old, size)
        sizes = {"oldsize": old, "size": size, "root": root}
        go_log.ask("consistent", oldroot=before, proof=proof, **sizes)
        assert go_log.proof("prove-consistent", tree.served(size), **sizes) == list(proof)


def test_go_reads_a_tree_of_three_levels(go_log: GoLog) -> None:
    large = Tree(len(ENTRIES))
    root = merkle.tree_hash(large.read, large.size)
    for at in (0, 65_535, 65_536, 69_999):
        proof = merkle.inclusion_proof(large.read, at, large.size)
        facts = {"index": at, "size": large.size, "root": root}
        assert go_log.proof("prove-included", large.served(large.size), **facts) == list(proof)
        assert is_included(leaf_hash(ENTRIES[at]), at, large.size, proof, root)
    for old in (256, 65_536, 65_537):
        proof = merkle.consistency_proof(large.read, old, large.size)
        sizes = {"oldsize": old, "size": large.size, "root": root}
        assert go_log.proof("prove-consistent", large.served(large.size), **sizes) == list(proof)
