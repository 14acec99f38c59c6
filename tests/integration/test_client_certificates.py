# SPDX-License-Identifier: Apache-2.0
"""What the authority's issuance makes, the client takes: leaf, chain, and the service's certificate over real TLS."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client.chain import check_issued, load_root, root_id, spki
from attestca_client.errors import Untrusted
from attestca_client.protocol import ca_id
from attestca_client.runtime import utc_now
from attestca_client.transport import Address, Transport
from ca.issuance import csr
from ca.issuance.authority import ServiceKind
from ca.issuance.request import Assurance
from tests.authority_lab import Lab, make_csr, make_lab, make_platform, make_request
from tests.unit.client.fake_authority import FakeAuthority, pem, serve, server_context

MONTH = timedelta(days=30)


@pytest.fixture(scope="module", params=list(Assurance))
def lab(request: pytest.FixtureRequest) -> Lab:
    assurance: Assurance = request.param
    return make_lab(assurance, utc_now())


def issue(lab: Lab, key: ec.EllipticCurvePrivateKey, **changes: object) -> x509.Certificate:
    now = utc_now()
    request = make_request(
        lab,
        key=csr.parse(make_csr(key)),
        collateral_expires=now + MONTH,
        platform=make_platform(verified_at=now, certificates_expire=now + MONTH),
        **changes,
    )
    return x509.load_der_x509_certificate(lab.issue(request, now).der)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda c: c.name)
@pytest.mark.parametrize("names", [("dns:node1.example.org",), ("uri:spiffe://example.org/n",), ()])
def test_a_leaf_of_the_authority_is_taken(
    lab: Lab, curve: ec.EllipticCurve, names: tuple[str, ...]
) -> None:
    key = ec.generate_private_key(curve)
    leaf = issue(lab, key, names=names)
    check_issued(
        leaf,
        (lab.issuer.certificate, lab.root),
        root=load_root(pem(lab.root).encode()),
        spki_der=spki(key.public_key()),
        now=utc_now(),
    )


def test_both_sides_name_the_authority_alike(lab: Lab) -> None:
    assert root_id(lab.root) == ca_id(spki(lab.root.public_key()))


def test_the_service_by_its_own_certificate(lab: Lab) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = lab.service(
        ServiceKind.TLS, key.public_key(), ("127.0.0.1", "localhost"), utc_now()
    )
    context = server_context(certificate, key, lab.issuer.certificate)
    with serve(FakeAuthority(), context=context) as server:
        answer = Transport(Address.parse(server.url), lab.root).get("/v1/nonce")
    assert answer.status == 200


def test_a_leaf_never_passes_as_the_service(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    # The network leads the client to an attested machine, and its name is even the one the client asks for.
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issue(lab, key, names=("dns:node1.example.org",))
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _host, *rest, **named: real("127.0.0.1", *rest, **named)
    )
    with serve(
        FakeAuthority(), context=server_context(leaf, key, lab.issuer.certificate)
    ) as server:
        address = Address.parse(server.url.replace("127.0.0.1", "node1.example.org"))
        with pytest.raises(Untrusted, match="issued to an attester"):
            Transport(address, lab.root).get("/v1/nonce")
    assert server.seen == []
