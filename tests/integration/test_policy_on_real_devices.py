# SPDX-License-Identifier: Apache-2.0
"""Real NVIDIA devices through the verifier and the strict default policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from policies.appraise import appraise_devices
from policies.loader import load_default, load_policy
from policies.result import TOLERABLE
from tests import nvidia_vectors as vectors
from tests.unit.policies.documents import text
from tests.unit.policies.nvidia_claims import section
from verifiers.anchors import builtin
from verifiers.endorsements import Revocation
from verifiers.evidence import Tee
from verifiers.nvidia.claims import NrasClaims, NvidiaSetClaims
from verifiers.nvidia.endorsements import NvidiaEndorsements
from verifiers.nvidia.system import authenticate_set, verify_set
from verifiers.nvidia.verify import accepted

H100 = "h100-550.90.07"
SWITCH = "ls10-96.10.55.00.01"
WITHOUT_FWID = "h100-535.86.09-old-claims"

# The folder of the H100 has answers about the device of 21 August 2025, and about its manifests of two months later.
LATER = datetime(2025, 10, 24, 12, tzinfo=UTC)
OLD: dict[str, Any] = {
    "driver": {"minimum": {"550": "550.90.07"}},
    "vbios": {"minimum": {"GH100": "96.00.9F.00.01"}},
}


def verified(name: str, at: datetime | None = None) -> tuple[NvidiaSetClaims, datetime]:
    """The devices of a folder at its instant or another, and the instant."""
    vector = vectors.load(name)
    then = at or vector.at
    found = verify_set(vector.devices, vector.endorsements, builtin(), vector.nonce, then)
    return found, then


def denied(found: NvidiaSetClaims, at: datetime, **keys: object) -> set[str]:
    """The rules that deny, by the default or by a section with these keys."""
    document = load_default(Tee.TDX, devices=True).document
    if keys:
        document = load_policy(text(nvidia=section(**keys))).document
    findings = appraise_devices(found, document, at)
    return {one.rule.value for one in findings if one.result not in TOLERABLE}


def test_an_h100_is_refused_by_the_default_for_its_old_driver_and_its_unanswered_manifests() -> (
    None
):
    found, at = verified(H100)
    assert denied(found, at) == {"driver-minimum", "device-revocation-unknown"}
    (device,) = found.devices
    answered = replace(
        device, rims=tuple(replace(one, revocation=Revocation.GOOD) for one in device.rims)
    )
    known = replace(found, devices=(answered,))
    assert denied(known, at) == {"driver-minimum"}
    assert denied(known, at, **OLD, coverage=33) == set()
    assert denied(known, at, **OLD, coverage=34) == {"rim-coverage"}
    assert denied(known, at, **OLD, modes=["mpt", "ppcie"]) == {"device-mode"}


def test_with_an_answer_about_everything_those_of_august_are_too_old_for_any_budget() -> None:
    found, at = verified(H100, LATER)
    assert denied(found, at) == {"driver-minimum", "collateral-stale"}
    assert denied(found, at, **OLD, tolerate_stale={"ocsp": "30d"}) == {"collateral-stale"}
    paths = {
        one.path
        for one in appraise_devices(found, load_default(Tee.TDX, devices=True).document, at)
        if one.result not in TOLERABLE
    }
    assert "devices[0].collateral.ocsp" in paths


def test_without_answers_every_policy_denies() -> None:
    vector = vectors.load(H100)
    rims = NvidiaEndorsements(vector.endorsements.rims)
    found = verify_set(vector.devices, rims, builtin(), vector.nonce, vector.at)
    assert denied(found, vector.at, **OLD) == {"device-revocation-unknown"}


def test_a_switch_alone_is_not_what_the_default_is_about() -> None:
    found, at = verified(SWITCH)
    assert denied(found, at) == {
        "device-count",
        "device-model",
        "device-revocation-unknown",
    }
    bios = {"minimum": {"LS10": "96.10.55.00.01"}}
    alone = {"gpus": 0, "switches": 1, "models": ["LS10"], "vbios": bios}
    assert denied(found, at, **alone) == {"device-revocation-unknown"}


@pytest.mark.parametrize("name", [H100, SWITCH])
def test_serial_numbers_are_those_of_the_folder(name: str) -> None:
    found, at = verified(name)
    keys = OLD | {"devices": [vectors.load(name).expected["device_serial"]]}
    assert "device-list" not in denied(found, at, **keys)
    assert "device-list" in denied(found, at, **keys | {"devices": ["41" * 9]})


def test_a_report_without_firmware_id() -> None:
    """Of its driver no manifest is at hand: a word of the service stands in for it, as of one that accepts it."""
    vector = vectors.load(WITHOUT_FWID)
    at = vector.at
    found = authenticate_set(vector.devices, builtin(), vector.nonce, at)
    said = NrasClaims("3.0", bytes(32), at, at + timedelta(hours=1), Revocation.GOOD)
    claims = tuple(accepted(one, NvidiaEndorsements(), said, at) for one in found.devices)
    whole = NvidiaSetClaims(claims, found.mode, found.topology, found.nonce, found.bound)
    keys = {
        "appraisal": "nras",
        "driver": {"minimum": {"535": "535.86.09"}},
        "vbios": {"minimum": {"GH100": "96.00.5E.00.01"}},
    }
    # such drivers do not report their mode either
    assert denied(whole, at, **keys) == {"device-mode", *vector.expect["policy_findings"]}
    assert vector.expect["policy_findings"] == ["fwid-missing"]
