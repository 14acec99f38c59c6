# SPDX-License-Identifier: Apache-2.0
"""Certificates of attestation keys: what is believed, everything that is not, in each form a piece may have."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import der, google_certificates, pki
from simulator.amd_keys import SHARED
from simulator.google import FakeGoogle
from simulator.google_certificates import (
    DIGITAL_SIGNATURE,
    INSTANCE,
    KEY_ENCIPHERMENT,
    SHA256_WITH_RSA,
    Instance,
    Pkcs1,
)
from simulator.pki import CertificateSpec, Extension, Signed, pem
from tests.google_lab import UNREAD, read_by_library, root_of, stranger
from tests.snp_lab import NOW
from verifiers.endorsements import PartValidity, Revocation
from verifiers.errors import Reason, VerificationError
from verifiers.vtpm.certified import (
    authenticate,
    check_dates,
    check_revocation,
    key_in,
    names_google,
    pem_of,
    read_certificates,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verifiers.vtpm.certified import Certified

OPENSSL = shutil.which("openssl")
OF_VM = Instance()
ROOT_OF_THE_STRANGER = "stranger Google root"


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Bench:
    """A certificate, and what is pinned. `brought`: certificates that come along, then all is PEM."""

    google: FakeGoogle
    leaf: Signed[CertificateSpec]
    knowing: bool = True
    brought: list[bytes] = field(default_factory=list)

    @property
    def piece(self) -> bytes:
        return pem(self.leaf.der, *self.brought).encode() if self.brought else self.leaf.der

    def authenticate(self) -> Certified:
        return authenticate(self.piece, root_of(self.google, knowing=self.knowing))

    def refusal(self) -> VerificationError:
        with pytest.raises(VerificationError) as caught:
            self.authenticate()
        return caught.value


@pytest.fixture
def bench() -> Bench:
    google = FakeGoogle.create(NOW)
    return Bench(google, google.certify(SHARED.get("vtpm ak", 2048).spki, OF_VM))


# what is believed


def test_what_a_certificate_says(bench: Bench) -> None:
    found = bench.authenticate()
    claims = found.claims
    assert (claims.zone, claims.instance_name) == ("us-central1-a", "confidential-1")
    assert (claims.project_id, claims.project_number) == ("simulated-project", 995_067_395_740)
    assert (claims.instance_id, claims.security_version) == (6_524_697_943_022_743_941, 0)
    assert claims.ak_certificate_sha256 == hashlib.sha256(bench.leaf.der).digest()
    assert claims.issuer_serial == bench.google.intermediate().spec.serial
    assert claims.revocation is Revocation.NOT_CHECKED
    assert claims.certificates_expire == bench.leaf.spec.not_after
    assert found.not_before == bench.leaf.spec.not_before
    assert found.key == SHARED.get("vtpm ak", 2048).private.public_key()
    assert found.authority == root_of(bench.google).known[0]


def test_a_key_on_a_curve(bench: Bench) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    bench.leaf = bench.google.certify(spki(key), OF_VM)
    assert bench.authenticate().key == key.public_key()


def test_no_constraints_are_those_of_no_authority(bench: Bench) -> None:
    bench.leaf.drop(pki.BASIC_CONSTRAINTS)
    assert bench.authenticate().claims.issuer_serial == bench.google.intermediate().spec.serial


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("knowing", [False, True])
def test_what_comes_along_in_any_order(
    bench: Bench,
    order: tuple[int, ...],
    knowing: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The key's certificate, its authority's and the root's, which is looked at no further."""
    google = bench.google
    parts = (bench.leaf.der, google.intermediate().der, google.root.der)
    text = pem(*(parts[place] for place in order)).encode()
    root = root_of(google, knowing=knowing)
    assert authenticate(text, root) == authenticate(bench.leaf.der, root_of(google))


