# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID

from ca.errors import RequestRefused
from ca.issuance import authority, lint_authority, profile, tbs
from ca.issuance.lint import policies
from ca.issuance.request import Assurance
from tests.authority_lab import ARC, NOW, URL, entropy, make_csr, make_lab
from tests.forgeries import CONSTRAINTS, OTHER, USAGE, detail, forged

if TYPE_CHECKING:
    from ca.issuance.authority import Authority

LAB = make_lab()
SIMULATED = make_lab(Assurance.SIMULATED)
DAY = timedelta(days=1)
HOST = ("ca.example.org", "127.0.0.1")
P256 = ec.generate_private_key(ec.SECP256R1())
ISSUING: dict[str, Any] = {"base": LAB.issuer.certificate, "signer": LAB.root_key}
ROOT: dict[str, Any] = {"base": LAB.root, "signer": LAB.root_key}


# what is made


def test_the_root() -> None:
    root = LAB.root
    assert root.subject == root.issuer
    assert root.not_valid_after_utc - root.not_valid_before_utc == timedelta(days=3652)
    assert isinstance(root.public_key(), ec.EllipticCurvePublicKey)
    assert "SIMULATED" not in root.subject.rfc4514_string()
    with pytest.raises(x509.ExtensionNotFound):
        policies(root)


def test_the_issuing_ca() -> None:
    certificate = LAB.issuer.certificate
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=90)
    assert policies(certificate) == {f"{ARC}.2.1", f"{ARC}.2.2"}
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    root_id = lint_authority.subject_key_id(LAB.root)
    assert points == profile.crl_distribution(f"{URL}/v1/crl/{root_id.hex()}.crl")


