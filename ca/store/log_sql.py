# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 (the port documents its methods)
"""SqlLog: `ca.log_ports.LogStore` on SQLite and PostgreSQL. One method, one transaction; `ca.store.log` has the SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ca.store import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.audit import KeyAdded
    from ca.log_ports import LogCheckpoint, LogProof, LogTree, RevokedHandle
    from ca.store.database import Database


class SqlLog:
    """The log in an open database."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    async def pending(self) -> bool:
        return await self._database.read(log.pending)

    async def sequence(self, limit: int) -> int:
        return await self._database.write(log.sequence, limit)

    async def tree(self, signed: int) -> LogTree:
        return await self._database.read(log.tree, signed)

    async def revoked(self, first: int, end: int) -> tuple[RevokedHandle, ...]:
        return await self._database.read(log.revoked, first, end)

    async def revocation_entries(self, handles: Sequence[bytes], size: int) -> tuple[bytes, ...]:
        return await self._database.read(log.revocation_entries, handles, size)

    async def checkpoint(self) -> LogCheckpoint | None:
        return await self._database.read(log.checkpoint)

    async def publish(self, checkpoint: LogCheckpoint) -> bool:
        return await self._database.write(log.publish, checkpoint)

    async def replace_key(self, key_sha256: bytes) -> None:
        await self._database.write(log.replace_key, key_sha256)

    async def append_keys(self, keys: Sequence[KeyAdded]) -> None:
        await self._database.write(log.append_keys, keys)

    async def tile(self, level: int, number: int, width: int) -> bytes | None:
        return await self._database.read(log.tile, level, number, width)

    async def bundle(self, number: int, width: int) -> bytes | None:
        return await self._database.read(log.bundle, number, width)

    async def proof(self, serial: int) -> LogProof | None:
        return await self._database.read(log.proof, serial)
