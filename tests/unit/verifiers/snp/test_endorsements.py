# SPDX-License-Identifier: Apache-2.0
"""AMD's collateral: bundles, addresses of the key distribution service, and what is asked, when, and not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simulator.pki import pem
from simulator.products import Tcb
from tests.cases.snp import vectors
from tests.snp_lab import SnpLab, anchors
from verifiers.anchors import builtin
from verifiers.endorsements import Fetch, Response, digest
from verifiers.errors import Reason, VerificationError
from verifiers.files import identify
from verifiers.snp.endorsements import (
    AMD_KDS,
    MAX_BUNDLE_BYTES,
    KdsSource,
    SnpEndorsements,
    gather,
    no_endorsements,
    parse_bundle,
)
from verifiers.snp.evidence import SnpEvidence, parse_evidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.endorsements import Gather

SOURCE = KdsSource()


def evidence(bench: SnpLab) -> SnpEvidence:
    return parse_evidence(bench.evidence())


def refusal(call: Callable[[], object]) -> Reason:
    with pytest.raises(VerificationError) as caught:
        call()
    return caught.value.reason


def asked(bench: SnpLab, source: KdsSource = SOURCE) -> tuple[Fetch, ...]:
    return next(gather(evidence(bench), source, bench.anchors()))


def answered(asking: Gather[SnpEndorsements], *answers: tuple[int, bytes]) -> SnpEndorsements:
    next(asking)
    with pytest.raises(StopIteration) as stop:
        asking.send(tuple(Response(status, body, {}) for status, body in answers))
    assert isinstance(stop.value.value, SnpEndorsements)
    return stop.value.value


# bundles


@pytest.mark.parametrize(
    "whole",
    [
        SnpEndorsements(),
        SnpEndorsements(vek=b"\x30v"),
        SnpEndorsements(crl=b"\x30c"),
        SnpEndorsements(b"\x30v", b"\x30c"),
    ],
)
def test_a_bundle_gives_the_same_again(whole: SnpEndorsements) -> None:
    parsed = evidence(SnpLab.create())
    bundle = whole.to_bundle()
    assert parse_bundle(parsed, json.dumps(bundle).encode()) == whole
    missing = {"vek", "crl"} - bundle.keys()
    assert set(whole.missing) == missing
    nulls = dict.fromkeys(missing)
    assert parse_bundle(parsed, json.dumps(bundle | nulls).encode()) == whole
    assert whole.sha256 == digest((whole.vek, whole.crl))


def test_the_digest_names_both_parts() -> None:
    names = {
        part.sha256
        for part in (
            SnpEndorsements(),
            SnpEndorsements(b"a"),
            SnpEndorsements(None, b"a"),
            SnpEndorsements(b"a", b"a"),
            SnpEndorsements(b"a", b"b"),
        )
    }
    assert len(names) == 5


def test_a_list_alone_is_a_bundle() -> None:
    bench = SnpLab.create()
    crl = bench.line.vcek_crl.der
    parsed = evidence(bench)
    for text in (crl, pem(crl, label="X509 CRL").encode()):
        assert parse_bundle(parsed, text) == SnpEndorsements(None, crl)
    bench.certificates = "der"
    assert parse_bundle(evidence(bench), crl) == SnpEndorsements(bench.vek.der, crl)


def test_what_came_with_the_evidence_goes_first() -> None:
    bench = SnpLab.create()
    bench.certificates = "table"
    parsed = evidence(bench)
    assert no_endorsements(parsed) == SnpEndorsements(bench.vek.der)
    assert parse_bundle(parsed, b'{"vek": "30"}') == SnpEndorsements(bench.vek.der)
    assert no_endorsements(evidence(SnpLab.create())) == SnpEndorsements()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"vek": "30"',
        b'{"vek": 1}',
        b'{"vek": ["30"]}',
        b'{"vek": "3"}',
        b'{"vek": "xx"}',
        b'{"ask": "30"}',
        b'{"vek": "30", "vek": "31"}',
        b'{"crl": "\\ud800"}',
    ],
)
def test_other_text(text: bytes) -> None:
    parsed = evidence(SnpLab.create())
    assert refusal(lambda: parse_bundle(parsed, text)) is Reason.COLLATERAL_MALFORMED


def test_the_largest_bundle() -> None:
    parsed = evidence(SnpLab.create())
    text = b"{}".ljust(MAX_BUNDLE_BYTES)
    assert parse_bundle(parsed, text) == SnpEndorsements()
    assert refusal(lambda: parse_bundle(parsed, text + b" ")) is Reason.TOO_LARGE


# addresses


def test_addresses_of_genoa() -> None:
    bench = SnpLab.create("Genoa", tcb=Tcb(bootloader=3, tee=0, snp=24, microcode=219))
    chip = bench.machine.chip_id.hex()
    assert len(chip) == 128
    assert asked(bench) == (
        Fetch(
            "vcek",
            f"https://kdsintf.amd.com/vcek/v1/Genoa/{chip}?blSPL=03&teeSPL=00&snpSPL=24&ucodeSPL=219",
            max_bytes=16 * 1024,
            hardware_id=chip,
        ),
        Fetch("crl", "https://kdsintf.amd.com/vcek/v1/Genoa/crl"),
    )


@pytest.mark.parametrize("product", ["Genoa", "Turin"])
def test_an_address_is_shown_without_the_chip(product: str) -> None:
    bench = SnpLab.create(product)
    vcek, crl = asked(bench)
    chip = bench.machine.hwid.hex()
    assert chip in vcek.url
    assert vcek.shown == vcek.url.replace(chip, "…")
    assert crl.shown == crl.url


def test_addresses_of_turin() -> None:
    bench = SnpLab.create("Turin", tcb=Tcb(bootloader=1, tee=2, snp=3, microcode=81, fmc=4))
    chip = bench.machine.chip_id[:8].hex()
    vcek, crl = asked(bench, KdsSource("https://kds.example/amd"))
    assert vcek.url == (
        f"https://kds.example/amd/vcek/v1/Turin/{chip}"
        "?fmcSPL=04&blSPL=01&teeSPL=02&snpSPL=03&ucodeSPL=81"
    )
    assert crl.url == "https://kds.example/amd/vcek/v1/Turin/crl"


def test_the_reported_tcb_is_asked_for() -> None:
    """Not the current one: only of the reported one there is a key."""
    bench = SnpLab.create("Milan", tcb=Tcb(bootloader=4, tee=0, snp=24, microcode=219))
    bench.report(reported_tcb=Tcb(bootloader=3, tee=0, snp=9, microcode=9))
    assert asked(bench)[0].url.endswith("?blSPL=03&teeSPL=00&snpSPL=09&ucodeSPL=09")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        (
            "milan-v3-azure-aci",
            "/vcek/v1/Milan/{}?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219",
        ),
        (
            "genoa-v5-siena-bergamo-model-a0",
            "/vcek/v1/Genoa/{}?blSPL=10&teeSPL=00&snpSPL=27&ucodeSPL=27",
        ),
        (
            "turin-v5-azure-aci",
            "/vcek/v1/Turin/{}?fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81",
        ),
    ],
)
def test_addresses_of_real_reports(name: str, url: str) -> None:
    vector = vectors.load(name)
    (piece,) = identify([vector.report]).evidence
    fetches = next(gather(parse_evidence([piece]), SOURCE, builtin()))
    assert fetches[0].url == AMD_KDS + url.format(vector.expected["vek"]["hwid"])


# what is asked, and what becomes of the answers


def test_a_vcek_is_fetched_with_the_list() -> None:
    bench = SnpLab.create()
    vek, crl = bench.vek.der, bench.line.vcek_crl.der
    asking = gather(evidence(bench), SOURCE, bench.anchors())
    assert answered(asking, (200, vek), (200, crl)) == SnpEndorsements(vek, crl)


@pytest.mark.parametrize("kind", ["vcek", "vlek"])
@pytest.mark.parametrize("version", [2, 3, 5])
@pytest.mark.parametrize("form", ["table", "pem", "der"])
def test_a_certificate_that_came_along_is_not_fetched(kind: str, version: int, form: str) -> None:
    bench = SnpLab.create("Milan")
    bench.report(signing_key=kind, version=version)
    bench.certificates = form
    crl = Fetch("crl", f"https://kdsintf.amd.com/{kind}/v1/Milan/crl")
    assert asked(bench) == (crl,)
    asking = gather(evidence(bench), SOURCE, bench.anchors())
    assert answered(asking, (200, b"crl")) == SnpEndorsements(bench.vek.der, b"crl")


@pytest.mark.parametrize("status", [404, 410])
def test_a_chip_that_amd_does_not_know(status: int) -> None:
    bench = SnpLab.create()
    asking = gather(evidence(bench), SOURCE, bench.anchors())
    reason = refusal(lambda: answered(asking, (status, b""), (200, b"")))
    assert reason is Reason.PLATFORM_UNKNOWN


@pytest.mark.parametrize("answers", [((204, b""), (200, b"")), ((200, b""), (404, b""))])
def test_other_answers(answers: tuple[tuple[int, bytes], ...]) -> None:
    bench = SnpLab.create()
    asking = gather(evidence(bench), SOURCE, bench.anchors())
    assert refusal(lambda: answered(asking, *answers)) is Reason.INCOMPLETE


def test_no_list_for_a_certificate_that_came_along() -> None:
    bench = SnpLab.create()
    bench.certificates = "der"
    asking = gather(evidence(bench), SOURCE, bench.anchors())
    assert refusal(lambda: answered(asking, (404, b""))) is Reason.INCOMPLETE


def test_a_vlek_is_never_fetched() -> None:
    bench = SnpLab.create()
    bench.report(signing_key="vlek")
    assert refusal(lambda: asked(bench)) is Reason.INCOMPLETE


def test_version_2_does_not_name_its_product() -> None:
    bench = SnpLab.create("Milan")
    bench.report(version=2)
    with pytest.raises(VerificationError, match="send the VCEK with it") as caught:
        asked(bench)
    assert caught.value.reason is Reason.INCOMPLETE


def test_a_hidden_chip() -> None:
    bench = SnpLab.create()
    bench.report(chip_id=bytes(64))
    assert refusal(lambda: asked(bench)) is Reason.ENDORSEMENT_MISMATCH


def test_a_chip_id_that_turin_does_not_have() -> None:
    bench = SnpLab.create("Turin")
    bench.report(chip_id=bench.machine.chip_id[:8] + bytes(55) + b"\1")
    assert refusal(lambda: asked(bench)) is Reason.ENDORSEMENT_MISMATCH


def test_a_tcb_that_the_product_does_not_have() -> None:
    bench = SnpLab.create("Genoa")
    bench.report(reported_tcb=b"\1\0\1\0\0\0\1\1")
    assert refusal(lambda: asked(bench)) is Reason.MALFORMED


def test_an_unknown_product() -> None:
    bench = SnpLab.create("Turin", cpu=(0x1A, 0x50, 0))
    assert refusal(lambda: asked(bench)) is Reason.PRODUCT_UNKNOWN


def test_a_product_that_is_not_pinned() -> None:
    bench = SnpLab.create("Turin")
    bench.pinned = ("Milan", "Genoa")
    assert refusal(lambda: asked(bench)) is Reason.UNTRUSTED_ROOT


@pytest.mark.parametrize("form", ["table", "der"])
@pytest.mark.parametrize("version", [2, 5])
def test_evidence_of_strangers_causes_no_request(form: str, version: int) -> None:
    bench = SnpLab.create("Milan")
    bench.report(version=version)
    bench.certificates = form
    pinned = anchors(bench.stranger(), "Milan")
    asking = gather(evidence(bench), SOURCE, pinned)
    assert refusal(lambda: next(asking)) is Reason.CHAIN


def test_a_forged_report_with_its_certificate_causes_no_request() -> None:
    bench = SnpLab.create()
    bench.certificates = "der"
    bench.flip(0x90)
    assert refusal(lambda: asked(bench)) is Reason.SIGNATURE


def test_authorities_of_strangers_cause_no_request() -> None:
    bench = SnpLab.create()
    other = bench.stranger().line("Genoa")
    bench.certificates = pem(bench.vek.der, bench.line.ask.der, other.ark.der).encode()
    assert refusal(lambda: asked(bench)) is Reason.UNTRUSTED_ROOT


def test_authorities_may_come_without_the_leaf() -> None:
    bench = SnpLab.create()
    bench.certificates = pem(bench.line.ask.der, bench.line.ark.der).encode()
    assert [fetch.part for fetch in asked(bench)] == ["vcek", "crl"]
    bench.certificates = pem(bench.line.asvk.der).encode()
    assert refusal(lambda: asked(bench)) is Reason.CHAIN


def test_a_certificate_that_cannot_be_read_names_no_product() -> None:
    bench = SnpLab.create("Milan")
    bench.report(version=2)
    parsed = replace(evidence(bench), vek=b"\x30")
    assert refusal(lambda: next(gather(parsed, SOURCE, bench.anchors()))) is Reason.CHAIN
