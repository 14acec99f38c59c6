# SPDX-License-Identifier: Apache-2.0
"""`attestca verify` on a simulated CPU and devices of a fake NVIDIA at once: two verdicts, and the worst counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ca.cli import devices
from ca.cli.machine import sort_files, worst
from simulator.nvidia.reports import NONCE
from tests import nvidia_devices
from tests.nvidia_devices import Exhibit
from tests.snp_lab import SnpLab
from tests.unit.ca.cli.nvidia_desk import Desk
from verifiers.errors import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Evidence


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "builtin", nvidia_devices.anchors)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_both_are_verified(cli: Cli, desk: Desk, evidence: Evidence) -> None:
    files = desk.lay(Exhibit())
    judged = (*evidence.judged, "--nonce", NONCE.hex())
    said = cli.good("verify", files[0], evidence.quote(), *files[1:], *judged, "--json").json()
    assert list(said) == ["verdict", "binding", "cpu", "devices", "checked_at"]
    assert (said["verdict"], said["binding"]) == ("verified", "not-compared")
    cpu = cli.good("verify", evidence.quote(), *evidence.judged, "--json").json()
    assert said["cpu"] == cpu
    at = ("--at", evidence.at, "--nonce", NONCE.hex())
    assert said["devices"] == cli.good("verify", *files, *at, "--json").json()
    assert said["checked_at"] == cpu["checked_at"]


def test_both_are_shown(cli: Cli, desk: Desk, evidence: Evidence) -> None:
    printed = cli.good("verify", evidence.quote(), *desk.lay(Exhibit()), *evidence.judged).out
    titles = ("Machine\n", "\nCPU\n", "\nTCB\n", "\nClaims\n", "\nNVIDIA devices\n", "\nDevice 0")
    order = [printed.index(title) for title in titles]
    assert order == sorted(order)
    assert "binding  not compared: " in printed


@pytest.mark.parametrize(
    ("nonce", "collateral", "code", "verdict"),
    [
        ("ab" * 32, True, 1, "rejected"),
        (NONCE.hex(), False, 2, "undetermined"),
        ("ab" * 32, False, 1, "rejected"),
    ],
    ids=["devices", "cpu", "both"],
)
def test_the_worst_counts(  # noqa: PLR0917 - fixtures
    cli: Cli,
    desk: Desk,
    evidence: Evidence,
    nonce: str,
    collateral: bool,  # noqa: FBT001 - a parameter of the test
    code: int,
    verdict: str,
) -> None:
    judged = evidence.judged if collateral else evidence.judged[2:]
    files = (evidence.quote(), *desk.lay(Exhibit()))
    done = cli("verify", *files, *judged, "--nonce", nonce, "--json")
    assert (done.code, done.json()["verdict"]) == (code, verdict)
    each = [done.json()[part]["verdict"] for part in ("cpu", "devices")]
    assert each == [
        "verified" if collateral else "undetermined",
        "verified" if nonce == NONCE.hex() else "rejected",
    ]


def test_a_file_that_is_nothing(cli: Cli, desk: Desk, evidence: Evidence) -> None:
    """Beside a CPU's evidence it is meant as another, without one as nothing."""
    other = desk.put("other", b"\xff" * 96)
    files = desk.lay(Exhibit())
    done = cli("verify", evidence.quote(), *files, other, *evidence.judged)
    assert (done.code, "exactly one CPU quote or report" in done.err) == (64, True)
    done = cli("verify", *files, other, "--at", evidence.at)
    assert (done.code, "hold nothing of NVIDIA's" in done.err) == (64, True)


def test_pieces_of_azure_and_devices_are_told_apart(evidence: Evidence) -> None:
    """What nothing is known of is the vTPM's; certificates are AMD's or NVIDIA's by the names in them."""
    lab = SnpLab.create("Genoa")
    lab.azure()
    cpu = [piece.data for piece in lab.evidence()]
    ours = [Exhibit().evidence.report, Exhibit().evidence.chain_pem, *Exhibit().endorsements.rims]
    mixed = [*cpu[:2], *ours[:2], *cpu[2:], *ours[2:]]
    found = sort_files(mixed)
    assert (found.cpu, found.devices) == (tuple(cpu), tuple(ours))
    assert sort_files(cpu).devices == ()
    assert sort_files(ours).cpu == ()
    damaged = [ours[1], b"\xff" * 96]
    assert sort_files(damaged).devices == tuple(damaged)
    quote = evidence.quote().read_bytes()
    assert sort_files([quote, *damaged]).cpu == (quote, damaged[1])


def test_a_refusal_is_worse_than_what_is_not_known() -> None:
    order = (Verdict.VERIFIED, Verdict.UNDETERMINED, Verdict.REJECTED)
    for place, verdict in enumerate(order):
        assert worst(order[: place + 1]) is verdict
