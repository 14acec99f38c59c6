# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's own verifier is shown the same GPU, manifests and OCSP answers, and must say the same.

It needs other versions of our dependencies, so it lives in an environment of its own, whose interpreter is named by
ATTESTCA_NVIDIA_PEER (`python -m venv DIR; DIR/bin/pip install nv-local-gpu-verifier==2.7.3`). Where none is named, the
tests are skipped. What it accepts and we refuse is tested to differ, with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ca.cli.devices import inspect_devices, judge_dates
from ca.cli.given import Given
from tests import nvidia_vectors
from verifiers.errors import Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

CASE = "h100-550.90.07"
NOTICE = "NVIDIA's verifier is not here: set ATTESTCA_NVIDIA_PEER to the interpreter that has it"
PEER = Path(__file__).parents[1] / "nvidia_peer.py"
SECONDS = 120
MEASUREMENT = (
    41 + 8 + 7
)  # where the value of the first block stands: request, header, head of the block


@dataclass(frozen=True)
class Case:
    """One GPU in a folder of its own, and what it is asked with."""

    folder: Path
    nonce: str
    at: str

    def peer_accepts(self) -> bool:
        versions = ("550.90.07", "96.00.9F.00.01")
        arguments = (PEER, self.folder, self.nonce, self.at, *versions)
        done = subprocess.run(  # noqa: S603 - the interpreter that whoever runs the tests has named
            [os.environ["ATTESTCA_NVIDIA_PEER"], *map(str, arguments)],
            cwd=self.folder,  # it writes a log beside itself
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        )
        accepted = json.loads(done.stdout.splitlines()[-1])["accepted"]
        assert isinstance(accepted, bool)
        return accepted

    def our_reason(self) -> Reason | None:
        """What `attestca verify` says."""
        names = ("report.bin", "chain.pem", "driver_rim.xml", "vbios_rim.xml")
        files = [(self.folder / name).read_bytes() for name in names]
        given = Given(ocsp=str(self.folder / "ocsp"), nonce=self.nonce)
        found = judge_dates(inspect_devices(files, given.read(), datetime.fromisoformat(self.at)))
        assert (found.reason is None) == (found.verdict is Verdict.VERIFIED)
        return found.reason


@pytest.fixture
def case(tmp_path: Path) -> Case:
    if "ATTESTCA_NVIDIA_PEER" not in os.environ:
        pytest.skip(NOTICE)
    vector = nvidia_vectors.load(CASE)
    folder = tmp_path / CASE
    shutil.copytree(nvidia_vectors.NVIDIA / CASE, folder)
    return Case(folder, vector.nonce.hex(), vector.at.isoformat())


def change(path: Path, how: Callable[[bytes], bytes]) -> None:
    data = path.read_bytes()
    changed = how(data)
    assert changed != data
    path.write_bytes(changed)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_both_accept(case: Case) -> None:
    assert case.our_reason() is None
    assert case.peer_accepts()


@pytest.mark.parametrize(
    ("file", "how", "reason"),
    [
        ("report.bin", lambda data: flipped(data, MEASUREMENT), Reason.SIGNATURE),
        ("report.bin", lambda data: flipped(data, len(data) - 1), Reason.SIGNATURE),
        (
            "driver_rim.xml",
            lambda data: data.replace(b'active="False"', b'active="True"', 1),
            Reason.RIM_SIGNATURE,
        ),
        ("chain.pem", lambda data: data[data.index(b"-----END") + 26 :], Reason.CHAIN),
    ],
    ids=["a measurement", "the signature", "a manifest", "no leaf"],
)
def test_both_refuse(case: Case, file: str, how: Callable[[bytes], bytes], reason: Reason) -> None:
    change(case.folder / file, how)
    assert case.our_reason() is reason
    assert not case.peer_accepts()


def test_both_refuse_another_nonce(case: Case) -> None:
    other = Case(
        case.folder, "4cff7f5380ead8fad8ec2c531c110aca4302a88f603792801a8ca29ee151af2e", case.at
    )
    assert other.our_reason() is Reason.BINDING_MISMATCH
    assert not other.peer_accepts()


def test_both_refuse_signers_that_have_expired(case: Case) -> None:
    today = Case(case.folder, case.nonce, "2026-11-22T00:00:00+00:00")
    assert today.our_reason() is Reason.CERTIFICATE_EXPIRED
    assert not today.peer_accepts()


def test_stale_answers_differ(case: Case) -> None:
    """It never looks at nextUpdate: days later it takes the same answers about the device."""
    later = Case(case.folder, case.nonce, "2025-08-25T12:00:00+00:00")
    assert later.our_reason() is Reason.COLLATERAL_EXPIRED
    assert later.peer_accepts()