def test_white_space_makes_no_other_piece(bench: Bench) -> None:
    """What is remembered is the certificates': whoever has one chain cannot fill the memory with it."""
    bench.brought = [bench.google.intermediate().der]
    root = root_of(bench.google)
    texts = (
        bench.piece,
        b"\n" + bench.piece,
        bench.piece.replace(b"-----BEGIN", b" \r\n-----BEGIN"),
    )
    found = {id(authenticate(text + b"\n \0" * more, root)) for text in texts for more in range(3)}
    assert len(found) == 1


def test_a_region_that_is_not_known_beforehand(bench: Bench) -> None:
    other = bench.google.intermediate("europe-west4")
    bench.leaf.signer = Pkcs1(other.key)
    bench.leaf.put(pki.authority_key_identifier(other.key.key_id))
    error = bench.refusal()
    assert (error.reason, "is missing" in error.detail) == (Reason.CHAIN, True)
    assert other.key.key_id.hex() in error.detail
    bench.brought = [other.der]
    assert bench.authenticate().claims.issuer_serial == other.spec.serial


@pytest.mark.parametrize("above", ["intermediate", "root"])
def test_the_ends_of_those_above_count(bench: Bench, above: str) -> None:
    google = bench.google
    authority = google.root if above == "root" else google.intermediate()
    authority.alter(not_before=NOW - timedelta(hours=1), not_after=NOW + timedelta(hours=1))
    found = bench.authenticate()
    assert found.claims.certificates_expire == NOW + timedelta(hours=1)
    assert found.not_before == NOW - timedelta(hours=1)


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
@pytest.mark.parametrize("spoiled", ["", "signature", "authority", "root"])
def test_openssl_agrees(bench: Bench, spoiled: str, tmp_path: Path) -> None:
    google, other = bench.google, stranger()
    if spoiled == "signature":
        bench.leaf.edit = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    if spoiled == "authority":
        bench.leaf.signer = Pkcs1(other.intermediate().key)
    if spoiled == "root":
        google.intermediate().signer = Pkcs1(other.root.key)
    bench.knowing, bench.brought = False, [google.intermediate().der]
    (tmp_path / "root.pem").write_text(pem(google.root.der))
    (tmp_path / "above.pem").write_text(pem(google.intermediate().der))
    (tmp_path / "leaf.pem").write_text(pem(bench.leaf.der))
    at = str(int(NOW.timestamp()))
    words = ["-attime", at, "-CAfile", "root.pem", "-untrusted", "above.pem", "leaf.pem"]
    command = ["openssl", "verify", "-x509_strict", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)  # noqa: S603 - fixed words
    if spoiled:
        assert done.returncode != 0
        assert bench.refusal().reason in {Reason.CHAIN, Reason.UNTRUSTED_ROOT}
    else:
        assert done.returncode == 0, done.stderr
        assert bench.authenticate().authority.der == google.intermediate().der


# what is not


def brings(*ders: Callable[[FakeGoogle], bytes]) -> Callable[[Bench], object]:
    def spoil(bench: Bench) -> None:
        bench.brought = [make(bench.google) for make in ders]

    return spoil


def by_the_root(bench: Bench) -> None:
    """As if the root had issued it itself."""
    root = bench.google.root
    bench.leaf.signer = Pkcs1(root.key)
    bench.leaf.alter(issuer=root.spec.subject)
    bench.leaf.put(pki.authority_key_identifier(root.key.key_id))


def by_the_root_that_came_along(bench: Bench) -> None:
    by_the_root(bench)
    bench.brought = [bench.google.root.der]


def self_made(bench: Bench) -> None:
    """An intermediate of the same name whose own key signs it, and the leaf."""
    made = stranger().intermediate()
    made.signer = Pkcs1(made.key)
    bench.leaf.signer = Pkcs1(made.key)
    bench.leaf.put(pki.authority_key_identifier(made.key.key_id))
    bench.brought = [made.der]


def a_whole_other_hierarchy(bench: Bench) -> None:
    other = stranger()
    bench.leaf = other.certify(bench.leaf.spec.spki, OF_VM)
    bench.brought = [other.intermediate().der, other.root.der]


