# SPDX-License-Identifier: Apache-2.0
"""The revocation trees of a replica's last few heads, in memory; those of others are made from the log when asked for.

Rules: a tree is known by its root, so what is given is what the head names, or LogHalted. Only what the log has behind
a tree that is known is read. Trees share what is alike, so a few of them cost little more than one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ca.errors import LogHalted
from ca.revocation_tree import RevocationTree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attestca_client.protocol.checkpoint import Head
    from ca.log_ports import LogStore, RevokedHandle

KEPT: Final = 8  # trees
_MANY: Final = 256  # handles that are not put into a tree while others wait


@dataclass(slots=True)
class TreeHistory:
    """By root: the largest size that is known to have it, and the tree. The last one used is the last."""

    store: LogStore
    _known: OrderedDict[bytes, tuple[int, RevocationTree]] = field(default_factory=OrderedDict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def tree(self, head: Head) -> RevocationTree:
        """The tree of a head that this log signed. Raises LogHalted where the database makes another one."""
        async with self._lock:
            known = self._known.get(head.revocation_root)
            tree = await self._read(head) if known is None else known[1]
            if tree.count != head.revocation_count:
                raise _halted(head)
            self._keep(head.size, tree)
            return tree

    async def keep(self, size: int, tree: RevocationTree) -> None:
        """Know the tree of the first `size` entries."""
        async with self._lock:
            self._keep(size, tree)

    async def _read(self, head: Head) -> RevocationTree:
        """From the largest tree that its own may begin with; then, for what is known may be of no use, from nothing."""
        before = [known for known in self._known.values() if known[0] <= head.size]
        for size, tree in (max(before, key=_size, default=_NOTHING), _NOTHING):
            grown = await with_revoked(tree, await self.store.revoked(size, head.size))
            if grown.root == head.revocation_root:
                return grown
        raise _halted(head)

    def _keep(self, size: int, tree: RevocationTree) -> None:
        known = self._known.pop(tree.root, _NOTHING)
        self._known[tree.root] = (max(size, known[0]), tree)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)


_NOTHING: Final = (0, RevocationTree())


async def with_revoked(tree: RevocationTree, revoked: Iterable[RevokedHandle]) -> RevocationTree:
    """`tree` with these as well; many are put in beside the loop."""
    new = [(one.handle, one.value) for one in revoked]
    if len(new) > _MANY:
        return await asyncio.to_thread(tree.with_all, new)
    return tree.with_all(new)


def _size(known: tuple[int, RevocationTree]) -> int:
    return known[0]


def _halted(head: Head) -> LogHalted:
    return LogHalted(
        f"the database has not what the first {head.size} entries revoked when they were signed"
    )
