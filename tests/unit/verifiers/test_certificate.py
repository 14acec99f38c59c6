# SPDX-License-Identifier: Apache-2.0
"""One certificate: read as another library reads it, refused where it is not plain RFC 5280 with P-256 and SHA-256."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator import der, pki
from simulator.pck import SGX_EXTENSION
from tests import tdx_vectors
from tests.tdx_lab import NOW, Lab
from verifiers.certificate import SUBJECT_KEY_IDENTIFIER, Certificate, parse_certificate
from verifiers.chain import split_pem
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.pki import Entity


def same(ours: Certificate, data: bytes) -> None:
    """Every field, as the library `cryptography` reads it."""
    theirs = x509.load_der_x509_certificate(data)
    spki = theirs.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    basic = theirs.extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = theirs.extensions.get_extension_for_class(x509.KeyUsage).value
    key_id = theirs.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert ours.der == data
    assert ours.tbs == theirs.tbs_certificate_bytes
    assert ours.signature == theirs.signature
    assert theirs.issuer.public_bytes().endswith(ours.issuer)
    assert theirs.subject.public_bytes().endswith(ours.subject)
    assert spki.endswith(ours.spki)
    assert ours.public_key == theirs.public_key()
    assert theirs.subject.rfc4514_string().endswith(f"CN={ours.common_name}")
    assert ours.serial_number == theirs.serial_number
    assert (ours.not_before, ours.not_after) == (
        theirs.not_valid_before_utc,
        theirs.not_valid_after_utc,
    )
    assert (ours.is_ca, ours.path_length) == (basic.ca, basic.path_length)
    assert (ours.may_sign_certificates, ours.may_sign_crls) == (usage.key_cert_sign, usage.crl_sign)
    assert ours.subject_key_id == key_id.digest
    assert len(ours.extensions) == len(theirs.extensions)


def test_all_of_the_fake_vendor() -> None:
    lab = Lab.create()
    intel = lab.intel
    for entity in (
        intel.root,
        intel.platform_ca,
        intel.processor_ca,
        intel.tcb_signing,
        lab.platform.pck,
    ):
        same(parse_certificate(entity.der), entity.der)


@pytest.mark.parametrize("name", tdx_vectors.names())
def test_all_in_real_quotes(name: str) -> None:
    quote = tdx_vectors.load(name).quote
    start = quote.find(b"-----BEGIN CERTIFICATE-----")
    if start < 0:  # encrypted PPID
        return
    for data in split_pem(quote[start:], 3, "quote"):
        same(parse_certificate(data), data)


def test_equality_is_that_of_bytes() -> None:
    first, second = (parse_certificate(Lab.create().intel.root_der) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != first.der
    assert first != parse_certificate(Lab.create(b"other").intel.root_der)


def extended(oid: str, value: bytes, *, critical: bool = False) -> Callable[[Entity], None]:
    return lambda entity: entity.put(pki.Extension(oid, value, critical))


def appended(extension: pki.Extension) -> Callable[[Entity], None]:
    return lambda entity: entity.alter(extensions=(*entity.spec.extensions, extension))


def edited(old: bytes, new: bytes) -> Callable[[Entity], None]:
    """Bytes replaced in the finished certificate, which must be there."""

    def edit(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return lambda entity: setattr(entity, "edit", edit)


EMPTY = der.sequence()
ACCEPTED: dict[str, Callable[[Entity], None]] = {
    "an unknown extension that is not critical": extended("1.2.3", b"anything"),
    "names that the library cannot read": extended(
        "2.5.29.17", der.sequence(der.tlv(0xA3, b""), der.tlv(0xA5, b""))
    ),
    "an authority key identifier with a name that the library cannot read": extended(
        pki.AUTHORITY_KEY_IDENTIFIER,
        der.sequence(der.explicit(1, der.tlv(0xA3, EMPTY)), der.implicit(2, b"\1")),
    ),
    "no key usage": lambda entity: entity.drop(pki.KEY_USAGE),
    "no basic constraints": lambda entity: entity.drop(pki.BASIC_CONSTRAINTS),
    "no subject key identifier": lambda entity: entity.drop(pki.SUBJECT_KEY_IDENTIFIER),
    "basic constraints that are not critical": extended(pki.BASIC_CONSTRAINTS, EMPTY),
    "a date after 2050": lambda entity: entity.alter(not_after=NOW.replace(year=2060)),
    "key usage of two octets": extended(pki.KEY_USAGE, der.tlv(3, b"\x07\x06\x80"), critical=True),
}
REFUSED: dict[str, Callable[[Entity], None]] = {
    "an unknown critical extension": extended("1.2.3", EMPTY, critical=True),
    "a critical subject key identifier, which nobody asks for": extended(
        pki.SUBJECT_KEY_IDENTIFIER, der.octet_string(b"x"), critical=True
    ),
    "an extension twice": appended(pki.key_usage(b"\x06")),
    "an SGX extension twice": appended(pki.Extension(SGX_EXTENSION, EMPTY)),
    "critical FALSE, which DER leaves out": edited(
        der.oid(pki.BASIC_CONSTRAINTS) + der.TRUE, der.oid(pki.BASIC_CONSTRAINTS) + der.FALSE
    ),
    "no extensions": lambda entity: entity.alter(extensions=()),
    "version 1": lambda entity: entity.alter(version=1),
    "version 2": lambda entity: entity.alter(version=2),
    "version 4": lambda entity: entity.alter(version=4),
    "serial number 0": lambda entity: entity.alter(serial=0),
    "serial number -1": lambda entity: entity.alter(serial=-1),
    "basic constraints: path length without CA": extended(
        pki.BASIC_CONSTRAINTS, der.sequence(der.integer(1))
    ),
    "basic constraints: CA FALSE": extended(pki.BASIC_CONSTRAINTS, der.sequence(der.FALSE)),
    "basic constraints: negative path length": extended(
        pki.BASIC_CONSTRAINTS, der.sequence(der.TRUE, der.integer(-1))
    ),
    "basic constraints: no SEQUENCE": extended(pki.BASIC_CONSTRAINTS, der.TRUE),
    "key usage without bits": extended(pki.KEY_USAGE, der.tlv(3, b"\0")),
    "key usage: no BIT STRING": extended(pki.KEY_USAGE, der.octet_string(b"\0\6")),
    "SHA-384": lambda entity: entity.alter(algorithm=pki.ECDSA_SHA384),
    "SHA-384 inside": lambda entity: entity.alter(
        algorithm=pki.ECDSA_SHA384, outer_algorithm=pki.ECDSA_SHA256
    ),
    "SHA-384 outside": lambda entity: entity.alter(outer_algorithm=pki.ECDSA_SHA384),
    "an algorithm with a parameter": lambda entity: entity.alter(
        algorithm=der.sequence(der.oid("1.2.840.10045.4.3.2"), der.tlv(5, b""))
    ),
    "a key off the curve": lambda entity: entity.alter(spki=entity.spec.spki[:-64] + b"\1" * 64),
    "a key of no bytes": lambda entity: entity.alter(spki=EMPTY),
    "a date that is none": edited(b"Z\x17\x0d", b"A\x17\x0d"),
    "a common name that is no UTF-8": edited(b"Intel SGX PCK Cert", b"\xff" * 18),
    "a byte behind": lambda entity: setattr(entity, "edit", lambda data: data + b"\0"),
    "a byte short": lambda entity: setattr(entity, "edit", lambda data: data[:-1]),
    "nothing": lambda entity: setattr(entity, "edit", lambda _: b""),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    pck = Lab.create().platform.pck
    ACCEPTED[name](pck)
    assert parse_certificate(pck.der).der == pck.der


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    pck = Lab.create().platform.pck
    REFUSED[name](pck)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the library must not meet what it only warns of
        with pytest.raises(VerificationError) as caught:
            parse_certificate(pck.der)
    assert caught.value.reason is Reason.CHAIN


def test_unique_identifiers() -> None:
    """They were never used; in place of the extensions they would be what is read as such."""
    spec = Lab.create().platform.pck.spec
    tbs = replace(spec, extensions=()).tbs()
    for extra in (der.implicit(1, b"\0id"), der.implicit(2, b"\0id"), der.implicit(1, b"\0") * 2):
        changed = der.sequence(der_content(tbs) + extra)
        data = der.sequence(changed, pki.ECDSA_SHA256, der.bit_string(b"signature"))
        with pytest.raises(VerificationError, match="unique identifiers"):
            parse_certificate(data)


def der_content(element: bytes) -> bytes:
    """Of a SEQUENCE of 256 to 65535 bytes."""
    assert element[:2] == b"\x30\x82" or len(element) < 0x102
    return element[4:] if element[1] == 0x82 else element[3:]


def names(*rdns: bytes) -> bytes:
    return der.sequence(*rdns)


CN = der.sequence(der.oid("2.5.4.3"), der.utf8_string("name"))
O = der.sequence(der.oid("2.5.4.10"), der.utf8_string("name"))  # noqa: E741 - its short name


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (names(der.set_of(O), der.set_of(CN)), "name"),
        (names(der.set_of(CN), der.set_of(CN)), ""),
        (names(der.set_of(O)), ""),
        (names(), ""),
    ],
)
def test_common_name(subject: bytes, expected: str) -> None:
    pck = replace(Lab.create().platform.pck)
    pck.alter(subject=subject)
    assert parse_certificate(pck.der).common_name == expected


def test_a_common_name_in_company_is_none() -> None:
    pck = Lab.create().platform.pck
    pck.alter(subject=names(der.set_of(CN, O)))
    with pytest.raises(VerificationError):
        parse_certificate(pck.der)


def test_what_is_absent_allows_nothing() -> None:
    ca = Lab.create().platform.ca
    ca.drop(pki.KEY_USAGE)
    ca.drop(pki.BASIC_CONSTRAINTS)
    ca.drop(pki.SUBJECT_KEY_IDENTIFIER)
    read = parse_certificate(ca.der)
    assert (read.is_ca, read.may_sign_certificates, read.may_sign_crls) == (False, False, False)
    assert read.path_length is None
    assert read.subject_key_id is None
    assert SUBJECT_KEY_IDENTIFIER not in read.extensions