def another_authority(bench: Bench) -> None:
    a_whole_other_hierarchy(bench)
    del bench.brought[1]


def under_a_key(bench: Bench) -> None:
    """Signed by a certified key, as if that were an authority's."""
    ak = SHARED.get("vtpm ak", 2048)
    issuer = bench.google.certify(ak.spki, Instance(name="another"))
    bench.leaf.signer = Pkcs1(ak)
    bench.leaf.alter(issuer=issuer.spec.subject)
    bench.leaf.put(pki.authority_key_identifier(ak.key_id))
    bench.brought = [issuer.der]


def of_an_endorsement_key(bench: Bench) -> None:
    bench.leaf = bench.google.certify(bench.leaf.spec.spki, OF_VM, KEY_ENCIPHERMENT)


def says(instance: Instance) -> Callable[[Bench], object]:
    return lambda bench: bench.leaf.put(instance.extension())


REFUSED: dict[str, tuple[Callable[[Bench], object], Reason, str]] = {
    "signed by the root": (by_the_root, Reason.CHAIN, "is missing"),
    "signed by the root, which came along": (
        by_the_root_that_came_along,
        Reason.CHAIN,
        "is missing",
    ),
    "a self-made authority": (self_made, Reason.UNTRUSTED_ROOT, "not signed by the pinned"),
    "another hierarchy": (
        a_whole_other_hierarchy,
        Reason.CHAIN,
        "one authority is wanted",
    ),
    "another authority without its root": (
        another_authority,
        Reason.UNTRUSTED_ROOT,
        "not signed by the pinned",
    ),
    "under a key": (under_a_key, Reason.CHAIN, "2 certificates of keys among 2"),
    "the authority of another region": (
        brings(lambda google: google.intermediate("europe-west4").der),
        Reason.CHAIN,
        "not signed by Simulated EK/AK CA Intermediate",
    ),
    "two authorities": (
        brings(
            lambda google: google.intermediate().der,
            lambda google: google.intermediate("europe-west4").der,
        ),
        Reason.CHAIN,
        "one authority is wanted",
    ),
    "the authority alone": (
        lambda bench: setattr(bench.leaf, "edit", lambda _: bench.google.intermediate().der),
        Reason.CHAIN,
        "0 certificates of keys among 1",
    ),
    "the same twice": (
        lambda bench: bench.brought.append(bench.leaf.der),
        Reason.CHAIN,
        "2 certificates of keys among 2",
    ),
    "four certificates": (
        lambda bench: bench.brought.extend([bench.google.intermediate().der] * 3),
        Reason.MALFORMED,
        "4 certificates, at most 3",
    ),
    "in the name of another issuer": (
        lambda bench: bench.leaf.alter(issuer=google_certificates.authority_name("EK/AK CA")),
        Reason.CHAIN,
        "not signed by Simulated EK/AK CA Intermediate",
    ),
    "by a stranger": (
        lambda bench: setattr(bench.leaf, "signer", Pkcs1(SHARED.get(ROOT_OF_THE_STRANGER, 2048))),
        Reason.CHAIN,
        "not signed by Simulated EK/AK CA Intermediate",
    ),
    "of an endorsement key": (of_an_endorsement_key, Reason.CHAIN, "no attestation key"),
    "of a key that does more than sign": (
        lambda bench: bench.leaf.put(pki.key_usage(b"\xa0")),
        Reason.CHAIN,
        "no attestation key",
    ),
    "of a key that signs certificates": (
        lambda bench: bench.leaf.put(pki.key_usage(b"\x84")),
        Reason.CHAIN,
        "no attestation key",
    ),
    "of a key that attests contents": (
        lambda bench: bench.leaf.put(pki.key_usage(pki.SIGNATURE_AND_NON_REPUDIATION)),
        Reason.CHAIN,
        "no attestation key",
    ),
    "without key usage": (lambda bench: bench.leaf.drop(pki.KEY_USAGE), Reason.CHAIN, "missing"),
    "without a VM": (lambda bench: bench.leaf.drop(INSTANCE), Reason.CHAIN, "missing"),
    "without the issuer's key": (
        lambda bench: bench.leaf.drop(pki.AUTHORITY_KEY_IDENTIFIER),
        Reason.CHAIN,
        "identifier is missing",
    ),
    "the issuer by number": (
        lambda bench: bench.leaf.put(Extension(pki.AUTHORITY_KEY_IDENTIFIER, der.sequence())),
        Reason.CHAIN,
        "no identifier of a key",
    ),
    "of no production": (
        says(replace(OF_VM, security=(der.explicit(1, der.FALSE),))),
        Reason.CHAIN,
        "no key of Google's production",
    ),
    "without security properties": (
        says(replace(OF_VM, security=None)),
        Reason.CHAIN,
        "no key of Google's production",
    ),
    "of a VM that cannot be read": (
        lambda bench: bench.leaf.put(Extension(INSTANCE, der.NULL)),
        Reason.CHAIN,
        "tag 0x05",
    ),
    "something behind the VM": (
        lambda bench: bench.leaf.put(Extension(INSTANCE, OF_VM.extension().value + b"\0")),
        Reason.CHAIN,
        "more than one",
    ),
    "a critical VM": (
        lambda bench: bench.leaf.put(Extension(INSTANCE, OF_VM.extension().value, critical=True)),
        Reason.CHAIN,
        "unknown critical extension",
    ),
    "a name that is too long": (
        says(replace(OF_VM, name="n" * 257)),
        Reason.CHAIN,
        "too long",
    ),
    "unknown critical extension": (
        lambda bench: bench.leaf.put(Extension("1.3.6.1.4.1.55738.1", der.NULL, critical=True)),
        Reason.CHAIN,
        "unknown critical extension",
    ),
    "an extension twice": (
        lambda bench: bench.leaf.alter(
            extensions=(*bench.leaf.spec.extensions, bench.leaf.spec.extensions[-1])
        ),
        Reason.CHAIN,
        "stands twice",
    ),
    "a short key": (
        lambda bench: bench.leaf.alter(spki=SHARED.get("short", 1024).spki),
        Reason.UNSUPPORTED_FORMAT,
        "2048 to 4096 bits",
    ),
    "a key on another curve": (
        lambda bench: bench.leaf.alter(spki=spki(ec.generate_private_key(ec.SECP256K1()))),
        Reason.UNSUPPORTED_FORMAT,
        "neither RSA nor on P-256",
    ),
    "a key that cannot be read": (
        lambda bench: bench.leaf.alter(spki=der.sequence(der.sequence(der.oid("1.2.3")), b"\3\0")),
        Reason.CHAIN,
        "",
    ),
    "a key of an unknown kind": (
        lambda bench: bench.leaf.alter(
            spki=der.sequence(der.sequence(der.oid("1.2.3.4")), der.bit_string(b"key"))
        ),
        Reason.CHAIN,
        "known key type",
    ),
    "no certificate": (
        lambda bench: setattr(bench.leaf, "edit", lambda _: b"no certificate"),
        Reason.CHAIN,
        "",
    ),
    "nothing": (lambda bench: setattr(bench.leaf, "edit", lambda _: b""), Reason.CHAIN, ""),
    "something behind": (
        lambda bench: setattr(bench.leaf, "edit", lambda data: data + b"\0"),
        Reason.CHAIN,
        "more than one",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(bench: Bench, case: str) -> None:
    spoil, reason, said = REFUSED[case]
    spoil(bench)
    error = bench.refusal()
    assert (error.reason, said in error.detail) == (reason, True), error.detail


@pytest.mark.parametrize("case", UNREAD)
def test_what_is_not_read_changes_nothing(bench: Bench, case: str) -> None:
    """Whoever has signed it: nobody reads it, so nothing warns, and no exception comes that nobody foresees."""
    right = bench.authenticate()
    spoil, of_library = UNREAD[case]
    spoil(bench.leaf)
    with pytest.raises(of_library):
        read_by_library(bench.leaf.der)
    found, digest = bench.authenticate(), hashlib.sha256(bench.leaf.der).digest()
    assert found == replace(right, claims=replace(right.claims, ak_certificate_sha256=digest))
    bench.leaf.signer = Pkcs1(SHARED.get(ROOT_OF_THE_STRANGER, 2048))
    assert key_in(bench.leaf.der) == right.key
    assert "not signed by" in bench.refusal().detail


def test_no_key_is_used_before_somebody_vouched_for_it(bench: Bench) -> None:
    """The faults of a forged certificate are not told apart: its signature comes first."""
    of_an_endorsement_key(bench)
    bench.leaf.put(Extension(INSTANCE, der.NULL))
    bench.leaf.alter(spki=SHARED.get("short", 1024).spki)
    bench.leaf.signer = Pkcs1(SHARED.get(ROOT_OF_THE_STRANGER, 2048))
    assert "not signed by" in bench.refusal().detail


# dates


def test_dates(bench: Bench) -> None:
    found = bench.authenticate()
    first, last = found.not_before, found.claims.certificates_expire
    for good in (first, NOW, last):
        check_dates(found, good)
    second = timedelta(seconds=1)
    for at, reason in (
        (first - second, Reason.CERTIFICATE_NOT_YET_VALID),
        (last + second, Reason.CERTIFICATE_EXPIRED),
    ):
        with pytest.raises(VerificationError, match="the certificate of the attestation key") as e:
            check_dates(found, at)
        assert e.value.reason is reason


# revocation


def test_the_list(bench: Bench) -> None:
    found, root, crl = bench.authenticate(), root_of(bench.google), bench.google.crl
    issued, ends = crl.spec.this_update, crl.spec.next_update
    assert ends is not None
    bench.google.crl.revoke(found.claims.issuer_serial + 1, bench.leaf.spec.serial)
    window = PartValidity("google_root_crl", issued, ends, None)
    for at in (issued, NOW, ends):
        assert check_revocation(found, root, crl.der, at) == window
    late = ends + timedelta(seconds=1)
    assert check_revocation(found, root, crl.der, late) == replace(window, expired_since=ends)


def test_a_list_that_refuses(bench: Bench) -> None:
    found, root, crl = bench.authenticate(), root_of(bench.google), bench.google.crl
    early = crl.spec.this_update - timedelta(seconds=1)
    right = crl.der
    crl.revoke(found.claims.issuer_serial)
    for data, at, reason in (
        (right, early, Reason.COLLATERAL_NOT_YET_VALID),
        (crl.der, NOW, Reason.CERTIFICATE_REVOKED),
        (crl.der[:-1], NOW, Reason.CRL_INVALID),
        (stranger().crl.der, NOW, Reason.CRL_INVALID),
    ):
        with pytest.raises(VerificationError) as caught:
            check_revocation(found, root, data, at)
        assert caught.value.reason is reason


# files


def test_a_piece_in_each_form(bench: Bench) -> None:
    leaf, above = bench.leaf.der, bench.google.intermediate().der
    assert read_certificates(leaf) == (leaf,)
    both = pem(leaf, above).encode()
    for text in (both, b"\n " + both, both.replace(b"\n", b"\r\n"), both + b"\0\n"):
        assert read_certificates(text) == (leaf, above)
    assert read_certificates(b"whatever") == (b"whatever",)


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        pem(b"one").encode() + b"and more",
    ],
)
def test_pem_that_is_none(text: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        read_certificates(text)
    assert caught.value.reason is Reason.MALFORMED
    assert not names_google(text)


def test_files_become_one_piece(bench: Bench) -> None:
    leaf, above = bench.leaf.der, bench.google.intermediate().der
    text = pem(leaf).encode()
    assert pem_of([leaf]) == leaf
    assert pem_of([text]) == text
    for files in ([leaf, above], [text, above], [leaf, pem(above).encode()]):
        assert read_certificates(pem_of(files)) == (leaf, above)
    unended = text.rstrip(b"\n")
    assert read_certificates(pem_of([unended, above])) == (leaf, above)


def test_whose_certificates_a_file_has(bench: Bench) -> None:
    google = bench.google
    for data in (bench.leaf.der, google.intermediate().der, pem(google.root.der).encode()):
        assert names_google(data)
    other = replace(bench.leaf)
    other.alter(issuer=pki.name("Another"))
    assert names_google(other.der)  # for the VM alone
    other.drop(INSTANCE)
    for data in (other.der, pem(other.der).encode(), b"", pem(*[b"x"] * 4).encode()):
        assert not names_google(data)


def test_the_key_in_a_piece_nobody_vouches_for(bench: Bench) -> None:
    bench.leaf.signer = Pkcs1(SHARED.get(ROOT_OF_THE_STRANGER, 2048))
    key = SHARED.get("vtpm ak", 2048).private.public_key()
    assert key_in(bench.leaf.der) == key
    assert key_in(pem(bench.google.intermediate().der, bench.leaf.der).encode()) == key
    unread = Extension("2.5.29.17", der.sequence(), critical=True)
    bench.leaf.put(
        unread
    )  # as those of the older hierarchy have it: who believes nothing need not understand it
    assert key_in(bench.leaf.der) == key
    for data, reason in (
        (b"no certificate", Reason.CHAIN),
        (bench.google.intermediate().der, Reason.CHAIN),
        (pem(*[bench.leaf.der] * 4).encode(), Reason.MALFORMED),
    ):
        with pytest.raises(VerificationError) as caught:
            key_in(data)
        assert caught.value.reason is reason


# anything else


def mutated(data: st.DataObject, right: bytes, first: int = 0) -> bytes:
    changed = bytearray(right)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(first, len(changed) - 1))
        match data.draw(st.sampled_from(("set", "cut", "insert", "swap"))):
            case "set":
                changed[at] = data.draw(st.integers(0, 255))
            case "cut":
                del changed[at]
            case "insert":
                changed.insert(at, data.draw(st.integers(0, 255)))
            case _:
                to = data.draw(st.integers(first, len(changed) - 1))
                changed[at], changed[to] = changed[to], changed[at]
    return bytes(changed)


