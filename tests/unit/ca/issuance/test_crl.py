# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import LintFailed
from ca.issuance import crl, profile, tbs
from ca.issuance.authority import SERVICE_LIFETIME
from ca.issuance.crl import Revoked
from ca.issuance.reasons import RevocationReason
from tests.authority_lab import NOW, Lab, make_lab, utc

DAY = timedelta(days=1)
LAB = make_lab()


URL = LAB.issuer.crl_url(NOW)


def make(
    entries: list[Revoked], number: int = 1, lab: Lab = LAB, url: str | None = None
) -> x509.CertificateRevocationList:
    prepared = crl.prepare(
        lab.issuer.certificate,
        entries,
        number=number,
        this_update=NOW,
        next_update=NOW + DAY,
        url=url,
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


entries = st.builds(Revoked, serials, dates, st.sampled_from(RevocationReason))


@given(
    st.lists(entries, max_size=20, unique_by=lambda each: each.serial), st.integers(0, 2**159 - 1)
)
def test_entries_in_any_order(revoked: list[Revoked], number: int) -> None:
    found = make(revoked, number)
    assert {
        Revoked(each.serial_number, each.revocation_date_utc, reason_of(each)) for each in found
    } == {replace(each, since=each.since.replace(microsecond=0)) for each in revoked}
    assert [each.serial_number for each in found] == sorted(each.serial for each in revoked)
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == number


def reason_of(entry: x509.RevokedCertificate) -> RevocationReason:
    """As the entry says it; none is unspecified, and that is never written (RFC 5280, section 5.3.1)."""
    if not len(entry.extensions):
        return RevocationReason.UNSPECIFIED
    (extension,) = entry.extensions
    assert not extension.critical
    assert isinstance(extension.value, x509.CRLReason)
    assert extension.value.reason is not x509.ReasonFlags.unspecified
    return RevocationReason(extension.value.reason.value)


def test_a_shard_says_which_certificates_it_is_for() -> None:
    for url in (URL, None):
        found = make([], url=url)
        scopes = [
            each
            for each in found.extensions
            if isinstance(each.value, x509.IssuingDistributionPoint)
        ]
        if url is None:
            assert scopes == []
            continue
        (scope,) = scopes
        point = scope.value
        assert scope.critical
        assert isinstance(point, x509.IssuingDistributionPoint)
        assert point.full_name == [x509.UniformResourceIdentifier(URL)]
        assert (point.only_contains_user_certs, point.only_contains_ca_certs) == (False, False)
        assert (point.only_some_reasons, point.indirect_crl) == (None, False)
        assert profile.crl_distribution(URL)[0].full_name == point.full_name


def test_days_of_shards() -> None:
    """From the day before, whose certificates have just ended, to the last that a certificate can name."""
    days = crl.days(LAB.issuer.certificate, NOW)
    assert days[0] == crl.first_day(NOW) == (NOW - DAY).date()
    assert days[-1] == (NOW + 31 * DAY).date()
    assert days == tuple(days[0] + n * DAY for n in range(33))
    assert max(profile.MAX_LIFETIME, SERVICE_LIFETIME) < crl.SHARDS_AHEAD


def test_no_shard_past_the_end_of_the_issuing_ca() -> None:
    end = LAB.issuer.certificate.not_valid_after_utc
    assert crl.days(LAB.issuer.certificate, end - DAY)[-1] == end.date()
    assert crl.days(LAB.issuer.certificate, end) == ((end - DAY).date(), end.date())


@pytest.mark.parametrize(("hour", "first"), [(0, 24), (23, 24)])
def test_a_shard_is_signed_until_a_day_after_its_last_certificate_ended(
    hour: int, first: int
) -> None:
    assert crl.first_day(datetime(2026, 11, 25, hour, 59, tzinfo=UTC)).day == first


def test_same_bytes_as_the_librarys_builder() -> None:
    entries = [
        Revoked(5, NOW),
        Revoked(
            7, datetime(2051, 2, 3, 4, 5, 6, tzinfo=UTC), RevocationReason.CESSATION_OF_OPERATION
        ),
    ]
    prepared = crl.prepare(
        LAB.issuer.certificate,
        entries,
        number=9,
        this_update=NOW,
        next_update=NOW + DAY,
        url=URL,
    )
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(LAB.issuer.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + DAY)
        .add_extension(x509.AuthorityKeyIdentifier(LAB.issuer.key_id, None, None), critical=False)
        .add_extension(x509.CRLNumber(9), critical=False)
        .add_extension(
            x509.IssuingDistributionPoint(
                full_name=[x509.UniformResourceIdentifier(URL)],
                relative_name=None,
                only_contains_user_certs=False,
                only_contains_ca_certs=False,
                only_some_reasons=None,
                indirect_crl=False,
                only_contains_attribute_certs=False,
            ),
            critical=True,
        )
    )
    for each in entries:
        entry = (
            x509.RevokedCertificateBuilder().serial_number(each.serial).revocation_date(each.since)
        )
        if each.reason is not RevocationReason.UNSPECIFIED:
            reason = x509.CRLReason(x509.ReasonFlags(each.reason.value))
            entry = entry.add_extension(reason, critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    assert builder.sign(LAB.issuer_key, hashes.SHA256()).tbs_certlist_bytes == prepared.tbs


@pytest.mark.parametrize(
    ("entries", "number", "end", "fault"),
    [
        ([Revoked(1, NOW), Revoked(1, NOW + DAY)], 1, NOW + DAY, "twice"),
        ([Revoked(0, NOW)], 1, NOW + DAY, "serials"),
        ([Revoked(-1, NOW)], 1, NOW + DAY, "serials"),
        ([Revoked(2**159, NOW)], 1, NOW + DAY, "serials"),
        ([], -1, NOW + DAY, "number"),
        ([], 2**159, NOW + DAY, "number"),
        ([], 1, NOW, "dates"),
        ([], 1, NOW - DAY, "dates"),
    ],
)
def test_what_is_not_signed(entries: list[Revoked], number: int, end: datetime, fault: str) -> None:
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
    found = make([Revoked(3, NOW)])
    assert x509.load_der_x509_crl(found.public_bytes(Encoding.DER)) == found
