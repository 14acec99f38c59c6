# SPDX-License-Identifier: Apache-2.0
"""Chains and CRLs: what is not in the corpus, because it is about certificates rather than quotes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from simulator import der, pki
from simulator.pki import Key, pem
from tests.tdx_lab import NOW, Lab, flipped
from verifiers.certificate import Certificate, parse_certificate
from verifiers.chain import check_not_revoked, check_validity, split_pem, verify_chain, verify_crl
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.pki import Crl

STRANGER = Key.derive(b"chain", "stranger")
ANY = frozenset({"Intel SGX Root CA", "Intel SGX PCK Platform CA", "Intel SGX PCK Certificate"})
BEGIN, END = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"


@pytest.fixture
def lab() -> Lab:
    return Lab.create()


def chain_of(lab: Lab, *, first_is_ca: bool = False) -> tuple[Certificate, ...]:
    links = [lab.platform.pck, lab.platform.ca, lab.intel.root]
    ders = tuple(link.der for link in links[first_is_ca:])
    anchor = lab.exhibit().anchors.intel_sgx_root
    return verify_chain(ders, (ANY,) * len(ders), anchor, first_is_ca=first_is_ca)


def test_a_chain_is_given_leaf_first(lab: Lab) -> None:
    names = [certificate.common_name for certificate in chain_of(lab)]
    assert names == ["Intel SGX PCK Certificate", "Intel SGX PCK Platform CA", "Intel SGX Root CA"]
    assert len(chain_of(lab, first_is_ca=True)) == 2


def test_another_certificate_of_the_root_key(lab: Lab) -> None:
    """Intel has two production root certificates of one key; the one not pinned is accepted too."""
    anchor = lab.exhibit().anchors.intel_sgx_root
    lab.intel.root.alter(serial=7, not_after=NOW + timedelta(days=9))
    ders = (lab.platform.pck.der, lab.platform.ca.der, lab.intel.root_der)
    assert ders[-1] != anchor.certificate.der
    chain = verify_chain(ders, (ANY,) * 3, anchor)
    assert chain[-1].not_after == NOW + timedelta(days=9)
    with pytest.raises(VerificationError, match="ended"):
        check_validity(chain, NOW + timedelta(days=10))


@pytest.mark.parametrize("which", ["ca", "root"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda entity: entity.put(pki.key_usage(b"\x02")),  # cRLSign only
        lambda entity: entity.put(pki.basic_constraints(ca=False)),
        lambda entity: entity.drop(pki.KEY_USAGE),
        lambda entity: entity.drop(pki.BASIC_CONSTRAINTS),
    ],
    ids=["usage", "no CA", "no usage", "no constraints"],
)
def test_who_may_not_issue(lab: Lab, which: str, spoil: object) -> None:
    assert callable(spoil)
    spoil(lab.platform.ca if which == "ca" else lab.intel.root)
    with pytest.raises(VerificationError, match="may not issue") as caught:
        chain_of(lab)
    assert caught.value.reason is Reason.CHAIN


def test_a_path_without_a_limit(lab: Lab) -> None:
    lab.intel.root.put(pki.basic_constraints(ca=True))
    assert len(chain_of(lab)) == 3


@pytest.mark.parametrize("first_is_ca", [False, True])
def test_an_end_entity_is_no_ca_and_the_reverse(lab: Lab, first_is_ca: bool) -> None:  # noqa: FBT001 - parameter
    if first_is_ca:
        lab.platform.ca.put(pki.basic_constraints(ca=False))
    else:
        lab.platform.pck.put(pki.basic_constraints(ca=True))
    with pytest.raises(VerificationError, match="is no CA" if first_is_ca else "is a CA"):
        chain_of(lab, first_is_ca=first_is_ca)


def test_the_issuer_is_named(lab: Lab) -> None:
    lab.platform.pck.alter(issuer=pki.name("Another CA"))
    with pytest.raises(VerificationError, match="names another issuer"):
        chain_of(lab)


# PEM


def test_pem_as_it_comes(lab: Lab) -> None:
    first, second = lab.platform.pck.der, lab.platform.ca.der
    text = pem(first, second)
    for form in (
        text,
        text.replace("\n", "\r\n"),
        text + "\0",
        text + " \r\n\0\0",
        text.replace(BEGIN, "\n" + BEGIN),
        text.replace("\n", ""),
    ):
        ders = split_pem(form.encode(), 2, "text")
        assert ders == (first, second)


GOOD = pem(b"0123456789abcdef")  # 16 bytes: Base64 with padding


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        GOOD * 2,
        GOOD + "x",
        "x" + GOOD,
        "\x0b" + GOOD,
        GOOD.replace(BEGIN, ""),
        GOOD.replace(END, ""),
        GOOD.replace(BEGIN, BEGIN * 2),
        GOOD.replace("BEGIN", "begin"),
        pem(b"0123456789abcdef", label="X509 CRL"),
        GOOD.replace("==", "="),
        GOOD.replace("==", ""),
        GOOD.replace("==", "==="),
        GOOD.replace("Zg==", "Zh=="),  # the unused bits are not zero
        GOOD.replace("MDEy", "MD-y"),
        GOOD.replace("MDEy", "MD Ey"),
        GOOD.replace("MDEy", "MD=Ey"),
        GOOD.replace("MDEy", "MDEy\n=\n"),
        pem(b""),
        BEGIN + END,
        "Proc-Type: 4,ENCRYPTED\n" + GOOD,
        GOOD.replace(BEGIN, BEGIN + "Header: 1\n\n"),
    ],
    ids=repr,
)
def test_no_pem(text: str) -> None:
    with pytest.raises(VerificationError) as caught:
        split_pem(text.encode(), 1, "text")
    assert caught.value.reason is Reason.CHAIN


# CRLs


def listed(lab: Lab) -> Certificate:
    return parse_certificate(lab.platform.ca.der)


def crl_refused(lab: Lab, match: str) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        verify_crl(lab.intel.platform_crl.der, listed(lab), "list")
    assert caught.value.reason is Reason.CRL_INVALID


def test_a_crl(lab: Lab) -> None:
    lab.intel.platform_crl.revoke(5, lab.platform.pck.spec.serial)
    crl = verify_crl(lab.intel.platform_crl.der, listed(lab), "list")
    spec = lab.intel.platform_crl.spec
    assert (crl.number, crl.this_update, crl.next_update) == (1, spec.this_update, spec.next_update)
    with pytest.raises(VerificationError, match="was revoked 2026-10-24") as caught:
        check_not_revoked(parse_certificate(lab.platform.pck.der), crl)
    assert caught.value.reason is Reason.CERTIFICATE_REVOKED
    check_not_revoked(listed(lab), crl)


def test_a_revocation_whatever_its_reason(lab: Lab) -> None:
    serial = lab.platform.pck.spec.serial
    for reason in (None, 0, 1, 6, 8, 10):
        entry = pki.Revoked(serial, NOW, reason)
        lab.intel.platform_crl.alter(revoked=(entry,))
        crl = verify_crl(lab.intel.platform_crl.der, listed(lab), "list")
        with pytest.raises(VerificationError):
            check_not_revoked(parse_certificate(lab.platform.pck.der), crl)


@pytest.mark.parametrize("serial", [1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, (1 << 159) + 1])
def test_every_serial_number_is_found(lab: Lab, serial: int) -> None:
    """Octets with and without a zero before them; others beside it are not meant."""
    lab.platform.pck.alter(serial=serial)
    certificate = parse_certificate(lab.platform.pck.der)
    for listed_numbers, revoked in (((serial,), True), ((serial + 1, serial << 8), False)):
        lab.intel.platform_crl.alter(revoked=tuple(pki.Revoked(n, NOW) for n in listed_numbers))
        crl = verify_crl(lab.intel.platform_crl.der, listed(lab), "list")
        if revoked:
            with pytest.raises(VerificationError, match="was revoked"):
                check_not_revoked(certificate, crl)
        else:
            check_not_revoked(certificate, crl)


def test_a_serial_number_and_its_longer_spelling_are_two(lab: Lab) -> None:
    """A CRL entry of 20 octets does not match a certificate whose serial number ends with the same octets."""
    serial = lab.platform.pck.spec.serial
    lab.intel.platform_crl.revoke(serial + (1 << 168), serial >> 8, -serial)
    crl = verify_crl(lab.intel.platform_crl.der, listed(lab), "list")
    check_not_revoked(parse_certificate(lab.platform.pck.der), crl)


def test_crl_number_is_read_large(lab: Lab) -> None:
    lab.intel.platform_crl.put(pki.crl_number((1 << 159) - 1))
    assert verify_crl(lab.intel.platform_crl.der, listed(lab), "list").number == (1 << 159) - 1


SPOILED: list[tuple[str, Callable[[Crl], object], str]] = [
    ("version 1", lambda crl: crl.alter(version=1), "version 2"),
    ("version 3", lambda crl: crl.alter(version=3), "version 2"),
    ("issuer", lambda crl: crl.alter(issuer=pki.name("Another")), "issued by"),
    ("no next update", lambda crl: crl.alter(next_update=None), "nextUpdate is missing"),
    ("no extensions", lambda crl: crl.alter(extensions=()), "missing"),
    (
        "entries last",
        lambda crl: crl.alter(extensions=(), revoked=(pki.Revoked(1, NOW),)),
        "missing",
    ),
    ("no number", lambda crl: crl.drop(pki.CRL_NUMBER), "missing"),
    ("no authority key identifier", lambda crl: crl.drop(pki.AUTHORITY_KEY_IDENTIFIER), "missing"),
    ("number -1", lambda crl: crl.put(pki.crl_number(-1)), "minimal"),
    ("empty number", lambda crl: crl.put(pki.Extension(pki.CRL_NUMBER, b"")), "element"),
    ("another key", lambda crl: crl.put(pki.authority_key_identifier(b"another")), "authority key"),
    (
        "no key",
        lambda crl: crl.put(pki.Extension(pki.AUTHORITY_KEY_IDENTIFIER, der.sequence())),
        "authority key",
    ),
    (
        "partial",
        lambda crl: crl.put(pki.Extension("2.5.29.28", der.sequence(), critical=True)),
        "critical",
    ),
    (
        "delta",
        lambda crl: crl.put(pki.Extension("2.5.29.27", der.integer(1), critical=True)),
        "critical",
    ),
    ("extensions twice", lambda crl: crl.alter(extensions=crl.spec.extensions * 2), "stands twice"),
    ("SHA-384 inside", lambda crl: crl.alter(algorithm=pki.ECDSA_SHA384), "ecdsa-with-SHA256"),
    (
        "SHA-384 inside alone",
        lambda crl: crl.alter(algorithm=pki.ECDSA_SHA384, outer_algorithm=pki.ECDSA_SHA256),
        "ecdsa-with-SHA256",
    ),
    (
        "SHA-384 outside",
        lambda crl: crl.alter(outer_algorithm=pki.ECDSA_SHA384),
        "ecdsa-with-SHA256",
    ),
    ("stranger", lambda crl: setattr(crl, "signer", STRANGER), "not signed by"),
    ("bit", lambda crl: setattr(crl, "edit", lambda data: flipped(data, -1)), "not signed by"),
    ("byte behind", lambda crl: setattr(crl, "edit", lambda data: data + b"\0"), "more than one"),
    ("cut", lambda crl: setattr(crl, "edit", lambda data: data[:-1]), "element"),
    ("empty", lambda crl: setattr(crl, "edit", lambda _: b""), "truncated"),
]


@pytest.mark.parametrize(
    ("spoil", "match"), [pytest.param(spoil, match, id=name) for name, spoil, match in SPOILED]
)
def test_no_crl(lab: Lab, spoil: Callable[[Crl], object], match: str) -> None:
    spoil(lab.intel.platform_crl)
    crl_refused(lab, match)


@pytest.mark.parametrize("fields", [0, 1, 2, 3])
def test_a_list_of_too_few_fields(lab: Lab, fields: int) -> None:
    content = (der.integer(1), pki.ECDSA_SHA256, lab.platform.ca.spec.subject)[:fields]
    tbs = der.sequence(*content)
    signature = der.bit_string(lab.platform.ca.key.sign_der(tbs))
    lab.intel.platform_crl.edit = lambda _: der.sequence(tbs, pki.ECDSA_SHA256, signature)
    crl_refused(lab, "ecdsa-with-SHA256|version 2|parsing")


def test_a_delta_or_partial_list_that_is_not_critical_is_intels_own_doing(lab: Lab) -> None:
    lab.intel.platform_crl.put(pki.Extension("1.2.3", b""))
    assert verify_crl(lab.intel.platform_crl.der, listed(lab), "list").number == 1


def test_an_issuer_without_key_identifier_signs_no_list(lab: Lab) -> None:
    lab.platform.ca.drop(pki.SUBJECT_KEY_IDENTIFIER)
    crl_refused(lab, "authority key identifier")


def test_an_issuer_whose_key_identifier_cannot_be_read(lab: Lab) -> None:
    lab.platform.ca.put(pki.Extension(pki.SUBJECT_KEY_IDENTIFIER, b"\x04"))
    crl_refused(lab, "element")


def test_a_malformed_signed_list(lab: Lab) -> None:
    """Signed, but its dates are none: the library's own error is ours."""
    crl = lab.intel.platform_crl
    stamp = der.time(crl.spec.this_update)
    tbs = crl.spec.tbs()
    broken = tbs.replace(stamp, stamp[:-1] + b"A", 1)
    signature = der.bit_string(crl.signer.sign_der(broken))
    crl.edit = lambda _: der.sequence(broken, pki.ECDSA_SHA256, signature)
    crl_refused(lab, "ASN.1|parsing")