@settings(max_examples=400)
@given(st.data())
def test_mutations_of_a_piece(data: st.DataObject) -> None:
    """In either form, with whatever comes along: the same certificates, or the one exception, and no warning."""
    google = FakeGoogle.create(NOW)
    leaf = google.certify(SHARED.get("vtpm ak", 2048).spki, OF_VM).der
    text = pem(leaf, google.intermediate().der).encode()
    piece = mutated(data, data.draw(st.sampled_from((leaf, text))))
    names_google(piece)
    for judge in (key_in, lambda one: authenticate(one, root_of(google))):
        try:
            judge(piece)
        except VerificationError:
            continue
        if judge is not key_in:
            assert set(read_certificates(piece)) <= {leaf, google.intermediate().der}


@settings(max_examples=400)
@given(st.data())
def test_contents_under_a_true_signature(data: st.DataObject) -> None:
    """What an authority signs, but not as it does: the usual key, or the one exception, and no warning."""
    google = FakeGoogle.create(NOW)
    usual = google.certify(SHARED.get("vtpm ak", 2048).spki, OF_VM)
    tbs = mutated(data, usual.spec.tbs(), 4)
    signature = der.bit_string(Pkcs1(google.intermediate().key).sign_der(tbs))
    reasons = set()
    try:
        found = authenticate(der.sequence(tbs, SHA256_WITH_RSA, signature), root_of(google))
    except VerificationError as error:
        reasons.add(error.reason)
    else:
        assert found.claims.project_id.isprintable()
    assert reasons <= {
        Reason.CHAIN,
        Reason.UNTRUSTED_ROOT,
        Reason.UNSUPPORTED_FORMAT,
        Reason.MALFORMED,
    }


def test_usage_is_that_of_real_ones() -> None:
    assert pki.key_usage(DIGITAL_SIGNATURE).value == bytes.fromhex("03020780")
