# SPDX-License-Identifier: Apache-2.0
"""Texts of policies that the command line names: a file, or NAME@VERSION on record (a file of that name: ./NAME@1)."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from ca.cli import inputs, options, remote
from ca.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ca.config import Config
    from ca.ports import Store
    from ca.store.sql import SqlStore

POLICIES: Final = "/v1/admin/policies"
_ON_RECORD: Final = re.compile("([a-z0-9][a-z0-9-]{0,62})@([1-9][0-9]{0,9})")


async def from_store(name: str, store: Store) -> bytes:
    """Raises NotFound, UnreadableError."""
    match = _ON_RECORD.fullmatch(name)
    if match is None:
        return inputs.read_input(name)
    record = await store.policy(match[1], int(match[2]))
    if record is None:
        raise NotFound(f"there is no policy {name}")
    return record.document


def from_api(name: str, connect: Callable[[], remote.Remote]) -> bytes:
    """`connect` is called only for what is no file. Raises NotFound, UnreadableError, what `Remote` raises."""
    match = _ON_RECORD.fullmatch(name)
    if match is None:
        return inputs.read_input(name)
    return connect().get_bytes(path_of(match[1], int(match[2])))


def path_of(name: str, version: int) -> str:
    """Of one version, in the operators' API."""
    return f"{POLICIES}/{remote.segment(name)}/{version}"


@asynccontextmanager
async def opened(settings: Config) -> AsyncIterator[SqlStore]:
    """The database of a configuration."""
    from ca.store.sql import SqlStore

    store = await SqlStore.open(options.database_url(settings))
    try:
        yield store
    finally:
        await store.close()
