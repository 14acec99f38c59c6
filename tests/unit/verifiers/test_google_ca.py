# SPDX-License-Identifier: Apache-2.0
"""Google's authorities: the packaged ones are the pinned ones; what is one and what is none; lists of the root."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import der, google_certificates, pki
from simulator.amd_keys import SHARED
from simulator.google import FakeGoogle
from simulator.google_certificates import SHA256_WITH_RSA, Pkcs1
from simulator.pki import Extension, Key
from tests.google_lab import UNREAD, read_by_library, root_of, stranger
from tests.snp_lab import NOW
from verifiers import google_ca
from verifiers.errors import Reason, VerificationError
from verifiers.google_ca import (
    GoogleRoot,
    authority_under,
    builtin_root,
    verify_crl,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.google_certificates import Authority
    from simulator.pki import Crl

ECDSA_WITH_NULL = der.sequence(der.oid("1.2.840.10045.4.3.2"), der.NULL)
ED25519 = der.sequence(der.sequence(der.oid("1.3.101.112")), der.bit_string(bytes(32)))
UNKNOWN = Extension("1.3.6.1.4.1.55738.1", der.NULL, critical=True)


@pytest.fixture
def google() -> FakeGoogle:
    return FakeGoogle.create(NOW)


def refusal(call: Callable[[], object]) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        call()
    return caught.value


# what is packaged


def test_the_packaged_authorities() -> None:
    root = builtin_root()
    (intermediate,) = root.known
    assert (root.authority.common_name, intermediate.common_name) == (
        "EK/AK CA Root",
        "EK/AK CA Intermediate",
    )
    pinned = (google_ca.EK_AK_CA_ROOT_SHA256, google_ca.EK_AK_CA_INTERMEDIATE_SHA256)
    assert tuple(hashlib.sha256(one.der).hexdigest() for one in (root.authority, intermediate)) == (
        pinned
    )
    assert root.authority.has_issued(intermediate.der)
    assert root.authority.has_issued(root.authority.der)
    assert authority_under(root.authority, intermediate.der) == intermediate
    above, below = (
        x509.load_der_x509_certificate(one.der) for one in (root.authority, intermediate)
    )
    below.verify_directly_issued_by(above)
    assert intermediate.key_id is not None
    assert intermediate.key_id.hex() == "e966735467661befdd65bfe5e85ce3910b9b0552"


def test_a_changed_package_file_stops_the_program() -> None:
    with pytest.raises(RuntimeError, match=r"google-ek-ak-root.pem is not Google's pinned one"):
        google_ca._packaged("google-ek-ak-root.pem", google_ca.EK_AK_CA_INTERMEDIATE_SHA256)


# authorities


def test_a_simulated_root(google: FakeGoogle) -> None:
    root = root_of(google)
    assert root == root_of(google)
    assert hash(root) == hash(root_of(google))
    assert root.authority.common_name == "Simulated EK/AK CA Root"
    assert root.authority.serial_number == google.root.spec.serial
    assert [one.der for one in root.known] == [google.intermediate().der]
    assert (root.authority == google.root.der) is False
    google.root.alter(serial=9)
    assert root_of(google, knowing=False).authority != root.authority


def test_a_root_that_another_has_signed(google: FakeGoogle) -> None:
    google.root.signer = Pkcs1(google.intermediate().key)
    error = refusal(lambda: root_of(google, knowing=False))
    assert (error.reason, "not self-signed" in error.detail) == (Reason.CHAIN, True)


def test_an_intermediate_is_no_root(google: FakeGoogle) -> None:
    error = refusal(lambda: GoogleRoot.from_der(google.intermediate().der))
    assert (error.reason, "not self-signed" in error.detail) == (Reason.CHAIN, True)


def test_what_is_known_beforehand_must_be_the_roots(google: FakeGoogle) -> None:
    other = stranger().intermediate().der
    error = refusal(lambda: GoogleRoot.from_der(google.root.der, google.intermediate().der, other))
    assert error.reason is Reason.UNTRUSTED_ROOT
    assert "not signed by the pinned Simulated EK/AK CA Root" in error.detail


SPOILED: dict[str, tuple[Callable[[Authority], object], Reason, str]] = {
    "by a stranger of the same name": (
        lambda one: setattr(one, "signer", Pkcs1(SHARED.get("stranger Google root", 2048))),
        Reason.UNTRUSTED_ROOT,
        "not signed by the pinned",
    ),
    "in the name of another issuer": (
        lambda one: one.alter(issuer=google_certificates.authority_name("Another Root")),
        Reason.UNTRUSTED_ROOT,
        "not signed by the pinned",
    ),
    "no authority": (
        lambda one: one.put(pki.basic_constraints(ca=False)),
        Reason.CHAIN,
        "may not issue",
    ),
    "may not sign certificates": (
        lambda one: one.put(pki.key_usage(b"\x02")),
        Reason.CHAIN,
        "may not issue",
    ),
    "without basic constraints": (
        lambda one: one.drop(pki.BASIC_CONSTRAINTS),
        Reason.CHAIN,
        "may not issue",
    ),
    "without key usage": (lambda one: one.drop(pki.KEY_USAGE), Reason.CHAIN, "may not issue"),
    "unknown critical extension": (
        lambda one: one.put(UNKNOWN),
        Reason.CHAIN,
        "unknown critical extension 2b0601040183b33a01",
    ),
    "critical name constraints": (
        lambda one: one.put(
            Extension(
                "2.5.29.30",
                der.sequence(der.explicit(0, der.sequence(der.implicit(2, b"x")))),
                critical=True,
            )
        ),
        Reason.CHAIN,
        "unknown critical extension 551d1e",
    ),
    "an extension twice": (
        lambda one: one.alter(extensions=(*one.spec.extensions, one.spec.extensions[0])),
        Reason.CHAIN,
        "stands twice",
    ),
    "a short key": (
        lambda one: one.alter(spki=SHARED.get("vtpm ak", 2048).spki),
        Reason.CHAIN,
        "not RSA with 4096 bits",
    ),
    "a key of another kind": (
        lambda one: one.alter(spki=Key.derive(b"google", "other").spki),
        Reason.CHAIN,
        "not RSA with 4096 bits",
    ),
    "a key that has no size": (
        lambda one: one.alter(spki=ED25519),
        Reason.CHAIN,
        "not RSA with 4096 bits",
    ),
    "a name with bits where text belongs": (
        lambda one: one.alter(
            subject=der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.bit_string(b"x"))))
        ),
        Reason.CHAIN,
        "not printable",
    ),
    "a serial number of zero": (
        lambda one: one.alter(serial=0),
        Reason.CHAIN,
        "not positive",
    ),
    "a negative serial number": (
        lambda one: one.alter(serial=-1),
        Reason.CHAIN,
        "non-negative",
    ),
    "without extensions": (
        lambda one: one.alter(extensions=()),
        Reason.CHAIN,
        "not a version 3 certificate",
    ),
    "a unique identifier in the place of extensions": (
        lambda one: one.alter(spki=one.spec.spki + der.implicit(1, b"\0\1"), extensions=()),
        Reason.CHAIN,
        "not a version 3 certificate",
    ),
    "version 1": (lambda one: one.alter(version=1), Reason.CHAIN, "cannot be read"),
    "an algorithm that the library warns of": (
        lambda one: one.alter(algorithm=ECDSA_WITH_NULL),
        Reason.CHAIN,
        "not sha256WithRSAEncryption",
    ),
    "another algorithm inside": (
        lambda one: one.alter(algorithm=pki.ECDSA_SHA256, outer_algorithm=SHA256_WITH_RSA),
        Reason.CHAIN,
        "in and outside",
    ),
    "something behind": (
        lambda one: setattr(one, "edit", lambda data: data + b"\0"),
        Reason.CHAIN,
        "more than one",
    ),
    "cut short": (lambda one: setattr(one, "edit", lambda data: data[:-1]), Reason.CHAIN, "longer"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_is_no_authority_under_the_root(google: FakeGoogle, case: str) -> None:
    spoil, reason, said = SPOILED[case]
    root = root_of(google, knowing=False).authority
    one = google.intermediate()
    spoil(one)
    error = refusal(lambda: authority_under(root, one.der))
    assert (error.reason, said in error.detail) == (reason, True), error.detail


def test_a_changed_signature(google: FakeGoogle) -> None:
    root = root_of(google, knowing=False).authority
    google.intermediate().edit = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    error = refusal(lambda: authority_under(root, google.intermediate().der))
    assert error.reason is Reason.UNTRUSTED_ROOT


def test_an_authority_without_a_key_identifier(google: FakeGoogle) -> None:
    google.intermediate().drop(pki.SUBJECT_KEY_IDENTIFIER)
    assert root_of(google).known[0].key_id is None


def test_names(google: FakeGoogle) -> None:
    one, root = google.intermediate(), root_of(google).authority
    one.alter(subject=der.sequence())
    assert authority_under(root, one.der).common_name == ""
    twice = der.set_of(der.sequence(der.oid("2.5.4.3"), der.utf8_string("x")))
    one.alter(subject=der.sequence(twice, twice))
    assert authority_under(root, one.der).common_name == ""


@pytest.mark.parametrize("case", UNREAD)
def test_what_is_not_read_changes_nothing(google: FakeGoogle, case: str) -> None:
    """Of an authority too, and nothing warns."""
    right = root_of(google).known[0]
    one, (spoil, of_library) = google.intermediate(), UNREAD[case]
    spoil(one)
    with pytest.raises(of_library):
        read_by_library(one.der)
    found = authority_under(root_of(google, knowing=False).authority, one.der)
    assert (found.key_id, found.public_key) == (right.key_id, right.public_key)


# lists


def test_a_list(google: FakeGoogle) -> None:
    google.crl.revoke(5, 7)
    google.crl.put(pki.crl_number(41))
    found = verify_crl(google.crl.der, root_of(google).authority)
    assert (found.number, found.serials) == (41, frozenset({5, 7}))
    assert found.this_update == google.crl.spec.this_update
    assert found.next_update == google.crl.spec.next_update


def scope(critical: bool) -> Extension:  # noqa: FBT001 - of a test
    """IssuingDistributionPoint: only certificates of users."""
    return Extension("2.5.29.28", der.sequence(der.implicit(1, b"\xff")), critical=critical)


LISTS: dict[str, tuple[Callable[[Crl], object], str]] = {
    "by a stranger of the same name": (
        lambda crl: setattr(crl, "signer", Pkcs1(SHARED.get("stranger Google root", 2048))),
        "not issued and signed",
    ),
    "in the name of another": (
        lambda crl: crl.alter(issuer=google_certificates.authority_name("Another Root")),
        "not issued and signed",
    ),
    "without nextUpdate": (lambda crl: crl.alter(next_update=None), "nextUpdate is missing"),
    "without a number": (lambda crl: crl.drop(pki.CRL_NUMBER), "CRL number is missing"),
    "without extensions": (lambda crl: crl.alter(extensions=()), "CRL number is missing"),
    "of a part": (lambda crl: crl.put(scope(critical=True)), "unknown critical extension"),
    "a difference to another": (
        lambda crl: crl.put(Extension("2.5.29.27", der.integer(1), critical=True)),
        "unknown critical extension",
    ),
    "a negative number": (lambda crl: crl.put(pki.crl_number(-1)), "non-negative"),
    "an extension twice": (
        lambda crl: crl.alter(extensions=(*crl.spec.extensions, crl.spec.extensions[1])),
        "twice",
    ),
    "another algorithm": (lambda crl: crl.alter(algorithm=pki.ECDSA_SHA256), "in and outside"),
    "something behind": (lambda crl: setattr(crl, "edit", lambda data: data + b"\0"), ""),
    "no list": (lambda crl: setattr(crl, "edit", lambda _: b"no list"), ""),
    "nothing": (lambda crl: setattr(crl, "edit", lambda _: b""), ""),
}


@pytest.mark.parametrize("case", LISTS)
def test_what_is_no_list_of_the_root(google: FakeGoogle, case: str) -> None:
    spoil, said = LISTS[case]
    root = root_of(google).authority
    spoil(google.crl)
    error = refusal(lambda: verify_crl(google.crl.der, root))
    assert error.reason is Reason.CRL_INVALID
    assert error.detail.startswith("Google's root CRL: ")
    assert said in error.detail


def test_the_certificate_of_the_root_is_no_list(google: FakeGoogle) -> None:
    root = root_of(google).authority
    assert refusal(lambda: verify_crl(root.der, root)).reason is Reason.CRL_INVALID


def test_the_list_of_an_intermediate_is_not_the_roots(google: FakeGoogle) -> None:
    root, issuer = root_of(google).authority, google.intermediate()
    crl = replace(google.crl, signer=Pkcs1(issuer.key))
    crl.alter(issuer=issuer.spec.subject)
    assert refusal(lambda: verify_crl(crl.der, root)).reason is Reason.CRL_INVALID


def test_dates_are_not_looked_at(google: FakeGoogle) -> None:
    past = NOW - timedelta(days=4000)
    google.crl.alter(this_update=past, next_update=past + timedelta(days=1))
    assert verify_crl(google.crl.der, root_of(google).authority).this_update == past


# anything else


@settings(max_examples=200)
@given(st.data())
def test_mutations(data: st.DataObject) -> None:
    """Of a certificate and a list: refused with the one exception, and no warning."""
    google = FakeGoogle.create(NOW)
    root = root_of(google, knowing=False).authority
    of_list = data.draw(st.booleans())
    right = google.crl.der if of_list else google.intermediate().der
    changed = bytearray(right)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        match data.draw(st.sampled_from(("set", "cut", "insert"))):
            case "set":
                changed[at] = data.draw(st.integers(0, 255))
            case "cut":
                del changed[at]
            case _:
                changed.insert(at, data.draw(st.integers(0, 255)))
    if bytes(changed) == right:
        return
    judge: Callable[[bytes], object] = (
        (lambda one: verify_crl(one, root)) if of_list else (lambda one: authority_under(root, one))
    )
    assert refusal(lambda: judge(bytes(changed))).reason in {
        Reason.CHAIN,
        Reason.UNTRUSTED_ROOT,
        Reason.CRL_INVALID,
    }


@settings(max_examples=300)
@given(st.data())
def test_contents_under_a_true_signature(data: st.DataObject) -> None:
    """What the root itself signs, but not as it does: believed, or refused with the one exception, and no warning."""
    google = FakeGoogle.create(NOW)
    root = root_of(google, knowing=False).authority
    of_list = data.draw(st.booleans())
    spec = google.crl.spec if of_list else google.intermediate().spec
    tbs = bytearray(spec.tbs())
    for _ in range(data.draw(st.integers(1, 3))):
        tbs[data.draw(st.integers(4, len(tbs) - 1))] = data.draw(st.integers(0, 255))
    signature = der.bit_string(Pkcs1(google.root.key).sign_der(bytes(tbs)))
    whole = der.sequence(bytes(tbs), SHA256_WITH_RSA, signature)
    reasons = set()
    try:
        if of_list:
            verify_crl(whole, root)
        else:
            authority_under(root, whole)
    except VerificationError as error:
        reasons.add(error.reason)
    assert reasons <= {Reason.CHAIN, Reason.UNTRUSTED_ROOT, Reason.CRL_INVALID}
