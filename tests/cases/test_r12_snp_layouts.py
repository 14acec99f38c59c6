# SPDX-License-Identifier: Apache-2.0
"""R-12, for SEV-SNP: unknown versions, CPUs and TCB layouts are refused, never guessed; a zero chip id is no chip."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.appraise import appraise
from policies.result import Decision
from policies.rules import RuleId
from simulator import der
from simulator.amd_certificates import STRUCT_VERSION
from simulator.pki import Extension
from tests.snp_lab import SnpLab, flipped
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import faults, snp_policy, snp_text
from tests.unit.policies.snp_claims import REPORT, VLEK, with_report
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Product
from verifiers.snp.claims import CpuModel, SigningKey
from verifiers.snp.report import parse_report, product_of

ZERO = bytes(64)


def put(report: bytes, at: int, value: int) -> bytes:
    return report[:at] + value.to_bytes(2, "little") + report[at + 2 :]


def refused(report: bytes) -> bool:
    try:
        parse_report(report)
    except VerificationError as error:
        return error.reason is Reason.UNSUPPORTED_FORMAT
    return False


@pytest.mark.parametrize(("at", "known"), [(0, {2, 3, 4, 5}), (0x34, {1})])
def test_every_other_number(at: int, known: set[int]) -> None:
    """Version and signature algorithm. Of known versions some have other reserved bytes, which is another reason."""
    report = SnpLab.create().report_bytes()
    assert {n for n in range(1 << 11) if not refused(put(report, at, n))} == known
    assert refused(put(report, at, 0xFFFF))
    assert refused(flipped(report, at + 3, 0x80))


def line_of(family: int, model: int) -> Product | None:
    """None where it is refused as unknown."""
    try:
        return product_of(CpuModel(family, model, 0))
    except VerificationError as error:
        if error.reason is Reason.PRODUCT_UNKNOWN:
            return None
        raise


def test_every_cpu_of_every_family() -> None:
    known = {
        (0x19, Product.MILAN): range(0x10),
        (0x19, Product.GENOA): (*range(0x10, 0x20), *range(0xA0, 0xB0)),
        (0x1A, Product.TURIN): range(0x12),
    }
    expected = {
        (family, model): line for (family, line), models in known.items() for model in models
    }
    found = {
        (family, model): line_of(family, model) for family in range(256) for model in range(256)
    }
    assert {key: line for key, line in found.items() if line} == expected


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
@pytest.mark.parametrize("number", range(6))
def test_layouts_of_certificates(product: str, number: int) -> None:
    """Another structVersion than the product line's is refused, known or not."""
    lab = SnpLab.create(product)
    lab.vek.put(Extension(STRUCT_VERSION, der.integer(number)))
    right = 1 if product == "Turin" else 0
    assert (lab.exhibit().outcome() is Reason.CHAIN) is (number != right)


def test_a_zero_chip_id_cannot_be_listed() -> None:
    assert faults(snp_text({"chips": [ZERO.hex()]})) == {
        "snp.chips[0]": "an all-zero id names no hardware"
    }


def test_a_zero_chip_id_matches_no_list_even_one_that_holds_it() -> None:
    loaded = snp_policy({"chips": ["01" * 64]})
    assert loaded.document.snp is not None
    rules = loaded.document.snp.model_copy(update={"chips": frozenset({ZERO, b"\x01" * 64})})
    forced = replace(loaded, document=loaded.document.model_copy(update={"snp": rules}))
    assert appraise(with_report(chip_id=b"\x01" * 64), forced, NOW).decision is Decision.ACCEPTED
    denying = appraise(with_report(chip_id=ZERO), forced, NOW).denying
    assert [one.rule for one in denying] == [RuleId.CHIP_LIST]


def test_a_listed_id_under_a_vlek_is_no_chips_word() -> None:
    """With a VLEK nothing ties CHIP_ID to the key."""
    policy = snp_policy({"chips": [REPORT.chip_id.hex()], "vlek": {"csp_ids": [VLEK.csp_id]}})
    claims = replace(with_report(), vek=VLEK)
    assert claims.vek.kind is SigningKey.VLEK
    assert [one.rule for one in appraise(claims, policy, NOW).denying] == [RuleId.CHIP_LIST]
