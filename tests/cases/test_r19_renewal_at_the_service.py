# SPDX-License-Identifier: Apache-2.0
"""R-19, the service's side: renewal needs fresh evidence of the same subject.

A valid certificate, its key, or its owner's TLS connection count for nothing.
"""

from __future__ import annotations

import base64
import json
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.app_lab import problem_of
from tests.authority_lab import make_csr
from tests.service_lab import body_of, leaf_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app_lab import App


def names(leaf: x509.Certificate) -> list[str]:
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in san]


def evidence_of(body: bytes) -> bytes:
    return base64.b64decode(json.loads(body)["evidence"][0]["data"])


async def test_the_same_key_with_evidence_of_before(app: App) -> None:
    """The holder of a certified key asks again and shows what convinced us last time."""
    key = ec.generate_private_key(ec.SECP256R1())
    first = app.body(await app.nonce(), key=key)
    assert (await app.post(first)).status == 201
    stale = [("tdx-quote", evidence_of(first))]
    problem_of(
        await app.post(body_of(await app.nonce(), make_csr(key), stale)), 422, "binding-mismatch"
    )


async def test_another_certified_key_with_this_machines_evidence(app: App) -> None:
    """Two machines with certificates each: one's evidence renews nothing for the other's key."""
    mine, theirs = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    for key in (mine, theirs):
        assert (await app.enroll(key=key)).status == 201
    nonce = await app.nonce()
    quote = [("tdx-quote", evidence_of(app.body(nonce, key=theirs)))]
    problem_of(await app.post(body_of(nonce, make_csr(mine), quote)), 422, "binding-mismatch")


async def test_a_valid_certificate_in_the_tls_handshake(app: App, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    first = app.body(await app.nonce(), key=key)
    reply = await app.post(first)
    (tmp_path / "cert.pem").write_text(reply.json()["certificate"] + reply.json()["chain"][0])
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    stale = body_of(await app.nonce(), make_csr(key), [("tdx-quote", evidence_of(first))])
    headers = {"Content-Type": "application/json"}
    answer = await app.send(
        "POST", app.public + "/v1/enrollments", data=stale, headers=headers, ssl=context
    )
    problem_of(answer, 422, "binding-mismatch")


async def test_a_certificate_in_the_request(app: App) -> None:
    """There is no place for one."""
    reply = await app.enroll()
    for member in ("certificate", "chain", "serial", "renews"):
        tree = json.loads(app.body(await app.nonce())) | {member: reply.json()["certificate"]}
        problem_of(await app.post(json.dumps(tree).encode()), 400, "malformed")
        tree = json.loads(app.body(await app.nonce())) | {"evidence": []}
        problem_of(await app.post(json.dumps(tree).encode()), 400, "malformed")


async def test_another_image_does_not_get_the_name(app: App) -> None:
    """With the certified key, and a CSR that asks for the name of before."""
    key = ec.generate_private_key(ec.SECP256R1())
    before = leaf_of(await app.enroll(key=key))
    nonce = await app.nonce()
    quote = [("tdx-quote", evidence_of(app.body(nonce, key=key, mr_td=b"\x17" * 48)))]
    asking = make_csr(key, subject=names(before)[0], names=names(before)[0])
    problem_of(await app.post(body_of(nonce, asking, quote)), 403, "denied")


async def test_fresh_evidence_renews_before_and_after_the_end(app: App) -> None:
    before = leaf_of(await app.enroll())
    for hours in (0, 30):  # still valid, long expired
        app.clock.advance(hours=hours)
        after = leaf_of(await app.enroll())
        assert names(after) == names(before)
        assert after.serial_number != before.serial_number
        assert after.not_valid_after_utc - app.clock() == timedelta(hours=1)
