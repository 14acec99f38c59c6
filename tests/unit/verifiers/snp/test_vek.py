# SPDX-License-Identifier: Apache-2.0
"""Endorsement certificates: our reader says what the library says of every real one, and refuses every other form."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from simulator import amd_certificates, der, pki
from simulator.amd_keys import PSS_SHA384, PSS_SHA384_WITH_TRAILER, P384Key
from simulator.pki import Extension
from tests.cases.snp import vectors
from tests.snp_lab import SnpLab, hierarchy
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Product
from verifiers.snp.claims import SigningKey
from verifiers.snp.vek import Vek, authority_of, read_vek, verify_vek

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.amd_certificates import Vek as FakeVek

ARC = "1.3.6.1.4.1.3704.1."


def library(data: bytes) -> tuple[x509.Certificate, int]:
    """The library's reading, and the serial number, of which it warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Parsed a serial number", CryptographyDeprecationWarning)
        certificate = x509.load_der_x509_certificate(data)
        return certificate, certificate.serial_number


def lab(product: str = "Genoa", kind: str = "vcek") -> SnpLab:
    bench = SnpLab.create(product)
    bench.report(signing_key=kind)
    return bench


def verified(bench: SnpLab) -> Vek:
    return verify_vek(bench.vek.der, SigningKey(bench.signing_key), hierarchy(bench.line))


def refusal(bench: SnpLab) -> tuple[Reason, str]:
    with pytest.raises(VerificationError) as caught:
        verified(bench)
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize("name", vectors.names())
def test_the_library_says_the_same_of_every_real_one(name: str) -> None:
    data = vectors.load(name).vek
    ours, (theirs, serial_number) = read_vek(data), library(data)
    claims = ours.claims
    assert serial_number == 0
    assert der.tlv(0x30, ours.issuer) == theirs.issuer.public_bytes()
    (common_name,) = theirs.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert common_name.value == f"SEV-{claims.kind.upper()}"
    assert (claims.not_before, claims.not_after) == (
        theirs.not_valid_before_utc,
        theirs.not_valid_after_utc,
    )
    key = theirs.public_key()
    assert key == ours.public_key
    assert ours.signed.tbs == theirs.tbs_certificate_bytes
    assert ours.signed.signature == theirs.signature
    found = {
        each.oid.dotted_string.removeprefix(ARC): each.value.public_bytes()
        for each in theirs.extensions
    }
    assert not any(each.critical for each in theirs.extensions)
    assert found.pop("1") == der.integer(claims.struct_version)
    assert found.pop("2") == der.ia5_string(claims.product_name)
    assert found.pop("4", None) == claims.hwid
    csp_id = found.pop("5", None)
    assert csp_id == (None if claims.csp_id is None else der.ia5_string(claims.csp_id))
    tcb = claims.tcb
    named = {"3.1": tcb.bootloader, "3.2": tcb.tee, "3.3": tcb.snp, "3.8": tcb.microcode}
    if tcb.fmc is not None:
        named["3.9"] = tcb.fmc
    zero = dict.fromkeys(found.keys() - named.keys(), 0)
    assert found == {arc: der.integer(value) for arc, value in (named | zero).items()}


@pytest.mark.parametrize("name", vectors.names())
def test_real_ones_are_what_their_folder_says(name: str) -> None:
    vector = vectors.load(name)
    claims, expected = read_vek(vector.vek).claims, vector.expected["vek"]
    assert claims.not_before == datetime.fromisoformat(expected["not_before"])
    assert claims.not_after == datetime.fromisoformat(expected["not_after"])
    assert claims.struct_version == expected["struct_version"]
    assert claims.product_name == vector.expected["product_name_ext"]
    assert claims.certificate_sha256.hex() == expected["sha256"]
    assert claims.csp_id == expected["csp_id"]
    assert (claims.hwid and claims.hwid.hex()) == expected["hwid"]


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
@pytest.mark.parametrize("kind", ["vcek", "vlek"])
def test_each_kind_of_each_product(product: str, kind: str) -> None:
    bench = lab(product, kind)
    vek = verified(bench)
    claims, tcb = vek.claims, bench.machine.tcb
    assert claims.kind == kind
    assert claims.product_name.startswith(product)
    assert claims.tcb.components == (tcb.fmc, tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode)
    assert claims.tcb.raw == bench.machine.product.encode(tcb)
    assert claims.hwid == (bench.machine.hwid if kind == "vcek" else None)
    assert claims.csp_id == (bench.machine.csp_id if kind == "vlek" else None)
    spki = vek.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki == bench.vek.key.spki
    pinned = hierarchy(bench.line)
    assert authority_of(pinned, claims.kind) == (pinned.asvk if kind == "vlek" else pinned.ask)


