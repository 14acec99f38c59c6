# SPDX-License-Identifier: Apache-2.0
"""`attestca refvalues capture`, `policy lint` and `appraise` on a confidential VM of Google's with its vTPM."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from attestca_client.protocol import tpm_extra
from ca.cli import inspect
from simulator.eventlog import grub_boot
from tests.google_lab import GoogleLab
from verifiers.evidence import Binding

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli

LABS = {"snp": GoogleLab.snp, "tdx": GoogleLab.td}


@pytest.fixture(params=LABS)
def lab(request: pytest.FixtureRequest) -> GoogleLab:
    made = LABS[request.param]()
    made.vm.boot(grub_boot())
    return made


def files(lab: GoogleLab, folder: Path) -> list[str]:
    """Its evidence, its log and the bundle, as arguments of the command."""
    folder.mkdir()
    pieces = {piece.kind.value: piece.data for piece in lab.pieces()} | dict(lab.vm.logs)
    for name, data in pieces.items():
        (folder / name).write_bytes(data)
    (folder / "bundle.json").write_bytes(lab.bundle())
    judged = ("--collateral", str(folder / "bundle.json"), "--at", lab.at.isoformat())
    return [*(str(folder / name) for name in pieces), *judged]


def test_a_first_policy_in_two_commands(
    cli: Cli, lab: GoogleLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts its machine, and denies the same beside the vTPM of a VM of another project."""
    monkeypatch.setattr(inspect, "builtin", lab.anchors)
    good, policy = files(lab, tmp_path / "good"), tmp_path / "policy.yaml"
    policy.write_text(cli.good("refvalues", "capture", *good, "--policy", "web").out)
    assert f'projects: ["{lab.vm.instance.project_id}"]' in policy.read_text()
    assert "no errors" in cli.good("policy", "lint", policy).err
    said = cli.good("appraise", *good, "--policy", str(policy), "--json").json()
    assert said["policy"]["name"] == "web"
    lab.vm.ak = lab.google.certify(
        lab.vm.tpm.ak.spki, replace(lab.vm.instance, project_id="strangers")
    )
    denied = cli("appraise", *files(lab, tmp_path / "bad"), "--policy", str(policy))
    assert denied.code == 1
    assert "google-vm" in denied.out
    assert "gce.project_id" in denied.out


def test_whether_both_carry_one_binding_is_said(
    cli: Cli, lab: GoogleLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No nonce is known offline; but extraData of an enrollment follows from report_data."""
    monkeypatch.setattr(inspect, "builtin", lab.anchors)
    lab.binding = Binding(bytes(64), tpm_extra(bytes(64)), bytes(32))
    assert "one binding, no more" in cli("verify", *files(lab, tmp_path / "one")).out
    lab.binding = replace(lab.binding, tpm_extra=tpm_extra(b"\1" * 64))
    assert "nothing says so" in cli("verify", *files(lab, tmp_path / "two")).out


def test_the_default_policy_says_what_is_missing(
    cli: Cli, lab: GoogleLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "builtin", lab.anchors)
    said = cli("appraise", *files(lab, tmp_path / "good"), "--json")
    assert said.code == 1
    (found,) = (one for one in said.json()["findings"] if one["rule"] == "google-vm")
    assert (found["path"], found["result"]) == ("gce", "missing")
    assert "name projects in a section google" in found["hint"]
    assert lab.vm.instance.project_id in found["actual"]
