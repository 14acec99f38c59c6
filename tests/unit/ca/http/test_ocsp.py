# SPDX-License-Identifier: Apache-2.0
"""OCSP over HTTP: how it is asked, what is answered, and what caches may keep."""

from __future__ import annotations

import base64
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.protocol import certificate_handle
from ca.errors import Unavailable
from ca.http.ocsp import CACHED
from ca.issuance.ocsp_question import MAX_CERTIFICATES, MAX_REQUEST_BYTES
from ca.issuance.reasons import RevocationReason
from ca.tokens import Scope
from tests import ocsp_lab, records
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from tests.service_lab import Reply, Service

POSTED = {"Content-Type": "application/ocsp-request"}


async def post(service: Service, der: bytes) -> Reply:
    return await service.send("POST", f"{service.public}/v1/ocsp", data=der, headers=POSTED)


async def get(service: Service, der: bytes, *, encoded: bool = True) -> Reply:
    text = base64.b64encode(der).decode()
    return await service.get(f"/v1/ocsp/{quote(text, safe='') if encoded else text}")


def checked(reply: Reply, status: str = "successful") -> bytes:
    """The body of an OCSP answer."""
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/ocsp-response")
    assert ocsp_lab.status_of(reply.body) == status
    return reply.body


async def issued(service: Service) -> int:
    return leaf_of(await service.enrolled()).serial_number


async def revoke(service: Service, serial: int) -> None:
    handle = certificate_handle(service.lab.issuer.key_id, serial)
    reason = RevocationReason.KEY_COMPROMISE
    revocation = records.revocation(handle, revoked_at=service.clock(), reason=reason)
    await service.store.revoke(revocation, records.ACTION)


def about(service: Service, *serials: int, **request: Any) -> bytes:  # noqa: ANN401 - of ocsp_lab
    issuer = service.lab.issuer.certificate
    return ocsp_lab.request(*(ocsp_lab.cert_id(issuer, each) for each in serials), **request)


async def test_a_certificate_before_and_after_it_is_revoked(service_on_both: Service) -> None:
    service = service_on_both
    serial = await issued(service)
    for asked in (post, get):
        (one,) = ocsp_lab.said(checked(await asked(service, about(service, serial))))
        assert (one.serial, one.status, one.this_update) == (serial, "good", service.clock())
    await revoke(service, serial)
    service.clock.now += timedelta(minutes=1)
    for asked in (post, get):
        (one,) = ocsp_lab.said(checked(await asked(service, about(service, serial))))
        assert (one.status, one.reason) == ("revoked", "key_compromise")
        assert one.revoked_at == service.clock() - timedelta(minutes=1)


async def test_what_an_operator_revokes_is_revoked_in_the_next_answer(service: Service) -> None:
    """By no job: first one key, then the product line of both machines. The first revocation counts."""
    token = await service.token(Scope.REVOCATIONS_WRITE)
    serials = [await issued(service) for _ in range(2)]
    record = await service.store.certificate(serials[0])
    assert record is not None
    said = []
    for named, reason in (
        ({"kind": "key", "value": sha256(record.decision.spki_der).hexdigest()}, "keyCompromise"),
        ({"handle": dict(record.handles)["product"].hex()}, "superseded"),
    ):
        path, body = "/v1/admin/revocations", named | {"reason": reason}
        assert (await service.operate(token, path, method="POST", json=body)).status == 201
        found = ocsp_lab.said(checked(await post(service, about(service, *serials))))
        said.append([(one.status, one.reason) for one in found])
    assert said == [
        [("revoked", "key_compromise"), ("good", None)],
        [("revoked", "key_compromise"), ("revoked", "superseded")],
    ]


async def test_several_certificates_in_one_question(service: Service) -> None:
    good, bad = await issued(service), await issued(service)
    await revoke(service, bad)
    nonce = bytes(range(32))
    question = about(service, bad, 5, good, extensions=[ocsp_lab.nonce(nonce)])
    body = checked(await post(service, question))
    assert [(one.serial, one.status) for one in ocsp_lab.said(body)] == [
        (bad, "revoked"),
        (5, "unknown"),
        (good, "good"),
    ]
    assert ocsp_lab.nonce_of(body) == nonce


async def test_what_caches_may_keep(service: Service) -> None:
    """An answer to a question that others ask too, about certificates that are there."""
    serial = await issued(service)
    question = about(service, serial)
    assert (await get(service, question)).headers["Cache-Control"] == CACHED
    assert (await get(service, about(service, serial, serial))).headers["Cache-Control"] == CACHED
    await revoke(service, serial)
    assert (await get(service, question)).headers["Cache-Control"] == CACHED
    for reply in (
        await post(service, question),
        await get(service, about(service, serial, extensions=[ocsp_lab.nonce(b"x")])),
        await get(service, about(service, serial, 5)),
        await get(service, b"no question"),
        await get(service, ocsp_lab.request(ocsp_lab.cert_id(service.lab.root, 5))),
    ):
        assert reply.headers["Cache-Control"] == "no-store"


async def test_caches_forget_before_the_answer_ends(service: Service) -> None:
    (one,) = ocsp_lab.said(checked(await get(service, about(service, await issued(service)))))
    seconds = int(CACHED.rpartition("=")[2])
    assert timedelta(seconds=seconds) < (one.next_update - one.this_update) / 2


