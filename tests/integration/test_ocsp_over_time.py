# SPDX-License-Identifier: Apache-2.0
"""The life of responders: renewed, of two issuing CAs at once, gone with theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca.app.keys import key_id
from tests import ocsp_lab
from tests.app_lab import install_issuing
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from cryptography import x509

    from tests.app_lab import App

TYPED = {"Content-Type": "application/ocsp-request"}


async def ask(app: App, issuing: x509.Certificate, *serials: int) -> bytes:
    question = ocsp_lab.request(*(ocsp_lab.cert_id(issuing, serial) for serial in serials))
    reply = await app.send("POST", f"{app.public}/v1/ocsp", data=question, headers=TYPED)
    assert reply.status == 200
    return reply.body


def responder_of(answer: bytes, issuing: x509.Certificate) -> x509.Certificate:
    """Who signed an answer; by whom it was certified was checked."""
    (responder,) = ocsp.load_der_ocsp_response(answer).certificates
    responder.verify_directly_issued_by(issuing)
    return responder


def files(app: App) -> int:
    return len([*app.config.ca.directory.glob("ocsp-*")])


async def test_renewed_before_the_end_and_deleted_after_it(app: App) -> None:
    issuing = app.service.keys.current(app.clock()).certificate
    first = responder_of(await ask(app, issuing, 5), issuing)
    assert files(app) == 2
    app.clock.advance(days=6)
    await app.run_job("certificates")
    second = responder_of(await ask(app, issuing, 5), issuing)
    assert second.not_valid_after_utc > first.not_valid_after_utc
    assert files(app) == 4
    app.clock.advance(days=4, hours=1)
    await app.run_job("certificates")
    assert responder_of(await ask(app, issuing, 5), issuing) == second
    assert files(app) == 2


async def test_both_issuing_cas_of_an_overlap_are_spoken_for(app: App) -> None:
    old = app.service.keys.current(app.clock()).certificate
    app.clock.advance(days=23)  # collateral is still good
    await app.run_job("certificates")
    before = leaf_of(await app.enroll()).serial_number
    install_issuing(app.config, app.clock())
    await app.run_job("certificates")
    after = leaf_of(await app.enroll()).serial_number
    new = app.service.keys.current(app.clock()).certificate
    assert key_id(new) != key_id(old)
    for issuing, serials, expected in (
        (old, (before, after), ["good", "unknown"]),
        (new, (before, after), ["unknown", "good"]),
    ):
        answer = await ask(app, issuing, *serials)
        assert [one.status for one in ocsp_lab.said(answer)] == expected
    both = ocsp_lab.request(ocsp_lab.cert_id(old, before), ocsp_lab.cert_id(new, after))
    reply = await app.send("POST", f"{app.public}/v1/ocsp", data=both, headers=TYPED)
    assert ocsp_lab.status_of(reply.body) == "unauthorized"


async def test_nobody_speaks_for_an_issuing_ca_that_has_ended(app: App) -> None:
    """Its certificates ended with it at the latest. It is still served, for chains of the past."""
    old = app.service.keys.current(app.clock()).certificate
    app.clock.advance(days=89.99)
    await app.run_job("certificates")
    (one,) = ocsp_lab.said(await ask(app, old, 5))
    assert one.next_update == old.not_valid_after_utc
    install_issuing(app.config, app.clock())
    await app.run_job("certificates")
    app.clock.advance(days=1)
    assert ocsp_lab.status_of(await ask(app, old, 5)) == "unauthorized"
    reply = await app.get(f"/v1/ca/{key_id(old).hex()}.cer")
    assert reply.body == old.public_bytes(Encoding.DER)