def test_what_was_authenticated_is_remembered() -> None:
    bench = lab()
    assert verified(bench) is verified(bench)


@pytest.mark.parametrize("algorithm", [PSS_SHA384, PSS_SHA384_WITH_TRAILER])
def test_the_two_ways_to_write_the_parameters(algorithm: bytes) -> None:
    bench = lab()
    bench.vek.alter(algorithm=algorithm)
    assert verified(bench).claims.kind is SigningKey.VCEK


def test_a_serial_number_of_another_kind() -> None:
    bench = lab()
    bench.vek.alter(serial=2**100)
    verified(bench)


SPKI = P384Key.derive(b"test_vek", "another").spki
UNREADABLE: dict[str, Callable[[FakeVek], None]] = {
    "version 1": lambda vek: vek.alter(version=1),
    "negative serial": lambda vek: vek.alter(serial=-1),
    "other subject": lambda vek: vek.alter(subject=amd_certificates.name("SEV-VCEK2")),
    "an ASK": lambda vek: vek.alter(subject=amd_certificates.name("SEV-Genoa")),
    "another form of name": lambda vek: vek.alter(subject=pki.name("SEV-VCEK")),
    "SHA-256 inside and outside": lambda vek: vek.alter(algorithm=pki.ECDSA_SHA256),
    "ECDSA outside": lambda vek: vek.alter(outer_algorithm=pki.ECDSA_SHA384),
    "the other parameters outside": lambda vek: vek.alter(outer_algorithm=PSS_SHA384_WITH_TRAILER),
    "P-256": lambda vek: vek.alter(spki=pki.Key.derive(b"test_vek", "p256").spki),
    "compressed point": lambda vek: vek.alter(spki=SPKI.replace(b"\0\x04", b"\0\x02", 1)),
    "not on the curve": lambda vek: vek.alter(spki=SPKI[:-1] + bytes([SPKI[-1] ^ 1])),
    "a longer point": lambda vek: vek.alter(spki=der.tlv(0x30, SPKI[2:] + b"\0")),
    "no extensions": lambda vek: vek.alter(extensions=()),
    "critical": lambda vek: vek.put(Extension("1.2.3", b"\x05\0", critical=True)),
    "basic constraints": lambda vek: vek.put(pki.basic_constraints(ca=True)),
    "another component": lambda vek: vek.put(Extension(f"{ARC}3.10", der.integer(0))),
    "FMC on Genoa": lambda vek: vek.put(Extension(f"{ARC}3.9", der.integer(0))),
    "both owners": lambda vek: vek.put(Extension(f"{ARC}5", der.ia5_string("CN=x"))),
    "unknown in AMD's arc": lambda vek: vek.put(Extension(f"{ARC}6", der.integer(0))),
    "structVersion 1 of Genoa's": lambda vek: vek.put(Extension(f"{ARC}1", der.integer(1))),
    "structVersion 2": lambda vek: vek.put(Extension(f"{ARC}1", der.integer(2))),
    "structVersion -1": lambda vek: vek.put(Extension(f"{ARC}1", der.integer(-1))),
    "negative SPL": lambda vek: vek.put(Extension(f"{ARC}3.1", der.integer(-1))),
    "SPL above 255": lambda vek: vek.put(Extension(f"{ARC}3.8", der.integer(256))),
    "SPL not minimal": lambda vek: vek.put(Extension(f"{ARC}3.1", b"\x02\x02\0\x04")),
    "SPL of another type": lambda vek: vek.put(Extension(f"{ARC}3.1", der.octet_string(b"\x04"))),
    "something behind an SPL": lambda vek: vek.put(Extension(f"{ARC}3.1", der.integer(4) + b"\0")),
    "spl4 is not zero": lambda vek: vek.put(Extension(f"{ARC}3.4", der.integer(1))),
    "hwID short": lambda vek: vek.put(Extension(f"{ARC}4", bytes(63))),
    "hwID of Turin": lambda vek: vek.put(Extension(f"{ARC}4", bytes(8))),
    "hwID in DER": lambda vek: vek.put(Extension(f"{ARC}4", der.octet_string(bytes(64)))),
    "product name in UTF-8": lambda vek: vek.put(Extension(f"{ARC}2", der.utf8_string("Genoa"))),
    "product name no ASCII": lambda vek: vek.put(Extension(f"{ARC}2", b"\x16\x01\xff")),
    "not DER": lambda vek: setattr(vek, "edit", lambda data: data[:-1]),
    "something behind": lambda vek: setattr(vek, "edit", lambda data: data + b"\0"),
    "nothing": lambda vek: setattr(vek, "edit", lambda _: b""),
    **{
        f"no extension {arc}": methodcaller("drop", ARC + arc)
        for arc in ("1", "2", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8", "4")
    },
}


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE)
def test_another_form_is_refused(change: Callable[[FakeVek], None]) -> None:
    bench = lab()
    change(bench.vek)
    reason, detail = refusal(bench)
    assert reason is Reason.CHAIN
    assert detail.startswith("endorsement certificate cannot be read")


