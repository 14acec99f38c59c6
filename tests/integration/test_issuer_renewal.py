# SPDX-License-Identifier: Apache-2.0
"""The issuing CA is renewed while machines enroll: nobody is turned away, and both generations can be relied on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import jwt
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from cryptography.x509.verification import PolicyBuilder, Store

from ca.app.keys import key_id
from tests.app_lab import URL, install_issuing, open_app
from tests.ocsp_lab import cert_id, request, said
from tests.service_lab import leaf_of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from tests.app_lab import App
    from tests.service_lab import Reply

DAYS = 23  # results and TLS of the service are due then, collateral is not


def chain_of(reply: Reply) -> list[Certificate]:
    return [x509.load_pem_x509_certificate(text.encode()) for text in reply.json()["chain"]]


def verified(app: App, reply: Reply) -> bytes:
    """Key id of the issuing CA that a certificate chains through to the root, by the library's validation."""
    issuing, root = chain_of(reply)
    assert root == app.service.keys.root
    validation = PolicyBuilder().store(Store([root])).time(app.clock()).build_client_verifier()
    assert validation.verify(leaf_of(reply), [issuing]).chain[1] == issuing
    return key_id(issuing)


async def crl_of(app: App, leaf: Certificate) -> x509.CertificateRevocationList:
    """What is served at the address in the leaf."""
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    (name,) = points[0].full_name or []
    reply = await app.get(str(name.value).removeprefix(URL))
    assert reply.status == 200, "a leaf was handed out before the CRL that it names"
    return x509.load_der_x509_crl(reply.body)


async def status_of(app: App, leaf: Certificate, issuing: Certificate) -> None:
    """What the responder in the leaf says of it."""
    access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    urls = {each.access_method: str(each.access_location.value) for each in access}
    url = app.public + urls[AuthorityInformationAccessOID.OCSP].removeprefix(URL)
    asked = request(cert_id(issuing, leaf.serial_number))
    typed = {"Content-Type": "application/ocsp-request"}
    reply = await app.send("POST", url, data=asked, headers=typed)
    assert [one.status for one in said(reply.body)] == ["good"], "before anybody can answer for it"


async def enroll_on(app: App, issuers: list[bytes], until: asyncio.Event) -> None:
    """Enroll and use what comes, over and over; who issued it goes into `issuers`."""
    while not until.is_set():
        reply = await app.enroll()
        assert reply.status == 201, reply.body
        await crl_of(app, leaf_of(reply))
        await status_of(app, leaf_of(reply), chain_of(reply)[0])
        issuers.append(verified(app, reply))


async def all_have(app: App, issuer: bytes, machines: list[list[bytes]]) -> None:
    """Until each machine has a certificate of that issuing CA."""
    while not all(issuer in seen for seen in machines):
        await app.enroll()


async def test_under_load_with_overlap(app_on_both: App) -> None:
    app = app_on_both
    app.clock.advance(days=DAYS)
    keys = app.service.keys
    await keys.renew_responders(app.clock())  # as the job does every minute
    keys.reload()
    old = keys.current(app.clock())
    before = await app.enroll()
    token = (await app.get(f"/v1/certificates/{before.json()['serial']}/ear")).body.decode()
    enough = asyncio.Event()
    issuers: list[list[bytes]] = [[] for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for seen in issuers:
            group.create_task(enroll_on(app, seen, enough))
        await all_have(app, key_id(old.certificate), issuers)
        await asyncio.to_thread(install_issuing, app.config, app.clock())
        await app.enroll()
        await app.run_job("certificates")
        new = keys.current(app.clock())
        after = await app.enroll()
        await all_have(app, key_id(new.certificate), issuers)
        enough.set()

    generations = [key_id(old.certificate), key_id(new.certificate)]
    assert generations[0] != generations[1]
    for seen in issuers:
        assert seen == sorted(seen, key=generations.index), "never back to the old one"
    assert verified(app, before) == generations[0]
    assert verified(app, after) == generations[1]
    # each keeps its list, and the root has a new one
    for held in (old, new):
        crl = await app.crl(key_id(held.certificate), app.clock())
        assert crl.issuer == held.certificate.subject
    # results of before verify still, with a key that is still published
    published = jwt.PyJWKSet.from_dict((await app.get("/.well-known/jwks.json")).json())
    assert len(published.keys) == 2
    later = (await app.get(f"/v1/certificates/{after.json()['serial']}/ear")).body.decode()
    kids = []
    for each in (token, later):
        kids.append(jwt.get_unverified_header(each)["kid"])
        claims = jwt.decode(
            each, published[kids[-1]], algorithms=["ES256"], options={"verify_iat": False}
        )
        assert claims["iss"] == URL
    assert kids[0] != kids[1]


async def test_repeated_answer_keeps_its_chain(app: App) -> None:
    """A byte-identical repeat after the renewal: the same certificate with the chain it was issued under."""
    app.clock.advance(hours=1)
    body = app.body(await app.nonce())
    first = await app.post(body)
    install_issuing(app.config, app.clock())
    await app.run_job("certificates")
    again = await app.post(body)
    assert (first.status, again.status) == (201, 200)
    assert first.body == again.body


async def test_a_restart_finds_all_as_it_was(app: App) -> None:
    """Two issuing CAs, two keys of results, one TLS certificate in force: read again from the folder."""
    app.clock.advance(days=DAYS)
    install_issuing(app.config, app.clock())
    await app.run_job("certificates")
    before = await app.enroll()
    url = app.config.database.url.get_secret_value()
    async with open_app(app.config.ca.directory.parent, url, app.clock) as again:
        assert [held.certificate for held in again.service.keys.issuing_cas] == [
            held.certificate for held in app.service.keys.issuing_cas
        ]
        assert len(again.service.keys.ear) == len(again.service.keys.tls) == 2
        after = await again.enroll()
        assert verified(again, before) == verified(again, after)
        record = await again.get(f"/v1/certificates/{before.json()['serial']}")
        assert record.json()["certificate"] == before.json()["certificate"]


async def test_service_certificates_go_when_they_have_ended(app: App) -> None:
    folder = app.config.ca.directory
    first = {path.name for path in folder.glob("ear-*")} | {
        path.name for path in folder.glob("tls-*")
    }
    assert len(first) == 4
    app.clock.advance(days=DAYS)
    await app.run_job("certificates")
    assert {path.name for path in folder.iterdir()} >= first, (
        "old keys are kept while results of them live"
    )
    app.clock.advance(days=8)
    await app.run_job("certificates")
    assert not {path.name for path in folder.iterdir()} & first
