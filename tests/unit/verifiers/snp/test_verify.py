# SPDX-License-Identifier: Apache-2.0
"""`verify`: what it claims of a whole fake platform, and every reason it refuses for, one change at a time."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from simulator import amd_certificates
from simulator.amd_keys import P384_ORDER, P384Key, components, malleate
from simulator.pki import pem
from simulator.products import Tcb
from tests.snp_lab import BINDING, NOW, SnpLab, anchors
from verifiers.endorsements import PartValidity, Revocation
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.evidence import Product, Provider
from verifiers.snp.claims import CpuModel, GuestPolicyBit, PlatformBit, SigningKey
from verifiers.snp.endorsements import SnpEndorsements
from verifiers.tcb import NOT_RATED

if TYPE_CHECKING:
    from collections.abc import Callable

PRODUCTS = ("Milan", "Genoa", "Turin")


def refused(bench: SnpLab) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        bench.exhibit().verify()
    return caught.value


def reason(bench: SnpLab) -> Reason:
    return refused(bench).reason


# what is claimed


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("version", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["vcek", "vlek"])
def test_each_product_version_and_kind(product: str, version: int, kind: str) -> None:
    bench = SnpLab.create(product)
    bench.report(version=version, signing_key=kind)
    claims = bench.exhibit().verify()
    assert claims.product == product
    assert claims.provider is Provider.DIRECT
    assert claims.cpu == (None if version == 2 else CpuModel(*bench.machine.cpu))
    assert claims.report.version == version
    assert claims.report.report_data == BINDING.report_data
    assert claims.vek.kind is SigningKey(kind)
    assert (claims.vek.csp_id, claims.vek.hwid) == (
        (None, bench.machine.hwid) if kind == "vcek" else (bench.machine.csp_id, None)
    )
    assert claims.report.chip_id == (bench.machine.chip_id if kind == "vcek" else bytes(64))
    assert claims.revocation is Revocation.GOOD
    assert claims.bound
    assert (claims.hcl, claims.tpm) == (None, None)
    assert claims.tcb_status == NOT_RATED


def test_the_whole_of_a_claim() -> None:
    bench = SnpLab.create("Genoa")
    old, new = Tcb(3, 0, 9, 80), Tcb(4, 0, 10, 84)
    bench.report(reported_tcb=old, launch_tcb=old, committed_tcb=old, current_tcb=new)
    bench.report(policy=0x30000 | 1 << 19 | 1 << 24, platform_info=0b1100101)
    claims = bench.exhibit().verify()
    line = bench.line
    assert claims.guest_policy == {
        GuestPolicyBit.SMT,
        GuestPolicyBit.DEBUG,
        GuestPolicyBit.CIPHERTEXT_HIDING,
    }
    assert claims.platform == {
        PlatformBit.SMT,
        PlatformBit.ECC,
        PlatformBit.ALIAS_CHECK_COMPLETE,
        PlatformBit.BIT_6,
    }
    encode = bench.machine.product.encode
    raw = [tcb.raw for tcb in (claims.reported_tcb, claims.committed_tcb, claims.launch_tcb)]
    assert raw == [encode(old)] * 3
    assert claims.current_tcb.raw == encode(new)
    assert claims.vek.tcb == claims.reported_tcb
    crl = line.vcek_crl.spec
    assert crl.next_update is not None
    assert claims.collateral == (PartValidity("crl", crl.this_update, crl.next_update, None),)
    assert claims.expired_parts == ()
    vek = bench.vek.spec
    assert claims.certificates_expire == vek.not_after
    assert claims.expires == crl.next_update
    assert claims.verified_at == NOW
    assert claims.evidence_sha256 == sha256(bench.report_bytes()).digest()
    assert claims.collateral_sha256 == SnpEndorsements(bench.vek.der, line.vcek_crl.der).sha256


@pytest.mark.parametrize("bit", range(16, 26))
def test_bits_of_the_guest_policy(bit: int) -> None:
    named = {
        16: "smt",
        18: "migrate-ma",
        19: "debug",
        20: "single-socket",
        21: "cxl",
        22: "mem-aes-256-xts",
        23: "rapl-dis",
        24: "ciphertext-hiding",
        25: "page-swap-disable",
    }
    bench = SnpLab.create()
    bench.report(policy=1 << 17 | 1 << bit)
    expected = {name for number, name in named.items() if number == bit}
    assert bench.exhibit().verify().guest_policy == expected


@pytest.mark.parametrize("bit", range(64))
def test_bits_of_the_platform(bit: int) -> None:
    """The first eight have names; no other is refused."""
    named = (
        "smt",
        "tsme",
        "ecc",
        "rapl-dis",
        "ciphertext-hiding",
        "alias-check-complete",
        "bit-6",
        "tio",
    )
    bench = SnpLab.create()
    bench.report(platform_info=1 << bit)
    claims = bench.exhibit().verify()
    assert claims.platform == set(named[bit : bit + 1])
    assert claims.report.platform_info == 1 << bit


def test_the_earliest_end() -> None:
    bench = SnpLab.create()
    soon = NOW + timedelta(days=1)
    for certificate in (bench.line.ark, bench.line.ask, bench.vek):
        spec = certificate.spec
        certificate.alter(not_after=soon)
        assert bench.exhibit().verify().certificates_expire == soon
        assert bench.exhibit().verify().expires == soon
        certificate.spec = spec


def test_without_a_list_the_claims_say_so() -> None:
    bench = SnpLab.create()
    bench.edit(crl=None)
    claims = bench.exhibit().verify()
    assert claims.revocation is Revocation.NOT_CHECKED
    assert claims.collateral == ()
    assert claims.expires == claims.certificates_expire


def test_a_list_past_its_date_is_a_fact_for_the_policy() -> None:
    bench = SnpLab.create()
    end = bench.line.vcek_crl.spec.next_update
    assert end is not None
    bench.at = end
    assert bench.exhibit().verify().expired_parts == ()
    bench.later(seconds=1)
    claims = bench.exhibit().verify()
    assert [part.expired_since for part in claims.expired_parts] == [end]
    assert claims.expires == end


@pytest.mark.parametrize("form", ["table", "pem", "der"])
@pytest.mark.parametrize("kind", ["vcek", "vlek"])
def test_the_certificate_may_come_with_the_evidence(form: str, kind: str) -> None:
    bench = SnpLab.create()
    bench.report(signing_key=kind)
    bench.certificates = form
    bench.offline = False
    claims = bench.exhibit().verify()
    assert claims.revocation is Revocation.NOT_CHECKED
    assert claims.collateral_sha256 == SnpEndorsements(bench.vek.der).sha256


def test_without_a_binding() -> None:
    bench = SnpLab.create()
    bench.binding = None
    assert not bench.exhibit().verify().bound


def test_the_twin_of_a_signature() -> None:
    bench = SnpLab.create()
    bench.report(signature=malleate)
    assert bench.exhibit().outcome() is Verdict.VERIFIED


@pytest.mark.parametrize("first", [0x02, 0x04, 0x30])
def test_hardware_ids_that_look_like_der(first: int) -> None:
    chip = bytes([first, 62]) + bytes(range(62))
    assert SnpLab.create(chip_id=chip).exhibit().outcome() is Verdict.VERIFIED


# the product line and its authorities


def test_an_unknown_cpu() -> None:
    assert reason(SnpLab.create("Turin", cpu=(0x1A, 0x50, 0))) is Reason.PRODUCT_UNKNOWN


@pytest.mark.parametrize("version", [2, 5])
def test_a_product_that_is_not_pinned(version: int) -> None:
    bench = SnpLab.create("Turin")
    bench.report(version=version)
    bench.pinned = ("Milan", "Genoa")
    assert reason(bench) is Reason.UNTRUSTED_ROOT


def test_version_2_by_an_issuer_of_no_known_product() -> None:
    bench = SnpLab.create("Milan")
    bench.report(version=2)
    bench.vek.alter(issuer=amd_certificates.name("SEV-Venice"))
    assert reason(bench) is Reason.PRODUCT_UNKNOWN


@pytest.mark.parametrize("version", [2, 5])
def test_no_certificate(version: int) -> None:
    bench = SnpLab.create()
    bench.report(version=version)
    bench.edit(vek=None)
    error = refused(bench)
    assert (error.reason, error.authentic) == (Reason.INCOMPLETE, False)


@pytest.mark.parametrize("version", [2, 3, 5])
def test_authorities_of_strangers(version: int) -> None:
    bench = SnpLab.create("Milan")
    bench.report(version=version)
    exhibit = bench.exhibit()
    pinned = anchors(bench.stranger(), "Milan")
    with pytest.raises(VerificationError) as caught:
        type(exhibit)(exhibit.pieces, exhibit.bundle, pinned, exhibit.at, exhibit.binding).verify()
    assert caught.value.reason is Reason.CHAIN


def test_authorities_that_come_along_must_be_the_pinned_ones() -> None:
    bench = SnpLab.create()
    other = bench.stranger().line("Genoa")
    leaf, ask, ark = bench.vek.der, bench.line.ask.der, bench.line.ark.der
    for others, expected in (
        ((ask, ark), Verdict.VERIFIED),
        ((other.ask.der, ark), Reason.CHAIN),
        ((ask, other.ark.der), Reason.UNTRUSTED_ROOT),
        ((bench.line.asvk.der, ark), Reason.CHAIN),
    ):
        bench.certificates = pem(leaf, *others).encode()
        assert bench.exhibit().outcome() is expected


def test_an_old_ask_that_comes_along() -> None:
    """Refused as revoked if an authentic list names it, else as a stranger."""
    bench = SnpLab.create()
    old = SnpLab.create().line.ask
    old.alter(serial=7, spki=bench.line.asvk.key.spki)
    bench.certificates = pem(bench.vek.der, old.der, bench.line.ark.der).encode()
    assert reason(bench) is Reason.CHAIN
    bench.line.vcek_crl.revoke(7)
    assert reason(bench) is Reason.CERTIFICATE_REVOKED
    bench.edit(crl=b"no list")
    assert reason(bench) is Reason.CHAIN
    bench.edit(crl=None)
    assert reason(bench) is Reason.CHAIN


# the certificate, the chip, the TCB, the signature


def kind_of_another(bench: SnpLab) -> None:
    bench.edit(vek=bench.machine.vek("vlek").der)


def product_of_another(bench: SnpLab) -> None:
    other = bench.amd.machine("Milan", tcb=bench.machine.tcb)
    bench.pinned = ("Genoa", "Milan")
    bench.edit(vek=other.vek().der)


def chip_of_another(bench: SnpLab) -> None:
    bench.edit(vek=bench.amd.machine("Genoa").vek().der)


def tcb_of_another(bench: SnpLab) -> None:
    level = bench.machine.tcb
    bench.edit(
        vek=bench.machine.vek("vcek", Tcb(level.bootloader, level.tee, level.snp - 1, 9)).der
    )


def hidden_chip(bench: SnpLab) -> None:
    bench.report(chip_id=bytes(64))


MISMATCHES = (
    kind_of_another,
    product_of_another,
    chip_of_another,
    tcb_of_another,
    hidden_chip,
)


@pytest.mark.parametrize("spoil", MISMATCHES, ids=lambda spoil: spoil.__name__)
def test_a_certificate_of_another(spoil: Callable[[SnpLab], None]) -> None:
    bench = SnpLab.create("Genoa")
    spoil(bench)
    error = refused(bench)
    assert (error.reason, error.authentic) == (Reason.ENDORSEMENT_MISMATCH, False)


@pytest.mark.parametrize("part", ["bootloader", "tee", "snp", "microcode", "fmc"])
def test_every_component_is_compared(part: str) -> None:
    bench = SnpLab.create("Turin", tcb=Tcb(5, 5, 5, 5, 5))
    other = Tcb(**{**dict.fromkeys(("bootloader", "tee", "snp", "microcode", "fmc"), 5), part: 4})
    bench.edit(vek=bench.machine.vek("vcek", other).der)
    assert reason(bench) is Reason.ENDORSEMENT_MISMATCH


@pytest.mark.parametrize("at", [8, 63])
def test_a_chip_id_of_turin_ends_in_zeros(at: int) -> None:
    bench = SnpLab.create("Turin")
    chip = bytearray(bench.machine.chip_id)
    chip[at] = 1
    bench.report(chip_id=bytes(chip))
    assert reason(bench) is Reason.ENDORSEMENT_MISMATCH


@pytest.mark.parametrize("field", ["reported_tcb", "committed_tcb", "current_tcb", "launch_tcb"])
@pytest.mark.parametrize("product", PRODUCTS)
def test_reserved_bytes_of_a_tcb(field: str, product: str) -> None:
    bench = SnpLab.create(product)
    raw = bytearray(bench.machine.product.encode(bench.machine.tcb))
    raw[5] = 1
    key = bench.machine.vek().key
    bench.report(signer=key)
    bench.report(**{field: bytes(raw)})
    bench.edit(vek=bench.machine.vek().der)
    assert reason(bench) is Reason.MALFORMED


def test_a_certificate_that_cannot_be_read() -> None:
    bench = SnpLab.create()
    bench.edit(vek=b"\x30")
    assert reason(bench) is Reason.CHAIN


SIGNATURES: dict[str, dict[str, Any]] = {
    "another key": {"signer": P384Key.derive(b"test_verify", "stranger")},
    "r is zero": {"signature": lambda right: bytes(72) + right[72:]},
    "s is zero": {"signature": lambda right: right[:72] + bytes(72)},
    "r is n": {"signature": lambda right: components(P384_ORDER, 1)[:72] + right[72:]},
    "s is n": {"signature": lambda right: right[:72] + components(1, P384_ORDER)[72:]},
    "s is the largest": {"signature": lambda right: right[:72] + b"\xff" * 48 + bytes(24)},
}


@pytest.mark.parametrize("sealing", SIGNATURES.values(), ids=SIGNATURES)
def test_signatures(sealing: dict[str, Any]) -> None:
    bench = SnpLab.create()
    bench.report(**sealing)
    error = refused(bench)
    assert (error.reason, error.authentic) == (Reason.SIGNATURE, False)


@pytest.mark.parametrize("at", [0x4, 0x10, 0x50, 0x90, 0xC0, 0xE0, 0x110, 0x140, 0x160, 0x1E8])
def test_what_is_signed(at: int) -> None:
    bench = SnpLab.create()
    bench.flip(at)
    assert reason(bench) is Reason.SIGNATURE


# dates


@pytest.mark.parametrize("which", ["vek", "ask", "ark"])
def test_dates_of_certificates(which: str) -> None:
    bench = SnpLab.create()
    certificate = bench.vek if which == "vek" else getattr(bench.line, which)
    bench.edit(crl=None)
    for change, instant, expected in (
        ({"not_before": NOW}, NOW, Verdict.VERIFIED),
        ({"not_before": NOW}, NOW - timedelta(seconds=1), Reason.CERTIFICATE_NOT_YET_VALID),
        ({"not_after": NOW}, NOW, Verdict.VERIFIED),
        ({"not_after": NOW}, NOW + timedelta(seconds=1), Reason.CERTIFICATE_EXPIRED),
    ):
        spec = certificate.spec
        certificate.alter(**change)
        bench.at = instant
        assert bench.exhibit().outcome() is expected
        certificate.spec = spec


def test_products_are_those_of_the_vocabulary() -> None:
    assert {SnpLab.create(name).exhibit().verify().product for name in PRODUCTS} == set(Product)
