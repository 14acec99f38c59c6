# SPDX-License-Identifier: Apache-2.0
"""The log's Merkle tree (RFC 9162, section 2.1, SHA-256), kept and served as tiles (C2SP tlog-tiles).

A tile has up to 256 hashes of 32 bytes. Those of level 0 are hashes of entries; each of level l + 1 stands for a full
tile of level l. So a hash that is once in a tile never changes: a tile only grows to the right, up to 256, and what is
of the levels in between is computed from it. A tree of any size is all that was ever in its tiles, cut off at its size.

Pure: tiles come through a `Read`, and new ones go back to the caller. How a proof is checked stands in
`attestca_client.protocol`, for relying parties do that too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from attestca_client.protocol import EMPTY_TREE, leaf_hash, node_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HASH: Final = 32  # bytes
WIDTH: Final = 256  # hashes or entries of a full tile
MAX_ENTRY: Final = (1 << 16) - 1  # bytes; its length is a u16 in a bundle
MAX_LEVEL: Final = 7  # 256^8 entries are 2^64
_HEIGHT: Final = 8  # of the tree in a full tile
_BITS: Final = 63  # sizes fit a signed 64-bit column

Read: TypeAlias = Callable[[int, int], bytes]
"""The hashes that are in tile (level, number): at least those of the tree that is asked about, in order."""


class TileMissingError(Exception):
    """A `Read` did not give the hashes that the tree must have."""


# hashes of trees


def tree_hash(read: Read, size: int) -> bytes:
    """The root hash of the first `size` entries. Raises TileMissingError."""
    return _range_hash(read, 0, size) if size else EMPTY_TREE


def inclusion_proof(read: Read, index: int, size: int) -> tuple[bytes, ...]:
    """PATH(index, D[size]): from the leaf's sibling up (RFC 9162, section 2.1.3.1). Raises TileMissingError.

    At most 63 hashes, each from one or two tiles. Raises ValueError unless index < size.
    """
    if not 0 <= index < size:
        raise ValueError("no such entry in this tree")
    start, end = 0, size
    proof: list[bytes] = []
    while end - start > 1:
        middle = start + _power_below(end - start)
        if index < middle:
            proof.append(_range_hash(read, middle, end))
            end = middle
        else:
            proof.append(_range_hash(read, start, middle))
            start = middle
    return tuple(reversed(proof))


def consistency_proof(read: Read, old: int, new: int) -> tuple[bytes, ...]:
    """PROOF(old, D[new]) (RFC 9162, section 2.1.4.1); empty from 0 and to itself. Raises TileMissingError.

    Raises ValueError unless old <= new.
    """
    if not 0 <= old <= new:
        raise ValueError("a tree does not shrink")
    if old in {0, new}:
        return ()
    start, end = 0, new
    proof: list[bytes] = []
    while end != old:
        middle = start + _power_below(end - start)
        if old <= middle:
            proof.append(_range_hash(read, middle, end))
            end = middle
        else:
            proof.append(_range_hash(read, start, middle))
            start = middle
    if start:  # the old tree is no complete subtree that its own root would name
        proof.append(_range_hash(read, start, end))
    return tuple(reversed(proof))


def grow(read: Read, size: int, leaves: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """The tiles that change when a tree of `size` entries gets these leaf hashes, whole: (level, number) -> hashes.

    Raises TileMissingError where the right edge is not what a tree of this size has.
    """
    changed: dict[tuple[int, int], bytes] = {}
    level, count, fresh = 0, size, list(leaves)
    while fresh:
        above: list[bytes] = []
        number, width = divmod(count, WIDTH)
        tile = _whole(read(level, number), width) if width else b""
        for first, last in pairwise(_cuts(len(fresh), WIDTH - width)):
            tile += b"".join(fresh[first:last])
            changed[level, number] = tile
            if is_full(tile):
                above.append(_fold(tile))
            number, tile = number + 1, b""
        level, count, fresh = level + 1, count // WIDTH, above
    return changed


def _range_hash(read: Read, start: int, end: int) -> bytes:
    """MTH(D[start:end]). `start` is a multiple of the largest power of two below the length, as in every proof."""
    length = end - start
    if length & (length - 1) == 0:
        return _subtree(read, length.bit_length() - 1, start)
    middle = start + _power_below(length)
    return node_hash(_range_hash(read, start, middle), _range_hash(read, middle, end))


def _subtree(read: Read, height: int, start: int) -> bytes:
    """The hash of the complete subtree of 2^height entries from `start` on."""
    level, rest = divmod(height, _HEIGHT)
    number, offset = divmod(start >> (level * _HEIGHT), WIDTH)
    end = offset + (1 << rest)
    return _fold(_whole(read(level, number), end)[offset * HASH :])


def _power_below(length: int) -> int:
    """The largest power of two below `length`."""
    return 1 << (length - 1).bit_length() - 1


def _fold(hashes: bytes) -> bytes:
    """The root over 2^n hashes."""
    row = split(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def _whole(tile: bytes, width: int) -> bytes:
    """The first `width` hashes of a tile. Raises TileMissingError."""
    if len(tile) < width * HASH:
        raise TileMissingError(f"a tile has {len(tile) // HASH} hashes of {width}")
    return tile[: width * HASH]


def _cuts(length: int, first: int) -> Iterator[int]:
    """0, first, first + 256, …, length."""
    yield 0
    yield from range(first, length, WIDTH)
    yield length


# tiles as resources


def tile_width(level: int, number: int, size: int) -> int:
    """How many hashes tile (level, number) has in a tree of `size` entries; level 0: how many entries its bundle."""
    return max(0, min(WIDTH, (size >> (level * _HEIGHT)) - number * WIDTH))


def tile_path(level: int | None, number: int, width: int = WIDTH) -> str:
    """`tile/<L>/<N>[.p/<W>]`; of a bundle of entries where `level` is None."""
    name = f"{number % 1000:03}"
    while number := number // 1000:
        name = f"x{number % 1000:03}/{name}"
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{'entries' if level is None else level}/{name}{partial}"


def parse_tile_path(path: str) -> tuple[int | None, int, int]:
    """(level, number, width) of a path that `tile_path` makes. Raises ValueError for every other."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError("not the path of a tile")
    level = None if match["level"] == "entries" else int(match["level"])
    number = int(match["number"].replace("x", "").replace("/", ""))
    width = int(match["width"] or WIDTH)
    if number >> _BITS or not 1 <= width <= WIDTH or tile_path(level, number, width) != path:
        raise ValueError("not the path of a tile")
    return level, number, width


_PATH: Final = re.compile(
    r"tile/(?P<level>entries|[0-7])/(?P<number>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[0-9]{1,3}))?",
    re.ASCII,
)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries as they are served, each behind its length as u16 big-endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes) -> tuple[bytes, ...]:
    """The entries of a bundle. Raises ValueError where one is cut off."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise ValueError("the last entry of the bundle is cut off")
        entries.append(data[at + 2 : end])
        at = end
    return tuple(entries)


def is_full(tile: bytes) -> bool:
    """Whether a tile has all of its hashes."""
    return len(tile) == WIDTH * HASH


def split(hashes: bytes) -> list[bytes]:
    """The hashes of a tile, one by one."""
    return [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)]


def tile_of(entries: Iterable[bytes]) -> bytes:
    """The hashes of the level 0 tile that goes with a bundle."""
    return b"".join(leaf_hash(entry) for entry in entries)
