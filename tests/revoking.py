# SPDX-License-Identifier: Apache-2.0
"""Revoking at the service of `tests.app_lab`, and what relying parties then find in the list that a leaf names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography import x509

from ca.tokens import Scope
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from tests.app_lab import App
    from tests.service_lab import Reply

REVOCATIONS = "/v1/admin/revocations"


async def post(app: App, path: str, **body: object) -> Reply:
    token = await app.token(*Scope)
    headers = {"Authorization": f"Bearer {token}"}
    return await app.send("POST", app.admin + path, json=body, headers=headers)


async def revoke(app: App, **body: object) -> dict[str, Any]:
    """What a new revocation is answered."""
    reply = await post(app, REVOCATIONS, **{"reason": "keyCompromise"} | body)
    assert reply.status == 201, reply.body
    return reply.json()


async def preview(app: App, **body: object) -> dict[str, Any]:
    reply = await post(app, f"{REVOCATIONS}/preview", **body)
    assert reply.status == 200, reply.body
    return reply.json()


def issued(reply: Reply) -> x509.Certificate:
    assert reply.status == 201, reply.body
    return leaf_of(reply)


def refused(reply: Reply, kind: str) -> None:
    """An enrollment that a revocation of that kind stopped."""
    assert (reply.status, reply.code) == (403, "handle-revoked"), reply.body
    assert reply.json()["detail"] == f"revoked: {kind}"


async def listed(app: App, leaf: x509.Certificate) -> x509.RevokedCertificate | None:
    """The entry of a leaf in the list at the address that it names, signed by its issuer."""
    (point,) = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name is not None
    path = urlsplit(point.full_name[0].value).path
    reply = await app.get(path)
    assert reply.status == 200, (path, reply.body)
    crl = x509.load_der_x509_crl(reply.body)
    (issuer, _) = x509.load_pem_x509_certificates((await app.get("/v1/ca/chain")).body)
    if crl.issuer == issuer.subject:
        assert crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type] # of our own authority
    assert crl.issuer == leaf.issuer
    return crl.get_revoked_certificate_by_serial_number(leaf.serial_number)


async def publish(app: App) -> None:
    """What the job does that a revocation wakes."""
    await app.run_job("certificates")
