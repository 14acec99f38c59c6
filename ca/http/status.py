# SPDX-License-Identifier: Apache-2.0
"""The status staple of one certificate, and the lists of revoked certificates that are served.

Rules: everything in a staple is of one checkpoint, the newest published one, and proves itself to whoever has the
log's verifier key: that the certificate was logged, and of each of its handles whether it is revoked. So it may come
from a cache or from the machine that it is about; how old it is stands in the checkpoint. A handle that the policy
withholds from the certificate is not in it, for nobody outside could ask for it.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from attestca_client.protocol import certificate_handle, crls_digest
from attestca_client.protocol.checkpoint import unchecked
from ca import audit
from ca.errors import LogHalted
from ca.http.handlers import DOORS, answer
from ca.http.log import logged
from ca.http.schema import CrlList, ServedCrl, StapleAnswer

if TYPE_CHECKING:
    from aiohttp import web

    from ca.log_ports import LogProof
    from ca.ports import CertificateRecord

SECONDS: Final = "public, max-age=10"


async def staple(request: web.Request) -> web.Response:
    """What a relying party needs to know that a certificate was logged and is not revoked."""
    doors = request.app[DOORS]
    record, proof = await logged(request)
    head = unchecked(proof.note).head
    tree = await doors.history.tree(head)
    handles = _handles(record)
    revoked = [handle for handle in handles if tree.value(handle) is not None]
    entries = await doors.log.revocation_entries(revoked, head.size) if revoked else ()
    if len(entries) != len(revoked):
        raise LogHalted("the log of this database is damaged: an entry of a revocation is missing")
    return answer(stapled(proof, tree.prove(handles), entries))


def _handles(record: CertificateRecord) -> tuple[bytes, ...]:
    """Everything that the certificate depends on, as far as it is not withheld."""
    own = certificate_handle(record.issuer_key_id, record.serial)
    return tuple(dict.fromkeys((own, *(handle for _, handle in record.handles))))


def stapled(proof: LogProof, revocations: bytes, revoked: tuple[bytes, ...]) -> StapleAnswer:
    """The answer. `revocations`: the proof of the tree; `revoked`: the entries of what is in it. Raises LogHalted."""
    entry = audit.decode(proof.entry)
    if not isinstance(entry, audit.Issuance):
        raise LogHalted("the log of this database is damaged: an issuance is another entry")
    return StapleAnswer(
        checkpoint=proof.note.decode(),
        index=proof.index,
        time=audit.micros(entry.time),
        commitment=_text(entry.commitment),
        hashes=[_text(one) for one in proof.hashes],
        revocations=_text(revocations),
        revoked=[_text(one) for one in revoked],
    )


async def lists(request: web.Request) -> web.Response:
    """Every list of revoked certificates that is served now, and the digest of all."""
    served = tuple(await request.app[DOORS].lists())
    found = [ServedCrl(url=one.url, sha256=one.sha256.hex(), number=one.number) for one in served]
    digest = crls_digest({one.url: one.sha256 for one in served})
    return answer(CrlList(digest=digest.hex(), lists=found))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
