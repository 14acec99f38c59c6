# SPDX-License-Identifier: Apache-2.0
"""R-46, the certificates' side: a simulated authority says so everywhere and cannot pass for a real one, or back."""

from __future__ import annotations

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ca.errors import LintFailed
from ca.issuance import authority, ear, extension
from ca.issuance.lint import policies
from ca.issuance.request import Assurance
from tests.authority_lab import ARC, BUILD, NOW, Lab, entropy, make_lab, make_request

REAL, SIMULATED = make_lab(), make_lab(Assurance.SIMULATED)
SAYS_SIMULATED = {f"{ARC}.2.9"}


def common_name(certificate: x509.Certificate) -> str:
    (attribute,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attribute.value)


def test_root_and_issuing_ca_say_so() -> None:
    for certificate in (SIMULATED.root, SIMULATED.issuer.certificate):
        assert common_name(certificate).startswith("SIMULATED ")
        assert policies(certificate) == SAYS_SIMULATED
    for certificate in (REAL.root, REAL.issuer.certificate):
        assert "SIMULATED" not in common_name(certificate)
    assert SAYS_SIMULATED.isdisjoint(policies(REAL.issuer.certificate))


def test_a_leaf_says_so_in_issuer_policy_info_and_result() -> None:
    issued = SIMULATED.issue(make_request(SIMULATED))
    certificate = x509.load_der_x509_certificate(issued.der)
    assert "SIMULATED" in certificate.issuer.rfc4514_string()
    assert policies(certificate) == SAYS_SIMULATED
    oid = x509.ObjectIdentifier(f"{ARC}.1.1")
    info = extension.decode(certificate.extensions.get_extension_for_oid(oid).value.public_bytes())
    assert info.assurance is Assurance.SIMULATED
    claims = jwt.decode(ear.token(issued, SIMULATED.ear_key()), options={"verify_signature": False})
    assert claims["ear_status"] == "contraindicated"
    assert claims["submods"]["cpu"]["ear_verifier_claims"]["assurance"] == "simulated"


@pytest.mark.parametrize(
    ("lab", "says"), [(REAL, Assurance.SIMULATED), (SIMULATED, Assurance.VERIFIED)]
)
def test_no_leaf_of_the_other_kind(lab: Lab, says: Assurance) -> None:
    with pytest.raises(LintFailed, match="assurance"):
        lab.issue(make_request(assurance=says))


@pytest.mark.parametrize(("lab", "other"), [(REAL, SIMULATED), (SIMULATED, REAL)])
def test_neither_loads_as_the_other(lab: Lab, other: Lab) -> None:
    def load(root: x509.Certificate, description: authority.Authority) -> None:
        authority.load_issuer(
            lab.issuer.certificate, root, description, build=BUILD, reserved_names=frozenset()
        )

    with pytest.raises(LintFailed, match="simulated"):
        load(lab.root, other.authority)
    with pytest.raises(LintFailed, match="issued-by-root"):
        load(other.root, other.authority)


@pytest.mark.parametrize(("lab", "other"), [(REAL, SIMULATED), (SIMULATED, REAL)])
def test_a_root_signs_no_issuing_ca_of_the_other_kind(lab: Lab, other: Lab) -> None:
    request = authority.issuer_request(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(LintFailed, match="simulated"):
        authority.sign_issuer(
            request, lab.root, lab.root_key, other.authority, now=NOW, entropy=entropy()
        )
