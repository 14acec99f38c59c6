# SPDX-License-Identifier: Apache-2.0
"""A TDX machine with two GPUs enrolls with the client's code at `attestca serve`, whatever the database.

The policy wants both appraisals, so manifests, OCSP, tokens and their keys are all fetched over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from attestca_client.errors import Refused
from simulator.cvm import GpuEvidence
from simulator.demo_gpus import LEVEL, listed
from tests.stage_lab import enroll_gpu_machine

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.stage import Stage


def test_one_certificate_for_cpu_and_gpus(stage: Stage, tmp_path: Path) -> None:
    enrolled = enroll_gpu_machine(stage, tmp_path)
    assert (enrolled.policy, enrolled.assurance) == ("demo-gpu@1", "simulated")
    found = listed(tmp_path / "cert.pem")
    assert (found.binding, len(set(found.handles))) == (LEVEL, 2)
    for line in found.lines:
        assert "driver 580.178.04, VBIOS 96.00.CF.00.01, mode spt, appraised by both" in line


def test_the_same_gpus_have_the_same_handles(sqlite_stage: Stage, tmp_path: Path) -> None:
    """And genuine ones elsewhere, asked live, are accepted: the level does not say whose machine they are in."""
    seen = []
    for whose in (GpuEvidence.HONEST, GpuEvidence.HONEST, GpuEvidence.RELAYED):
        enroll_gpu_machine(sqlite_stage, tmp_path, whose)
        seen.append(listed(tmp_path / "cert.pem"))
    first, again, relayed = seen
    assert {one.binding for one in seen} == {LEVEL}
    assert first.handles == again.handles
    assert not set(first.handles) & set(relayed.handles)


@pytest.mark.parametrize(
    ("whose", "code"),
    [(GpuEvidence.FORGED, "untrusted-root"), (GpuEvidence.RECORDED, "binding-mismatch")],
)
def test_evidence_that_is_not_of_these_gpus(
    sqlite_stage: Stage, tmp_path: Path, whose: GpuEvidence, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        enroll_gpu_machine(sqlite_stage, tmp_path / "vm", whose)
    assert refused.value.code == code
    assert not (tmp_path / "vm" / "key.pem").exists()


@pytest.mark.parametrize(
    ("count", "profile", "rule"), [(1, "gpu", "device-count"), (2, "default", "device-unexpected")]
)
def test_what_the_policy_refuses(
    sqlite_stage: Stage, tmp_path: Path, count: int, profile: str, rule: str
) -> None:
    with pytest.raises(Refused) as refused:
        enroll_gpu_machine(sqlite_stage, tmp_path, count=count, profile=profile)
    assert [finding.rule for finding in refused.value.findings] == [rule]
