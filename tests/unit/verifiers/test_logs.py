# SPDX-License-Identifier: Apache-2.0
"""Event logs beside verified claims: which registers count for whom, and what no log can be replayed against."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from tests.eventlog_lab import acpi_table, action, tcg2
from tests.google_lab import GoogleLab
from tests.snp_lab import SnpLab
from tests.tdx_lab import Lab
from verifiers import registry
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.events import Algorithm, Register
from verifiers.eventlog.proven import TD, TPM
from verifiers.eventlog.replay import ReplayState
from verifiers.evidence import Evidence, EvidenceKind, Provider
from verifiers.files import identify
from verifiers.logs import booted, pcrs_of, registers_of
from verifiers.vtpm.claims import PcrBank, TpmClaims

CCEL = tcg2(action(1, b"one"))


def test_logs_beside_a_quote() -> None:
    exhibit = Lab.create().exhibit()
    found = identify([acpi_table(), CCEL, exhibit.quote]).evidence
    of_cpu, _, logs = registry.split(found)
    assert of_cpu == (Evidence(EvidenceKind.TDX_QUOTE, exhibit.quote),)
    claims = exhibit.verify()
    boot = booted(claims, logs)
    assert boot is not None
    assert boot.replayed[Register.RTMR0].value == claims.td.rtmr0
    assert boot.replayed[Register.RTMR0].state is ReplayState.MISMATCH
    assert booted(claims, ()) is None


def test_whose_registers_count() -> None:
    """A TD's own, unless a paravisor holds them at zero; those of Google's vTPM for SEV-SNP alone."""
    td, cvm = GoogleLab.td().verify(), GoogleLab.snp().verify()
    assert td.tpm is not None
    assert cvm.tpm is not None
    assert registers_of(td)[1:] == (Algorithm.SHA384, TD)
    for claims in (replace(td, provider=Provider.AZURE), cvm):
        assert claims.tpm is not None
        assert registers_of(claims) == pcrs_of(claims.tpm.pcrs)
        assert registers_of(claims)[1:] == (Algorithm.SHA256, TPM)


def test_a_quote_of_no_register() -> None:
    with pytest.raises(VerificationError) as caught:
        pcrs_of(())
    assert caught.value.reason is Reason.EVIDENCE


def test_logs_beside_a_report_without_registers() -> None:
    claims = SnpLab.create().exhibit().verify()
    with pytest.raises(VerificationError) as caught:
        booted(claims, (Evidence(EvidenceKind.CCEL, CCEL),))
    assert caught.value.reason is Reason.EVIDENCE


@pytest.mark.parametrize(
    ("quoted", "algorithm"),
    [
        ([PcrBank.SHA384, PcrBank.SHA256], Algorithm.SHA256),
        ([PcrBank.SHA512, PcrBank.SHA384], Algorithm.SHA512),
    ],
)
def test_logs_beside_a_virtual_tpm(quoted: list[PcrBank], algorithm: Algorithm) -> None:
    log = tcg2(action(4, b"x", (0x0B, 0x0C, 0x0D)), algorithms=(0x0B, 0x0C, 0x0D))
    values = {bank: hashlib.new(bank, b"quoted").digest() for bank in PcrBank}
    tpm = TpmClaims(tuple((one, 4, values[one]) for one in quoted), b"", b"", 0, 0, 0, 0, safe=True)
    claims = replace(SnpLab.create().exhibit().verify(), tpm=tpm)
    boot = booted(claims, (Evidence(EvidenceKind.TPM_EVENT_LOG, log),))
    assert boot is not None
    assert boot.algorithm is algorithm
    assert boot.replayed[Register.PCR4].value == values[PcrBank(algorithm.value)]