@pytest.mark.parametrize("arc", ["3.5", "3.6", "3.7", "3.9", "4"])
def test_turin_has_its_own_set_of_extensions(arc: str) -> None:
    bench = lab("Turin")
    bench.vek.drop(ARC + arc)
    assert refusal(bench)[0] is Reason.CHAIN
    bench = lab("Turin")
    bench.vek.put(Extension(f"{ARC}3.4", der.integer(0)))
    assert refusal(bench)[0] is Reason.CHAIN


def test_a_vlek_without_provider() -> None:
    bench = lab(kind="vlek")
    bench.vek.drop(f"{ARC}5")
    assert refusal(bench)[0] is Reason.CHAIN


def test_repeated_extensions() -> None:
    bench = lab()
    first = bench.vek.spec.extensions[2]
    bench.vek.alter(extensions=(*bench.vek.spec.extensions, first))
    assert refusal(bench)[0] is Reason.CHAIN


def test_an_extension_of_nobody_that_is_not_critical() -> None:
    bench = lab()
    bench.vek.put(pki.subject_key_identifier(bytes(20)))
    verified(bench)


def with_tbs(bench: SnpLab, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The certificate with other elements in its signed part, signed again."""
    vek = bench.vek
    elements, rest = [], vek.spec.tbs()
    rest = rest[4:]  # the header: 30 82 and two octets of length
    while rest:
        size = der_size(rest)
        elements.append(rest[:size])
        rest = rest[size:]
    tbs = der.sequence(*change(elements))
    return der.sequence(tbs, vek.spec.algorithm, der.bit_string(vek.signer.sign_der(tbs)))


def der_size(data: bytes) -> int:
    if data[1] < 0x80:
        return 2 + data[1]
    count = data[1] & 0x7F
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


def times(*items: tuple[int, bytes]) -> Callable[[list[bytes]], list[bytes]]:
    validity = der.sequence(*(der.tlv(*item) for item in items))
    return lambda elements: [*elements[:4], validity, *elements[5:]]


FIRST, LAST = (0x17, b"260101000000Z"), (0x17, b"330101000000Z")


@pytest.mark.parametrize(
    ("item", "instant"),
    [
        (LAST, datetime(2033, 1, 1, tzinfo=UTC)),
        ((0x17, b"491231235959Z"), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ((0x17, b"500101000000Z"), datetime(1950, 1, 1, tzinfo=UTC)),
        ((0x18, b"20500102030405Z"), datetime(2050, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ((0x18, b"99991231235959Z"), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times(item: tuple[int, bytes], instant: datetime) -> None:
    assert read_vek(with_tbs(lab(), times(FIRST, item))).claims.not_after == instant


@pytest.mark.parametrize(
    "items",
    [
        (),
        (FIRST,),
        (FIRST, LAST, LAST),
        *(
            (FIRST, item)
            for item in (
                (0x17, b"3301010000Z"),
                (0x17, b"330101000000"),
                (0x17, b"330101000000+"),
                (0x17, b"330101000000+0000"),
                (0x17, b"33010100000 Z"),
                (0x17, b"3301010000 0Z"),
                (0x17, b"330132000000Z"),
                (0x17, b"330101240000Z"),
                (0x17, b"330101000060Z"),
                (0x17, b""),
                (0x18, b"20330101000000Z"),
                (0x18, b"20491231235959Z"),
                (0x18, b"20500101000000"),
                (0x18, b"20500101000000.5Z"),
                (0x18, b"500101000000Z"),
                (0x16, b"330101000000Z"),
                (0x16, b"20500101000000Z"),
                (0x17, b"3301010000001Z"),
                (0x18, b"205001010000001Z"),
                (0x02, b"\x01"),
            )
        ),
    ],
)
def test_no_times(items: tuple[tuple[int, bytes], ...]) -> None:
    data = with_tbs(lab(), times(*items))
    with pytest.raises(VerificationError) as caught:
        read_vek(data)
    assert caught.value.reason is Reason.CHAIN


def retagged(at: int, tag: int, elements: list[bytes]) -> list[bytes]:
    return [*elements[:at], bytes([tag]) + elements[at][1:], *elements[at + 1 :]]


STRUCTURES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "no version": lambda elements: elements[1:],
    "more behind": lambda elements: [*elements, der.explicit(1, b"")],
    "unique identifier": lambda elements: [*elements[:7], der.tlv(0x81, b"\0"), elements[7]],
    "an extension that is a SET": lambda elements: [
        *elements[:7],
        der.explicit(3, der.sequence(der.set_of())),
    ],
    **{
        f"element {at} by another tag": partial(retagged, at, tag)
        for at, tag in ((0, 0xA1), (1, 0x0A), (3, 0x31), (4, 0x31), (5, 0x31), (6, 0x31), (7, 0xA2))
    },
    "empty extensions": lambda elements: [*elements[:7], der.explicit(3, b"")],
    "issuer is no Name": lambda elements: [
        *elements[:3],
        der.sequence(b"\x31\x05\x30"),
        *elements[4:],
    ],
}


@pytest.mark.parametrize("change", STRUCTURES.values(), ids=STRUCTURES)
def test_another_structure(change: Callable[[list[bytes]], list[bytes]]) -> None:
    data = with_tbs(lab(), change)
    with pytest.raises(VerificationError) as caught:
        read_vek(data)
    assert caught.value.reason is Reason.CHAIN


def test_signed_by_a_stranger() -> None:
    bench = lab()
    bench.vek.signer = bench.stranger().line("Genoa").ask.key
    assert refusal(bench)[0] is Reason.CHAIN


def test_signed_by_an_authority_of_another_role() -> None:
    """The ASVK signs no VCEK, and the root signs none itself, whatever the certificate says of its issuer."""
    for other in ("asvk", "ark"):
        bench = lab()
        bench.vek.signer = getattr(bench.line, other).key
        assert refusal(bench)[0] is Reason.CHAIN
        bench.vek.alter(issuer=getattr(bench.line, other).spec.subject)
        assert refusal(bench)[0] is Reason.CHAIN


def test_another_issuer_of_the_same_key() -> None:
    bench = lab()
    bench.vek.alter(issuer=amd_certificates.name("SEV-Venice"))
    assert refusal(bench)[0] is Reason.CHAIN


def test_another_kind() -> None:
    bench = lab(kind="vlek")
    with pytest.raises(VerificationError) as caught:
        verify_vek(bench.vek.der, SigningKey.VCEK, hierarchy(bench.line))
    assert caught.value.reason is Reason.ENDORSEMENT_MISMATCH


def test_another_product_line() -> None:
    bench = lab("Milan")
    with pytest.raises(VerificationError) as caught:
        verify_vek(bench.vek.der, SigningKey.VCEK, hierarchy(bench.amd.line("Genoa")))
    assert caught.value.reason is Reason.ENDORSEMENT_MISMATCH


@pytest.mark.parametrize("name", ["Milan", "genoa", "Genoa2", "Turin", ""])
def test_product_names_of_other_lines(name: str) -> None:
    bench = lab()
    bench.vek.put(Extension(f"{ARC}2", der.ia5_string(name)))
    assert refusal(bench)[0] is Reason.ENDORSEMENT_MISMATCH


@pytest.mark.parametrize("name", ["Genoa", "Genoa-B1"])
def test_product_names(name: str) -> None:
    bench = lab()
    bench.vek.put(Extension(f"{ARC}2", der.ia5_string(name)))
    assert verified(bench).claims.product_name == name


def test_a_layout_of_another_line() -> None:
    """A certificate of Genoa's authority that is laid out as Turin's are."""
    bench = lab("Genoa")
    turin = lab("Turin")
    extensions = {each.oid: each for each in turin.vek.spec.extensions}
    extensions[f"{ARC}2"] = Extension(f"{ARC}2", der.ia5_string("Genoa"))
    bench.vek.alter(extensions=tuple(extensions.values()))
    assert refusal(bench)[0] is Reason.ENDORSEMENT_MISMATCH


def test_issuers_name_product_lines() -> None:
    for product in Product:
        for kind in ("vcek", "vlek"):
            assert read_vek(lab(product, kind).vek.der).issuer_product is product
    bench = lab()
    for name in ("SEV-Venice", "Genoa", "ARK-Genoa"):
        bench.vek.alter(issuer=amd_certificates.name(name))
        assert read_vek(bench.vek.der).issuer_product is None


def test_dates_are_not_looked_at() -> None:
    bench = lab()
    spec = bench.vek.spec
    bench.vek.spec = replace(spec, not_after=spec.not_before - timedelta(days=1))
    verified(bench)