async def test_the_path_may_have_slashes(service: Service) -> None:
    """Base64 has them, and not every client encodes what it puts into a path."""
    serial = await issued(service)
    nonce = next(
        each
        for each in (bytes([first, 0xFF, 0xFF, 0xFF, 0xFF]) for first in range(256))
        if {"/", "+"}
        <= set(base64.b64encode(about(service, serial, extensions=[ocsp_lab.nonce(each)])).decode())
    )
    question = about(service, serial, extensions=[ocsp_lab.nonce(nonce)])
    for encoded in (True, False):
        body = checked(await get(service, question, encoded=encoded))
        assert ocsp_lab.nonce_of(body) == nonce


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"x" * MAX_REQUEST_BYTES])
async def test_malformed(service: Service, der: bytes) -> None:
    checked(await post(service, der), "malformed_request")
    if der:
        checked(await get(service, der), "malformed_request")


@pytest.mark.parametrize("text", ["x", "MAA", "M%41=", "MAA=%00", "MAA=/", "=", "é"])
async def test_what_is_no_base64(service: Service, text: str) -> None:
    checked(await service.get(f"/v1/ocsp/{text}"), "malformed_request")


async def test_too_many_and_too_large(service: Service) -> None:
    many = about(service, *range(1, MAX_CERTIFICATES + 2))
    large = about(service, 5) + bytes(MAX_REQUEST_BYTES)
    for der in (many, large):
        checked(await post(service, der), "malformed_request")
        checked(await get(service, der), "malformed_request")
    assert (await post(service, large)).headers["Connection"] == "close"  # the rest is not read


async def test_certificates_of_others(service: Service) -> None:
    other = ocsp_lab.request(ocsp_lab.cert_id(service.lab.root, 5))
    for asked in (post, get):
        checked(await asked(service, other), "unauthorized")


async def test_who_answers_for_nobody(service: Service, sqlite_url: str) -> None:
    silent = await service.add_replica(sqlite_url, responders=tuple)
    url = f"{silent.public}/v1/ocsp"
    reply = await service.send("POST", url, data=about(service, 5), headers=POSTED)
    checked(reply, "unauthorized")


async def test_the_database_does_not_answer(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> None:
        raise Unavailable("database: gone")

    monkeypatch.setattr(service.store, "statuses", gone)
    for asked in (post, get):
        reply = await asked(service, about(service, 5))
        checked(reply, "try_later")
        assert reply.headers["Cache-Control"] == "no-store"


async def test_too_many_bodies_are_being_read(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.doors.state.bodies, "_left", 10)
    reply = await post(service, about(service, 5))
    checked(reply, "try_later")
    assert reply.headers["Connection"] == "close"
    checked(await get(service, about(service, 5)))  # which has no body


@pytest.mark.parametrize("media_type", ["application/json", "application/ocsp-response", ""])
async def test_another_media_type(service: Service, media_type: str) -> None:
    url = f"{service.public}/v1/ocsp"
    reply = await service.send("POST", url, data=b"{}", headers={"Content-Type": media_type})
    assert (reply.status, reply.code) == (415, "media-type")


async def test_questions_are_counted(service: Service) -> None:
    serial = await issued(service)
    await post(service, about(service, serial))
    await get(service, about(service, serial))
    await post(service, b"")
    await post(service, ocsp_lab.request(ocsp_lab.cert_id(service.lab.root, 5)))
    text = (await service.get("/metrics")).body.decode()
    for outcome, count in (
        ("answered", 2),
        ("malformed", 1),
        ("unauthorized", 1),
        ("try-later", 0),
    ):
        assert f'attestca_ocsp_questions_total{{outcome="{outcome}"}} {count}.0' in text


async def test_asking_does_not_use_the_issuing_key(service: Service) -> None:
    serial = await issued(service)
    before = service.signer.asked
    await post(service, about(service, serial))
    assert service.signer.asked == before


# where a leaf says to ask


async def test_a_leaf_names_what_is_served(service: Service) -> None:
    leaf = leaf_of(await service.enrolled())
    access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    urls = {each.access_method._name: each.access_location.value for each in access}
    base = service.lab.authority.public_url
    assert urls["OCSP"] == f"{base}/v1/ocsp"
    reply = await service.get(urls["caIssuers"].removeprefix(base))
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/pkix-cert")
    assert reply.body == service.lab.issuer.certificate.public_bytes(Encoding.DER)
    leaf.verify_directly_issued_by(x509.load_der_x509_certificate(reply.body))


@pytest.mark.parametrize("key_id", ["00" * 20, "AA" * 20, "0" * 39, "x"])
async def test_no_issuing_ca_of_that_key_id(service: Service, key_id: str) -> None:
    reply = await service.get(f"/v1/ca/{key_id}.cer")
    assert (reply.status, reply.code) == (404, "not-found")


async def test_a_former_issuing_ca(service: Service, sqlite_url: str) -> None:
    former = service.lab.renew(service.clock()).issuer
    der = former.certificate.public_bytes(Encoding.DER)
    replica = await service.add_replica(
        sqlite_url, former_chain={former.key_id: (der, b"root")}.get
    )
    for key_id, expected in (
        (former.key_id, der),
        (service.lab.issuer.key_id, service.lab.issuer.certificate.public_bytes(Encoding.DER)),
    ):
        reply = await service.send("GET", f"{replica.public}/v1/ca/{key_id.hex()}.cer")
        assert (reply.status, reply.body) == (200, expected)
