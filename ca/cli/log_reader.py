# SPDX-License-Identifier: Apache-2.0
"""Reading somebody's log over HTTP: no token, no redirects, every answer bounded, patient where we are too quick."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from ca import merkle
from ca.cli import remote
from ca.errors import NotFound, Unavailable
from ca.note import path_of
from ca.replay import NotOneHistoryError, Replay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import aiohttp

    from attestca_client.protocol.checkpoint import Checkpoint, Head, Verifier

_MOST: Final = merkle.WIDTH * (merkle.MAX_ENTRY + 2)  # bytes of any answer
_PATIENCE: Final = 30.0  # seconds without a byte
_TRIES: Final = 20
_LONGEST_WAIT: Final = 60  # seconds, whatever the server asks for


class LogReader:
    """One log, at `path` of the authority at `url`. Use `opened`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, path: str) -> None:
        self._session = session
        self._url = url
        self._path = path

    async def get(self, path: str) -> bytes:
        """What is served at `path` below the log. Raises NotFound, Unavailable."""
        return await self._get(f"{self._url}/{self._path}/{path}", f"the log has no {path}")

    async def ask(self, path: str) -> bytes:
        """What the authority serves at `path`. Raises NotFound, Unavailable."""
        return await self._get(f"{self._url}/{path}", f"the authority has no {path}")

    async def list_at(self, url: str) -> bytes:
        """What this host serves for a URL, whichever host that names: none is asked that nobody named to us.

        Raises NotFound, Unavailable, and ValueError for what is no URL.
        """
        ours, path = urlsplit(self._url), quote(urlsplit(url).path, safe="/%")
        here = f"{ours.scheme}://{ours.netloc}/{path.lstrip('/')}"
        return await self._get(here, f"{url} is not served")

    async def _get(self, url: str, absent: str) -> bytes:
        import aiohttp

        try:
            for _ in range(_TRIES):
                async with self._session.get(url, allow_redirects=False) as response:
                    if response.status not in {429, 503}:
                        return await _body(response, url, absent)
                    wait = response.headers.get("Retry-After", "1")
                await asyncio.sleep(min(int(wait) if wait.isdecimal() else 1, _LONGEST_WAIT))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{self._url}: {type(error).__name__}: {error}") from error
        raise Unavailable(f"{self._url}: it does not answer, though it was asked {_TRIES} times")


@asynccontextmanager
async def opened(url: str, ca_root: Path | None, name: str) -> AsyncIterator[LogReader]:
    """A reader of the log with that name of the authority at `url`."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(sock_connect=_PATIENCE, sock_read=_PATIENCE)
    connector = aiohttp.TCPConnector(ssl=remote.tls_context(ca_root), limit=1)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield LogReader(session, url.rstrip("/"), path_of(name))


async def read_on(
    reader: LogReader,
    replay: Replay,
    verifier: Verifier,
    before: Head,
    progress: Callable[[int, int], None],
) -> tuple[Checkpoint, bytes]:
    """Read up to the newest checkpoint, which is returned with its note. `before`: the head of the last time.

    Raises NotOneHistoryError, `protocol.checkpoint.NoteError`, NotFound, Unavailable.
    """
    note = await reader.get("checkpoint")
    checkpoint = verifier.open(note)
    head = checkpoint.head
    if head.size < replay.size:
        raise NotOneHistoryError(
            f"the log has {head.size} entries, and had {replay.size} the last time"
        )
    if head.size > before.size and head.time < before.time:
        raise NotOneHistoryError("the log has grown, and its checkpoint is of an earlier time")
    for number, width in replay.missing(head.size):
        bundle = await reader.get(merkle.tile_path(None, number, width))
        for (level, at), hashes in replay.take(number, width, bundle).items():
            await _compare(reader, merkle.tile_path(level, at), hashes)
        progress(replay.size, head.size)
    replay.finish(head)
    for (level, at), hashes in replay.edge.items():
        await _compare(reader, merkle.tile_path(level, at, len(hashes) // merkle.HASH), hashes)
    return checkpoint, note


async def _compare(reader: LogReader, path: str, hashes: bytes) -> None:
    if await reader.get(path) != hashes:
        raise NotOneHistoryError(f"{path} is not of the tree that the entries make")


async def _body(response: aiohttp.ClientResponse, url: str, absent: str) -> bytes:
    if response.status == 404:
        raise NotFound(absent)
    if response.status != 200:
        raise Unavailable(f"{url}: answered {response.status}")
    parts = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        parts += chunk
        if len(parts) > _MOST:
            raise Unavailable(f"{url}: the answer is longer than {_MOST} bytes")
    return bytes(parts)
