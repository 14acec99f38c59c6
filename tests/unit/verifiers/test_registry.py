# SPDX-License-Identifier: Apache-2.0
"""The table of technologies leads to the functions of each, and adds nothing."""

from __future__ import annotations

import json

import pytest

from tests.tdx_lab import Lab
from verifiers import registry
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind, Tee
from verifiers.tdx.endorsements import PcsSource, TdxEndorsements


def test_a_quote_from_end_to_end() -> None:
    exhibit = Lab.create().exhibit()
    evidence = registry.identify([exhibit.quote]).evidence
    assert evidence == (Evidence(EvidenceKind.TDX_QUOTE, exhibit.quote),)
    parsed = registry.parse(evidence)
    endorsements = registry.parse_bundle(parsed, json.dumps(exhibit.bundle).encode())
    assert endorsements == exhibit.endorsements
    claims = registry.verify(parsed, endorsements, exhibit.anchors, None, exhibit.at)
    assert claims == exhibit.verify()


def test_no_endorsements() -> None:
    exhibit = Lab.create().exhibit()
    parsed = registry.parse(registry.identify([exhibit.quote]).evidence)
    assert registry.no_endorsements(parsed) == TdxEndorsements()
    with pytest.raises(VerificationError) as caught:
        registry.verify(parsed, registry.no_endorsements(parsed), exhibit.anchors, None, exhibit.at)
    assert caught.value.reason is Reason.INCOMPLETE


def test_gather_asks_the_configured_source() -> None:
    exhibit = Lab.create().exhibit()
    parsed = registry.parse(registry.identify([exhibit.quote]).evidence)
    source = PcsSource.pccs("https://pccs.example")
    fetches = next(registry.gather(parsed, registry.Sources(source), exhibit.anchors))
    assert all(fetch.url.startswith("https://pccs.example/") for fetch in fetches)
    assert registry.Sources().intel == PcsSource()


def test_a_record_is_parsed_to_the_same() -> None:
    exhibit = Lab.create().exhibit()
    parsed = registry.parse(registry.identify([exhibit.quote]).evidence)
    assert registry.tee_of(parsed) is Tee.TDX
    assert registry.parse(registry.pieces_of(parsed)) == parsed


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("size", [1183, 1184, 1185])
def test_an_snp_report_is_named_for_what_it_is(version: int, size: int) -> None:
    data = version.to_bytes(4, "little") + bytes(size - 4)
    assert registry.identify([data]).evidence == (Evidence(EvidenceKind.SNP_REPORT, data),)
