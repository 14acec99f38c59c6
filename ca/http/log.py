# SPDX-License-Identifier: Apache-2.0
"""The public log over HTTP (C2SP tlog-tiles below /log), and where one certificate stands in it.

Rules: what is served is of the tree of the newest published checkpoint. Tiles and bundles never change once they are
served, so a cache in front may keep them for ever; the checkpoint may be seconds old. So that this stays true where a
database was lost, the log of each later key has addresses of its own (`/log/2`, `/log/3`, …), and those of the one
before are there no more. Bytes go out as they are stored.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ca import merkle
from ca.errors import NotFound
from ca.http.handlers import DOORS, answer, issued
from ca.http.schema import LogProofAnswer
from ca.note import origin_of, path_of

if TYPE_CHECKING:
    from ca.log_ports import LogProof
    from ca.ports import CertificateRecord

NOTE: Final = "text/plain"
TILE: Final = "application/octet-stream"
FOR_EVER: Final = "public, max-age=31536000, immutable"
SECONDS: Final = "public, max-age=1"


async def checkpoint(request: web.Request) -> web.Response:
    """The newest checkpoint."""
    return web.Response(body=await _newest(request), content_type=NOTE, charset="utf-8")


async def tile(request: web.Request) -> web.Response:
    """A tile of hashes, or the bundle of entries that goes with one of level 0."""
    log = request.app[DOORS].log
    try:
        level, number, width = merkle.parse_tile_path(f"tile/{request.match_info['tile']}")
    except ValueError as error:
        raise NotFound("this is not the path of a tile") from error
    await _newest(request)
    data = await (log.bundle(number, width) if level is None else log.tile(level, number, width))
    if data is None:
        raise NotFound("the tree is not as large")
    return web.Response(body=data, content_type=TILE)


async def _newest(request: web.Request) -> bytes:
    """The published note, if it is of the log that is asked for. Raises NotFound."""
    newest = await request.app[DOORS].log.checkpoint()
    if newest is None or newest.note is None:
        raise NotFound("no checkpoint was signed yet", code="not-logged")
    number = request.match_info.get("number")
    if path_of(origin_of(newest.note)) != (f"log/{number}" if number else "log"):
        raise NotFound("this log has ended, or there never was one")
    return newest.note


async def proof(request: web.Request) -> web.Response:
    """That the issuance of a certificate is in the log."""
    _, found = await logged(request)
    return answer(_proof_answer(found))


async def logged(request: web.Request) -> tuple[CertificateRecord, LogProof]:
    """The certificate that the path names, and its place in the published tree. Raises NotFound."""
    doors = request.app[DOORS]
    record = await issued(request, doors)
    if record.decision.salt is None:
        raise NotFound("it was issued before there was a log", code="before-log")
    found = await doors.log.proof(record.serial)
    if found is None:
        raise NotFound("the log gets to it within seconds", code="not-logged")
    return record, found


def _proof_answer(found: LogProof) -> LogProofAnswer:
    return LogProofAnswer(
        index=found.index,
        entry=base64.b64encode(found.entry).decode(),
        hashes=[base64.b64encode(one).decode() for one in found.hashes],
        checkpoint=found.note.decode(),
    )
