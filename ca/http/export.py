# SPDX-License-Identifier: Apache-2.0
"""A whole search of certificates as a stream of JSON or CSV (RFC 4180), page by page, in memory of one page.

A fault in the middle cuts the connection, so that no part is taken for the whole. CSV cells that a spreadsheet would
take for a formula get an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ca.errors import RequestRefused
from ca.http import records
from ca.http.admin import certificate_query, log
from ca.http.handlers import DOORS
from ca.http.middleware import dress
from ca.http.queries import ExportFormat, ExportQuery, query_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from ca.http.queries import CertificateFilter
    from ca.http.schema import CertificateSummary
    from ca.ports import Store

PAGE: Final = 200
CSV_COLUMNS: Final = (
    "serial",
    "outcome",
    "not_before",
    "not_after",
    "names",
    "profile",
    "tee",
    "tcb_status",
    "policy",
    "policy_version",
    "policy_sha256",
    "decided_at",
    "issuer_key_id",
    "certificate_sha256",
)
MEDIA_TYPES: Final = {ExportFormat.JSON: "application/json", ExportFormat.CSV: "text/csv"}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


async def export_certificates(request: web.Request) -> web.StreamResponse:
    """Every certificate that the query finds."""
    wanted = query_of(request, ExportQuery)
    await log(request, "certificates.export", detail=wanted)
    pages = _pages(request.app[DOORS].authority.store, wanted)
    write = _json if wanted.format is ExportFormat.JSON else _csv
    parts = write(pages)
    first = await anext(parts)  # a database that does not answer is a clean 503
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{MEDIA_TYPES[wanted.format]}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="certificates.{wanted.format}"',
        }
    )
    dress(request, response)
    try:
        await response.prepare(request)
        await response.write(first)
        async for part in parts:
            await response.write(part)
        await response.write_eof()
    except ConnectionError:
        raise RequestRefused("the client left within its answer", code="client-left") from None
    except BaseException:
        if request.transport is not None:
            request.transport.abort()
        raise
    return response


def neutralised(cell: str) -> str:
    """`cell` as text for every spreadsheet."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


async def _pages(
    store: Store, wanted: CertificateFilter
) -> AsyncIterator[list[CertificateSummary]]:
    """At least one page, then until one is not full."""
    after: int | None = None
    while True:
        found = await store.certificates(certificate_query(wanted, limit=PAGE, after=after))
        yield [records.certificate(record) for record in found]
        if len(found) < PAGE:
            return
        after = found[-1].serial


async def _json(pages: AsyncIterator[list[CertificateSummary]]) -> AsyncIterator[bytes]:
    """A `CertificateExport`."""
    opening = '{"certificates":['
    async for page in pages:
        if not page:
            continue
        yield (opening + ",\n".join(one.model_dump_json() for one in page)).encode()
        opening = ",\n"
    yield b"]}\n" if opening == ",\n" else f"{opening}]}}\n".encode()


async def _csv(pages: AsyncIterator[list[CertificateSummary]]) -> AsyncIterator[bytes]:
    heading: list[tuple[str, ...]] = [CSV_COLUMNS]
    async for page in pages:
        yield _lines([*heading, *map(_row, page)])
        heading = []


def _lines(rows: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _row(one: CertificateSummary) -> tuple[str, ...]:
    policy = one.policy
    cells = (
        one.serial,
        one.outcome.value,
        one.not_before,
        one.not_after,
        " ".join(one.names),
        one.profile,
        one.tee,
        one.tcb_status,
        policy.name if policy else "",
        str(policy.version) if policy else "",
        policy.sha256 if policy else "",
        one.decided_at,
        one.issuer_key_id,
        one.certificate_sha256 or "",
    )
    return tuple(map(neutralised, cells))
