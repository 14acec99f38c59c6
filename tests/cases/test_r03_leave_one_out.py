# SPDX-License-Identifier: Apache-2.0
"""R-03, at the verifier: leaving out any one part of the collateral is a refusal, and never a pass."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.tdx_lab import Lab
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.tdx.endorsements import PARTS, TdxEndorsements, parse_bundle
from verifiers.tdx.quote import parse_quote
from verifiers.tdx.verify import verify


def refusal(lab: Lab, endorsements: TdxEndorsements) -> VerificationError:
    exhibit = lab.exhibit()
    with pytest.raises(VerificationError) as caught:
        verify(parse_quote(exhibit.quote), endorsements, exhibit.anchors, None, exhibit.at)
    return caught.value


@pytest.mark.parametrize("part", PARTS)
def test_one_part_missing(part: str) -> None:
    lab = Lab.create()
    whole = lab.exhibit().endorsements
    error = refusal(lab, replace(whole, **{part: None}))
    assert error.reason is Reason.INCOMPLETE
    assert error.reason.verdict is Verdict.UNDETERMINED
    assert part in error.detail


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("absent", ["left out", "null"])
def test_one_member_missing_in_a_bundle(part: str, absent: str) -> None:
    lab = Lab.create()
    bundle: dict[str, str | None] = dict(lab.exhibit().bundle)
    bundle[part] = None
    if absent == "left out":
        del bundle[part]
    endorsements = parse_bundle(json.dumps(bundle).encode())
    assert endorsements.missing == (part,)
    assert refusal(lab, endorsements).reason is Reason.INCOMPLETE


@pytest.mark.parametrize("part", PARTS)
def test_one_part_empty(part: str) -> None:
    """An empty part is one that does not hold, not one that is not asked for."""
    lab = Lab.create()
    error = refusal(lab, replace(lab.exhibit().endorsements, **{part: b""}))
    assert error.reason.verdict is Verdict.REJECTED


def test_nothing_at_all() -> None:
    error = refusal(Lab.create(), TdxEndorsements())
    assert error.reason is Reason.INCOMPLETE
    assert all(part in error.detail for part in PARTS)


def test_a_forged_quote_is_rejected_whatever_is_missing() -> None:
    lab = Lab.create()
    lab.quote(signature=bytes(64))
    assert refusal(lab, TdxEndorsements()).reason is Reason.SIGNATURE


@pytest.mark.parametrize("module", [0, 1])
def test_no_tdx_module_identity(module: int) -> None:
    lab = Lab.create()
    lab.quote(tee_tcb_svn=bytes((11, module, 4)) + bytes(13))
    lab.intel.tcb_info.pop("tdxModule")
    lab.intel.tcb_info.pop("tdxModuleIdentities")
    assert lab.exhibit().outcome() is Reason.TDX_MODULE_MISMATCH
