# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import LintFailed
from ca.issuance import crl, tbs
from tests.authority_lab import NOW, Lab, make_lab, utc

DAY = timedelta(days=1)
LAB = make_lab()


def make(
    entries: list[tuple[int, datetime]], number: int = 1, lab: Lab = LAB
) -> x509.CertificateRevocationList:
    prepared = crl.prepare(
        lab.issuer.certificate, entries, number=number, this_update=NOW, next_update=NOW + DAY
    )
    return x509.load_der_x509_crl(crl.complete(prepared, tbs.sign(lab.issuer_key, prepared.tbs)))


def test_empty() -> None:
    found = make([])
    assert len(found) == 0
    assert found.issuer == LAB.issuer.certificate.subject
    assert (found.last_update_utc, found.next_update_utc) == (NOW, NOW + DAY)
    assert found.is_signature_valid(LAB.issuer.public_key)
    assert [(each.oid._name, each.critical) for each in found.extensions] == [
        ("authorityKeyIdentifier", False),
        ("cRLNumber", False),
    ]


def test_the_root_signs_its_own() -> None:
    prepared = crl.prepare(LAB.root, [], number=1, this_update=NOW, next_update=NOW + 365 * DAY)
    found = x509.load_der_x509_crl(crl.complete(prepared, tbs.sign(LAB.root_key, prepared.tbs)))
    assert found.is_signature_valid(LAB.root_key.public_key())
    assert isinstance(found.signature_hash_algorithm, hashes.SHA384)


serials = st.integers(1, 2**159 - 1)
dates = utc(1970, 2120)


@given(st.dictionaries(serials, dates, max_size=20), st.integers(0, 2**159 - 1))
def test_entries_in_any_order(revoked: dict[int, datetime], number: int) -> None:
    found = make(list(revoked.items()), number)
    assert {each.serial_number: each.revocation_date_utc for each in found} == {
        serial: when.replace(microsecond=0) for serial, when in revoked.items()
    }
    assert [each.serial_number for each in found] == sorted(revoked)
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == number


def test_same_bytes_as_the_librarys_builder() -> None:
    entries = [(5, NOW), (7, datetime(2051, 2, 3, 4, 5, 6, tzinfo=UTC))]
    prepared = crl.prepare(
        LAB.issuer.certificate, entries, number=9, this_update=NOW, next_update=NOW + DAY
    )
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(LAB.issuer.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + DAY)
        .add_extension(x509.AuthorityKeyIdentifier(LAB.issuer.key_id, None, None), critical=False)
        .add_extension(x509.CRLNumber(9), critical=False)
    )
    for serial, when in entries:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
        builder = builder.add_revoked_certificate(entry)
    assert builder.sign(LAB.issuer_key, hashes.SHA256()).tbs_certlist_bytes == prepared.tbs


@pytest.mark.parametrize(
    ("entries", "number", "end", "fault"),
    [
        ([(1, NOW), (1, NOW + DAY)], 1, NOW + DAY, "twice"),
        ([(0, NOW)], 1, NOW + DAY, "serials"),
        ([(-1, NOW)], 1, NOW + DAY, "serials"),
        ([(2**159, NOW)], 1, NOW + DAY, "serials"),
        ([], -1, NOW + DAY, "number"),
        ([], 2**159, NOW + DAY, "number"),
        ([], 1, NOW, "dates"),
        ([], 1, NOW - DAY, "dates"),
    ],
)
def test_what_is_not_signed(
    entries: list[tuple[int, datetime]], number: int, end: datetime, fault: str
) -> None:
    with pytest.raises(LintFailed, match=f"crl: {fault}"):
        crl.prepare(
            LAB.issuer.certificate, entries, number=number, this_update=NOW, next_update=end
        )


def test_an_issuer_with_another_kind_of_key() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .sign(key, None)
    )
    with pytest.raises(LintFailed, match="crl: the issuer's key"):
        crl.prepare(certificate, [], number=1, this_update=NOW, next_update=NOW + DAY)


def test_a_signature_of_another_key() -> None:
    prepared = crl.prepare(
        LAB.issuer.certificate, [], number=1, this_update=NOW, next_update=NOW + DAY
    )
    with pytest.raises(LintFailed, match="signature"):
        crl.complete(prepared, tbs.sign(ec.generate_private_key(ec.SECP256R1()), prepared.tbs))


def test_assembled_as_der() -> None:
    found = make([(3, NOW)])
    assert x509.load_der_x509_crl(found.public_bytes(Encoding.DER)) == found
