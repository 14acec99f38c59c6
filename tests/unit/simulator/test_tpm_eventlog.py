# SPDX-License-Identifier: Apache-2.0
"""Simulated boots in a virtual TPM: every PCR replays, and the claims are those of the boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator.eventlog import direct_boot, grub_boot
from simulator.tpm_eventlog import KIND, of_tpm
from verifiers.eventlog.claims import SecureBoot
from verifiers.eventlog.events import PCRS, Algorithm, LogFormat
from verifiers.eventlog.files import log_pieces
from verifiers.eventlog.judge import judge
from verifiers.eventlog.proven import TPM
from verifiers.evidence import Evidence, EvidenceKind

if TYPE_CHECKING:
    from simulator.eventlog import Boot


@pytest.mark.parametrize("boot", [direct_boot(), grub_boot()], ids=["direct", "grub"])
def test_every_pcr_replays(boot: Boot) -> None:
    made = of_tpm(boot)
    pieces = [Evidence(EvidenceKind(KIND), made.log)]
    assert list(log_pieces(made.log)) == pieces
    values = dict(zip(PCRS, made.pcrs, strict=True))
    found = judge(pieces, values, Algorithm.SHA256, TPM)
    assert found.formats == (LogFormat.TCG2,)
    assert all(one.explained for one in found.replayed.values())
    assert sum(one.count for one in found.replayed.values()) == len(made.events)


def test_claims() -> None:
    made = of_tpm(grub_boot())
    pieces = [Evidence(EvidenceKind(KIND), made.log)]
    values = dict(zip(PCRS, made.pcrs, strict=True))
    claims = judge(pieces, values, Algorithm.SHA256, TPM).claims
    assert claims.secure_boot is SecureBoot.ENABLED
    assert claims.kernel_cmdline is not None
    assert claims.kernel_cmdline.text == "/vmlinuz root=/dev/vda1 ro"
    assert len(claims.images) == 2
    assert claims.doubts == ()