def test_a_simulated_authority_says_so_in_both() -> None:
    for certificate in (SIMULATED.root, SIMULATED.issuer.certificate):
        (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert str(name.value).startswith("SIMULATED ")
        assert policies(certificate) == {f"{ARC}.2.9"}


def test_never_past_the_root() -> None:
    late = LAB.root.not_valid_after_utc - timedelta(days=30)
    renewed = LAB.renew(late)
    assert renewed.issuer.certificate.not_valid_after_utc == LAB.root.not_valid_after_utc


def test_two_issuing_cas_are_told_apart() -> None:
    renewed = LAB.renew(NOW + 80 * DAY)
    assert renewed.issuer.certificate.subject != LAB.issuer.certificate.subject
    assert renewed.issuer.crl_url(NOW) != LAB.issuer.crl_url(NOW)


@pytest.mark.parametrize(
    ("not_after", "day"),
    [
        (datetime(2026, 11, 25, 23, 59, 59, tzinfo=UTC), "2026-11-25"),
        (datetime(2026, 11, 26, tzinfo=UTC), "2026-11-26"),
        (datetime(2026, 11, 26, 0, 30, tzinfo=timezone(timedelta(hours=1))), "2026-11-25"),
    ],
)
def test_certificates_are_on_the_list_of_the_day_on_which_they_end(
    not_after: datetime, day: str
) -> None:
    expected = f"{URL}/v1/crl/{LAB.issuer.key_id.hex()}/{day}.crl"
    assert LAB.issuer.crl_url(not_after) == expected


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_an_issuing_key_is_p256(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    with pytest.raises(RequestRefused) as error:
        authority.sign_issuer(
            make_csr(key), LAB.root, LAB.root_key, LAB.authority, now=NOW, entropy=entropy()
        )
    assert error.value.code == "key-type"


def test_the_request_of_an_issuing_key_gives_the_key_only() -> None:
    certificate = authority.sign_issuer(
        make_csr(P256, subject="other", names="evil.example.org"),
        LAB.root,
        LAB.root_key,
        LAB.authority,
        now=NOW,
        entropy=entropy(),
    )
    assert b"evil" not in certificate.public_bytes(Encoding.DER)
    assert b"other" not in certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("root", "names"),
    [
        (
            LAB.issuer.certificate,
            {"key", "self-signed", "extensions", "basic-constraints"},
        ),
        (SIMULATED.root, {"simulated", "extensions"}),
    ],
)
def test_what_is_no_root_of_ours_signs_no_issuer(root: x509.Certificate, names: set[str]) -> None:
    found = detail(
        lambda: authority.sign_issuer(
            authority.issuer_request(P256),
            root,
            LAB.root_key,
            LAB.authority,
            now=NOW,
            entropy=entropy(),
        )
    )
    assert found == names


def test_a_root_key_that_is_not_the_roots() -> None:
    other = ec.generate_private_key(ec.SECP384R1())
    found = detail(
        lambda: authority.sign_issuer(
            authority.issuer_request(P256),
            LAB.root,
            other,
            LAB.authority,
            now=NOW,
            entropy=entropy(),
        )
    )
    assert found == {"issued-by-root"}


def test_a_root_on_another_curve_is_not_made() -> None:
    assert "key" in detail(
        lambda: authority.make_root(P256, LAB.authority, now=NOW, entropy=entropy())
    )


# loading


def load(certificate: x509.Certificate, root: x509.Certificate, description: Authority) -> object:
    return authority.load_issuer(
        certificate, root, description, build="b", reserved_names=frozenset()
    )


def test_load_refuses_the_issuer_of_another_root() -> None:
    other = make_lab()
    assert detail(lambda: load(other.issuer.certificate, LAB.root, LAB.authority)) == {
        "issued-by-root",
        "authority-key-id",
    }


def test_load_refuses_a_simulated_authority_as_a_real_one_and_back() -> None:
    real, simulated = LAB.authority, SIMULATED.authority
    assert "simulated" in detail(lambda: load(SIMULATED.issuer.certificate, SIMULATED.root, real))
    assert "simulated" in detail(lambda: load(LAB.issuer.certificate, LAB.root, simulated))
    assert {"simulated", "policies"} <= detail(
        lambda: lint_authority.check_issuing(
            SIMULATED.issuer.certificate, SIMULATED.root, Assurance.VERIFIED, ARC
        )
    )


def test_load_refuses_another_arc() -> None:
    assert detail(
        lambda: load(
            LAB.issuer.certificate, LAB.root, replace(LAB.authority, oid_arc="1.3.6.1.4.1.1")
        )
    ) == {"policies"}


def test_load_refuses_an_issuer_without_an_elliptic_key() -> None:
    assert detail(
        lambda: load(
            forged(**ISSUING, key=ed25519.Ed25519PrivateKey.generate().public_key()),
            LAB.root,
            LAB.authority,
        )
    ) == {"key"}


# each lint of an issuing CA and a root

ISSUING_FAULTS: list[tuple[dict[str, Any], set[str]]] = [
    ({"serial": 7}, {"serial"}),
    ({"key": ec.generate_private_key(ec.SECP384R1()).public_key()}, {"key", "subject-key-id"}),
    ({"signer": ec.generate_private_key(ec.SECP384R1())}, {"issued-by-root"}),
    ({"issuer": OTHER}, {"issued-by-root"}),
    ({"start": NOW - DAY}, {"dates"}),
    ({"end": NOW + 5000 * DAY}, {"dates"}),
    ({"end": NOW}, {"dates"}),
    ({"subject": x509.Name([])}, {"simulated"}),
    (
        {"extensions": {CONSTRAINTS: (x509.BasicConstraints(ca=True, path_length=1), True)}},
        {"basic-constraints"},
    ),
    (
        {"extensions": {CONSTRAINTS: (x509.BasicConstraints(ca=True, path_length=0), False)}},
        {"extensions"},
    ),
    ({"extensions": {USAGE: (profile.key_usage(key_cert_sign=True), True)}}, {"key-usage"}),
    (
        {
            "extensions": {
                ExtensionOID.SUBJECT_KEY_IDENTIFIER: (x509.SubjectKeyIdentifier(bytes(20)), False)
            }
        },
        {"subject-key-id"},
    ),
    (
        {
            "extensions": {
                ExtensionOID.AUTHORITY_KEY_IDENTIFIER: (
                    x509.AuthorityKeyIdentifier(bytes(20), None, None),
                    False,
                )
            }
        },
        {"authority-key-id"},
    ),
    (
        {
            "extensions": {
                ExtensionOID.CERTIFICATE_POLICIES: (
                    profile.certificate_policies("2.5.29.32.0"),
                    False,
                )
            }
        },
        {"policies"},
    ),
    ({"extensions": {ExtensionOID.CERTIFICATE_POLICIES: None}}, {"extensions", "policies"}),
]


@pytest.mark.parametrize(("changes", "expected"), ISSUING_FAULTS)
def test_faults_of_an_issuing_ca(changes: dict[str, Any], expected: set[str]) -> None:
    certificate = forged(**(ISSUING | changes))
    arguments = (certificate, LAB.root, Assurance.VERIFIED, ARC)
    assert detail(lambda: lint_authority.check_issuing(*arguments)) == expected


def test_every_lint_of_an_issuing_ca_is_shown_to_fail() -> None:
    shown = {name for _, names in ISSUING_FAULTS for name in names}
    assert shown == set(lint_authority.ISSUING_LINTS) - {"version"}


ROOT_FAULTS: list[tuple[dict[str, Any], set[str]]] = [
    ({"serial": 7}, {"serial"}),
    ({"signer": P256}, {"algorithm", "self-signed"}),
    ({"key": P256.public_key()}, {"key", "self-signed", "subject-key-id"}),
    ({"subject": OTHER}, {"self-signed"}),
    ({"subject": SIMULATED.root.subject, "issuer": SIMULATED.root.subject}, {"simulated"}),
    (
        {"extensions": {CONSTRAINTS: (x509.BasicConstraints(ca=True, path_length=None), True)}},
        {"basic-constraints"},
    ),
    (
        {
            "extensions": {
                USAGE: (
                    profile.key_usage(key_cert_sign=True, crl_sign=True, digital_signature=True),
                    True,
                )
            }
        },
        {"key-usage"},
    ),
    ({"extensions": {ExtensionOID.SUBJECT_KEY_IDENTIFIER: None}}, {"extensions", "subject-key-id"}),
    (
        {
            "extensions": {
                ExtensionOID.CERTIFICATE_POLICIES: (
                    profile.certificate_policies(f"{ARC}.2.9"),
                    False,
                )
            }
        },
        {"extensions"},
    ),
]


@pytest.mark.parametrize(("changes", "expected"), ROOT_FAULTS)
def test_faults_of_a_root(changes: dict[str, Any], expected: set[str]) -> None:
    certificate = forged(**(ROOT | changes))
    assert (
        detail(lambda: lint_authority.check_root(certificate, Assurance.VERIFIED, ARC)) == expected
    )


def test_every_lint_of_a_root_is_shown_to_fail() -> None:
    shown = {name for _, names in ROOT_FAULTS for name in names}
    assert shown == set(lint_authority.ROOT_LINTS) - {"version"}


def test_a_simulated_root_with_another_policy() -> None:
    policies_ = {
        ExtensionOID.CERTIFICATE_POLICIES: (profile.certificate_policies(f"{ARC}.2.1"), False)
    }
    certificate = forged(SIMULATED.root, SIMULATED.root_key, policies_)
    assert detail(lambda: lint_authority.check_root(certificate, Assurance.SIMULATED, ARC)) == {
        "extensions"
    }


def test_version_1_is_no_authority() -> None:
    content = LAB.issuer.certificate.tbs_certificate_bytes
    body = content[4:].removeprefix(bytes.fromhex("a003020102"))
    key = LAB.root_key.public_key()
    first = tbs.view(b"\x30\x82" + len(body).to_bytes(2, "big") + body, key)
    arguments = (first, LAB.root, Assurance.VERIFIED, ARC)
    assert "version" in detail(lambda: lint_authority.check_issuing(*arguments))


# renewal


def test_install() -> None:
    now = NOW + 80 * DAY
    renewed = LAB.renew(now)
    authority.check_install(renewed.issuer, LAB.issuer, renewed.issuer_key.public_key(), now)


def test_install_refuses() -> None:
    now = NOW + 80 * DAY
    renewed = LAB.renew(now)
    public = renewed.issuer_key.public_key()

    def faults(*arguments: Any) -> set[str]:  # noqa: ANN401 - the calls below
        return detail(lambda: authority.check_install(*arguments))

    assert faults(renewed.issuer, LAB.issuer, P256.public_key(), now) == {"key"}
    assert faults(renewed.issuer, LAB.issuer, public, now - DAY) == {"dates"}
    assert faults(renewed.issuer, LAB.issuer, public, now + 91 * DAY) == {"dates"}
    assert faults(LAB.issuer, renewed.issuer, LAB.issuer.public_key, NOW + DAY) == {"ends-earlier"}
    assert faults(LAB.issuer, LAB.issuer, LAB.issuer.public_key, NOW + DAY) == {
        "same-key",
        "ends-earlier",
    }
