# SPDX-License-Identifier: Apache-2.0
"""Lines 20, 32 and 56 of the SEV-SNP list, what is the verifier's: which addresses are asked, and when none is.

An address names chip, product line and every part of the TCB, for what is fetched is kept under it; all of it comes
from fields whose form was checked, below a base that comes from configuration.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simulator import der
from simulator.amd_keys import P384Key
from simulator.pki import CRL_NUMBER, pem
from tests.cases.snp import case
from tests.snp_lab import SnpLab, flipped, genuine
from verifiers import registry
from verifiers.endorsements import Response
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.registry import Sources
from verifiers.snp.endorsements import KdsSource, SnpEndorsements

if TYPE_CHECKING:
    from verifiers.endorsements import Fetch

OK, GONE = 200, 404
HOST = "https://kdsintf.amd.com"
SHAPE = re.compile(
    rf"{re.escape(HOST)}/(vcek|vlek)/v1/(Milan|Genoa|Turin)/"
    r"(crl|[0-9a-f]{128}\?|[0-9a-f]{16}\?fmcSPL=\d{2,3}&)"
    r"(blSPL=\d{2,3}&teeSPL=\d{2,3}&snpSPL=\d{2,3}&ucodeSPL=\d{2,3})?"
)


def asked(lab: SnpLab, sources: Sources | None = None) -> tuple[Fetch, ...]:
    """What `gather` asks for in its one round."""
    exhibit = lab.exhibit()
    parsed = registry.parse(exhibit.pieces)
    return next(registry.gather(parsed, sources or Sources(), exhibit.anchors))


def urls(lab: SnpLab) -> dict[str, str]:
    return {fetch.part: fetch.url for fetch in asked(lab)}


def refusal(lab: SnpLab, *statuses: int) -> Reason:
    """Why nothing is asked for; with statuses, why these answers are refused."""
    exhibit = lab.exhibit()
    asking = registry.gather(registry.parse(exhibit.pieces), Sources(), exhibit.anchors)
    if statuses:
        next(asking)
    answers = tuple(Response(status, b"", {}) for status in statuses) or None
    with pytest.raises(VerificationError) as caught:
        asking.send(answers)  # type: ignore[arg-type]  # None starts a generator
    return caught.value.reason


@pytest.mark.parametrize(
    ("product", "query"),
    [
        ("Milan", "blSPL=04&teeSPL=00&snpSPL=29&ucodeSPL=222"),
        ("Genoa", "blSPL=10&teeSPL=00&snpSPL=27&ucodeSPL=88"),
        ("Turin", "fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81"),
    ],
)
def test_the_addresses(product: str, query: str) -> None:
    lab = SnpLab.create(product)
    hwid = lab.machine.hwid.hex()
    assert urls(lab) == {
        "vcek": f"{HOST}/vcek/v1/{product}/{hwid}?{query}",
        "crl": f"{HOST}/vcek/v1/{product}/crl",
    }


@pytest.mark.parametrize("product", ["Genoa", "Turin"])
def test_every_part_of_the_tcb_makes_another_address(product: str) -> None:
    lab = SnpLab.create(product)
    right = lab.machine.tcb
    parts = ["bootloader", "tee", "snp", "microcode", *(["fmc"] if product == "Turin" else [])]
    found = {urls(lab)["vcek"]}
    for part in parts:
        higher = replace(right, **{part: getattr(right, part) + 1})
        lab.report(reported_tcb=higher, committed_tcb=higher, current_tcb=higher)
        found.add(urls(lab)["vcek"])
    assert len(found) == 1 + len(parts)


def test_product_line_and_chip_make_another_address() -> None:
    chip_id = bytes(range(64))
    labs = [SnpLab.create(product, chip_id=chip_id) for product in ("Milan", "Genoa")]
    labs.append(SnpLab.create("Genoa", chip_id=chip_id[::-1]))
    assert len({urls(lab)["vcek"].partition("?")[0] for lab in labs}) == 3


def test_no_bits_of_a_report_make_another_form_of_address() -> None:
    """Whatever chip id and TCB a report says, the address has the one form."""
    for product in ("Milan", "Genoa", "Turin"):
        lab = SnpLab.create(product)
        size = lab.machine.product.hwid_size
        for fill in (b"\xff", b"/", b"%", b"?", b"\n", b"."):
            full = bytes(0xFF if part else 0 for part in lab.machine.product.tcb_bytes)
            lab.report(chip_id=(fill * size).ljust(64, b"\0"), reported_tcb=full)
            for url in urls(lab).values():
                assert SHAPE.fullmatch(url), url


def test_the_base_is_the_configured_one() -> None:
    source = Sources(amd=KdsSource("http://127.0.0.1:8080/mirror"))
    for fetch in asked(SnpLab.create(), source):
        assert fetch.url.startswith("http://127.0.0.1:8080/mirror/vcek/v1/Genoa/")


def test_a_certificate_that_came_along_is_not_asked_for() -> None:
    for certificates in ("table", "pem", "der"):
        lab = SnpLab.create()
        lab.certificates = certificates
        assert set(urls(lab)) == {"crl"}
    lab = SnpLab.create()
    lab.report(signing_key="vlek")
    lab.certificates = "table"
    assert urls(lab) == {"crl": f"{HOST}/vlek/v1/Genoa/crl"}


def forged_signature(lab: SnpLab) -> None:
    lab.certificates = "table"
    lab.report(signer=P384Key.derive(b"KDS", "stranger"))


def of_another_chip(lab: SnpLab) -> None:
    other = lab.amd.machine(lab.machine.product.name)
    lab.certificates = other.vek().der


def of_another_kind(lab: SnpLab) -> None:
    """A VLEK with its whole chain beside a report of a VCEK: the kind is what is wrong."""
    line = lab.line
    leaf = lab.machine.vek("vlek")
    lab.certificates = pem(leaf.der, line.asvk.der, line.ark.der).encode()


def by_a_stranger(lab: SnpLab) -> None:
    lab.certificates = "der"
    lab.vek.signer = lab.stranger().line("Genoa").ask.key


def with_a_strangers_root(lab: SnpLab) -> None:
    lab.certificates = lab.stranger().line("Genoa").ark.der


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (forged_signature, Reason.SIGNATURE),
        (of_another_chip, Reason.ENDORSEMENT_MISMATCH),
        (of_another_kind, Reason.ENDORSEMENT_MISMATCH),
        (by_a_stranger, Reason.CHAIN),
        (with_a_strangers_root, Reason.UNTRUSTED_ROOT),
        (case.reported(chip_id=bytes(64)), Reason.ENDORSEMENT_MISMATCH),
        (case.vlek, Reason.INCOMPLETE),
        (case.reported(version=2), Reason.INCOMPLETE),
        (case.reported(cpuid_family=0x1B), Reason.PRODUCT_UNKNOWN),
        (lambda lab: setattr(lab, "pinned", ("Milan",)), Reason.UNTRUSTED_ROOT),
    ],
)
def test_evidence_that_is_lost_causes_no_request(alter: case.Alteration, reason: Reason) -> None:
    lab = SnpLab.create()
    alter(lab)
    assert refusal(lab) is reason


def test_a_turin_chip_id_with_a_tail_causes_no_request() -> None:
    lab = SnpLab.create("Turin")
    lab.report(chip_id=lab.machine.hwid + bytes(55) + b"\1")
    assert refusal(lab) is Reason.ENDORSEMENT_MISMATCH


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ((GONE, OK), Reason.PLATFORM_UNKNOWN),
        ((410, OK), Reason.PLATFORM_UNKNOWN),
        ((OK, GONE), Reason.INCOMPLETE),
        ((429, OK), Reason.INCOMPLETE),
        ((OK, 500), Reason.INCOMPLETE),
    ],
)
def test_answers_that_are_none(statuses: tuple[int, int], reason: Reason) -> None:
    assert refusal(SnpLab.create(), *statuses) is reason


def test_a_real_report_that_was_changed_causes_no_request() -> None:
    vector = genuine(case.PLAIN)
    (report,) = vector.pieces
    certificate = registry.parse_bundle(registry.parse(vector.pieces), vector.bundle or b"")
    assert isinstance(certificate, SnpEndorsements)
    assert certificate.vek is not None
    pieces = (
        replace(report, data=flipped(report.data, 0x90)),
        Evidence(EvidenceKind.SNP_CERTIFICATES, certificate.vek),
    )
    with pytest.raises(VerificationError, match="not signed"):
        next(registry.gather(registry.parse(pieces), Sources(), vector.anchors))


def numbers(lab: SnpLab) -> dict[str, int]:
    exhibit = lab.exhibit()
    parsed = registry.parse(exhibit.pieces)
    endorsements = registry.parse_bundle(parsed, exhibit.bundle or b"")
    return registry.evaluations(parsed, endorsements, Sources(), exhibit.anchors)


@pytest.mark.parametrize("number", [0, 1, 7, 1 << 70])
def test_the_number_of_a_list_is_known(number: int) -> None:
    """By line of lists: a number that goes back is refused where the highest is kept."""
    lab = SnpLab.create()
    extensions = lab.line.vcek_crl.spec.extensions
    (number_of,) = (e for e in extensions if e.oid == CRL_NUMBER)
    lab.line.vcek_crl.put(replace(number_of, value=der.integer(number)))
    assert numbers(lab) == {"snp/crl/Genoa/vcek": number}


def test_each_list_has_its_own_number() -> None:
    lab = SnpLab.create()
    lab.report(signing_key="vlek")
    assert numbers(lab) == {"snp/crl/Genoa/vlek": 1}
    lab.edit(crl=None)
    assert numbers(lab) == {}


def test_the_number_of_a_forged_list_is_not_believed() -> None:
    lab = SnpLab.create()
    lab.line.vcek_crl.signer = lab.line.ask.key
    with pytest.raises(VerificationError, match="crl-invalid"):
        numbers(lab)
