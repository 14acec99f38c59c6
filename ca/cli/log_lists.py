# SPDX-License-Identifier: Apache-2.0
"""Whether the lists of revoked certificates that are served are those that the log's checkpoint names.

A checkpoint has a digest of all lists (`protocol.crls_digest`), /v1/crls names them with theirs, and each is served
where it says. Lists change between two checkpoints, and the next one has them, a minute later at most: so what differs
is looked at again until that is over, each time with the newest checkpoint, and only what stays is told.
"""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from attestca_client.protocol import crls_digest
from attestca_client.protocol.jsontext import read_object
from ca.cli import output
from ca.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attestca_client.protocol.checkpoint import Head, Verifier
    from ca.cli.log_reader import LogReader

PATIENCE: Final = 75.0  # seconds: a heartbeat of the log, and what caches may keep of it
EVERY: Final = 5.0  # seconds
_ALL: Final = "v1/crls"
_MOST: Final = 20  # that are told


async def contradictions(reader: LogReader, verifier: Verifier, head: Head) -> list[str]:
    """What stays wrong with the lists, one line each. `head`: of the newest checkpoint that was read.

    Raises `protocol.checkpoint.NoteError`, NotFound where there are no checkpoints any more, Unavailable.
    """
    end, told = time.monotonic() + PATIENCE, False
    while found := await _wrong(reader, head):
        if time.monotonic() >= end:
            return found[:_MOST]
        if not told:
            output.say(
                f"The lists are not those of the checkpoint; waiting up to {PATIENCE:.0f} s for the next one …"
            )
            told = True
        await asyncio.sleep(EVERY)
        head = verifier.open(await reader.get("checkpoint")).head
    return []


async def _wrong(reader: LogReader, head: Head) -> list[str]:
    """As it is now."""
    try:
        digest, lists = _read(await reader.ask(_ALL))
    except NotFound as error:
        return [error.detail]
    except ValueError as error:
        return [f"{_ALL}: {error}"]
    found = []
    if crls_digest(lists) != digest:
        found.append(f"{_ALL} has not the digest of the lists that it names")
    if crls_digest(lists) != head.crls_digest:
        found.append(f"the checkpoint names other lists than {_ALL}")
    return found or [fault for url in lists if (fault := await _fault(reader, url, lists[url]))]


async def _fault(reader: LogReader, url: str, expected: bytes) -> str:
    """What is wrong with one list; empty where nothing is."""
    try:
        served = sha256(await reader.list_at(url)).digest()
    except NotFound as error:
        return error.detail
    except ValueError:
        return f"{url} is no URL"
    return "" if served == expected else f"{url} is another list than {_ALL} names"


def _read(body: bytes) -> tuple[bytes, Mapping[str, bytes]]:
    """The digest, and the SHA-256 of each list by its URL. Raises ValueError."""
    found = read_object(body)
    try:
        lists = {str(one["url"]): bytes.fromhex(one["sha256"]) for one in found["lists"]}
        digest = bytes.fromhex(found["digest"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("not the lists that are served") from error
    if len(lists) < len(found["lists"]) or any(len(one) != 32 for one in lists.values()):
        raise ValueError("not the lists that are served")
    return digest, lists
