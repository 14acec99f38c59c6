# SPDX-License-Identifier: Apache-2.0
"""Whether heads that stand elsewhere (anchors on a chain, checkpoints that somebody kept) are of a log that was read.

A head is of the log where the log's first `size` entries make its tree and revoke what it says. The entries are not
read again: what the audit keeps has what each revoked, and the tree of an earlier size comes from tiles, which are
believed where they lead to the tree that was read (RFC 9162, section 2.1.4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from attestca_client.protocol import is_consistent
from ca import merkle
from ca.replay import NotOneHistoryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attestca_client.protocol.checkpoint import Head
    from ca.cli.log_reader import LogReader
    from ca.replay import Replay

_KEPT: Final = 256  # tiles


async def contradictions(reader: LogReader, replay: Replay, heads: Iterable[Head]) -> list[str]:
    """What is wrong with these heads, one line each; nothing of those that are of the log, which `replay` has read.

    Their lists and times are not looked at. Costs a few tiles for each head, of which neighbours share most.
    Raises NotOneHistoryError where the tiles are not those of the log, NotFound, Unavailable.
    """
    wanted = sorted(set(heads), key=lambda head: (head.size, head.time))
    found = [
        f"a head names {head.size} entries, and the log has {replay.size}"
        for head in wanted
        if head.size > replay.size
    ]
    wanted = [head for head in wanted if head.size <= replay.size]
    tiles = _Tiles(reader, replay)
    trees = replay.trees_at(head.size for head in wanted)
    for head, tree in zip(wanted, trees, strict=True):
        if await tiles.root(head.size) != head.root:
            found.append(f"the first {head.size} entries do not make the tree that a head names")
        if (tree.count, tree.root) != (head.revocation_count, head.revocation_root):
            found.append(f"the first {head.size} entries do not revoke what a head says")
    return found


class _UnreadError(Exception):
    """A tile that is wanted and not here."""

    def __init__(self, level: int, number: int) -> None:
        super().__init__(level, number)
        self.tile = (level, number)


@dataclass(slots=True)
class _Tiles:
    """Tiles that are full come from the log as it is served; the others are what the audit keeps."""

    reader: LogReader
    replay: Replay
    known: dict[tuple[int, int], bytes] = field(default_factory=dict)

    async def root(self, size: int) -> bytes:
        """Of the first `size` entries."""
        while True:
            try:
                return self._root(size)
            except _UnreadError as unread:
                if len(self.known) >= _KEPT:
                    self.known.clear()
                self.known[unread.tile] = await self.reader.get(merkle.tile_path(*unread.tile))

    def _root(self, size: int) -> bytes:
        whole = self.replay.size
        try:
            root = merkle.tree_hash(self._read, size)
            proof = merkle.consistency_proof(self._read, size, whole)
            newest = merkle.tree_hash(self.replay.read, whole)
        except merkle.TileMissingError as error:
            raise NotOneHistoryError(f"a full tile is not full: {error}") from error
        if not is_consistent(size, whole, proof, root, newest):
            raise NotOneHistoryError(f"tiles of the first {size} entries are not of this log")
        return root

    def _read(self, level: int, number: int) -> bytes:
        edge = self.replay.read(level, number)
        if edge:
            return edge
        if (level, number) not in self.known:
            raise _UnreadError(level, number)
        return self.known[level, number]
