# SPDX-License-Identifier: Apache-2.0
"""`verify`: what a paravisor and its vTPM say, and what the evidence binds."""

from __future__ import annotations

from hashlib import sha256

import pytest

from simulator.vtpm import FakeTpm
from tests.snp_lab import BINDING, SnpLab
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Binding, EvidenceKind, Provider
from verifiers.vtpm.claims import PcrBank


def refused(bench: SnpLab) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        bench.exhibit().verify()
    return caught.value


def reason(bench: SnpLab) -> Reason:
    return refused(bench).reason


# Azure


def test_azure() -> None:
    bench = SnpLab.create("Milan")
    cvm = bench.azure()
    cvm.user_data = bytes(range(64))
    claims = bench.exhibit().verify()
    assert claims.provider is Provider.AZURE
    assert claims.bound
    assert claims.hcl is not None
    assert claims.tpm is not None
    assert claims.hcl.user_data == bytes(range(64))
    assert claims.hcl.secure_boot is True
    assert claims.report.report_data == claims.hcl.runtime_data_sha256 + bytes(32)
    assert claims.tpm.extra_data == BINDING.tpm_extra
    assert {bank for bank, _, _ in claims.tpm.pcrs} == {PcrBank.SHA256}
    (hcl,) = (p.data for p in bench.evidence() if p.kind is EvidenceKind.HCL_REPORT)
    assert claims.evidence_sha256 == sha256(hcl.rstrip(b"\0")).digest()


def azure() -> SnpLab:
    bench = SnpLab.create()
    bench.azure()
    return bench


def without_a_quote() -> SnpLab:
    bench = azure()
    for kind in (EvidenceKind.TPM_ATTEST, EvidenceKind.TPM_SIGNATURE, EvidenceKind.TPM_PCRS):
        bench.piece(kind, None)
    return bench


def test_azure_without_a_quote_binds_nothing() -> None:
    bench = without_a_quote()
    error = refused(bench)
    assert (error.reason, error.authentic) == (Reason.INCOMPLETE, False)
    bench.binding = None
    claims = bench.exhibit().verify()
    assert (claims.tpm, claims.bound) == (None, False)
    assert claims.hcl is not None


def test_azure_offline_with_a_quote() -> None:
    bench = azure()
    bench.binding = None
    claims = bench.exhibit().verify()
    assert claims.tpm is not None
    assert not claims.bound


def test_a_report_of_other_runtime_data() -> None:
    bench = azure()
    bench.flip(0x50)  # and the signature does not hold: that is found first
    assert reason(bench) is Reason.SIGNATURE


@pytest.mark.parametrize("at", [0, 31, 32, 63])
def test_report_data_is_the_hash_and_zeros(at: int) -> None:
    """The report is rightly signed, only not over the hash of these data."""
    bench = azure()
    genuine = bench.exhibit()
    hcl = genuine.pieces[0].data
    data = bytearray(hcl[32 + 0x50 : 32 + 0x90])
    data[at] ^= 1
    other = bench.machine.report(bytes(data))
    bench.piece(EvidenceKind.HCL_REPORT, hcl[:32] + other + hcl[32 + 1184 :])
    error = refused(bench)
    assert (error.reason, error.authentic) == (Reason.SIGNATURE, False)
    assert "runtime data" in error.detail


def test_runtime_data_without_a_key() -> None:
    bench = azure()
    bench.runtime_data = {"keys": []}
    assert reason(bench) is Reason.MALFORMED


@pytest.mark.parametrize("kind", [EvidenceKind.TPM_SIGNATURE, EvidenceKind.TPM_PCRS])
def test_a_quote_that_does_not_hold(kind: EvidenceKind) -> None:
    for binding in (BINDING, None):
        bench = azure()
        bench.binding = binding
        bench.piece(kind, lambda right: right[:-1] + bytes([right[-1] ^ 1]))
        assert reason(bench) is Reason.SIGNATURE


def test_a_quote_of_another_machine() -> None:
    """The key is the one in the runtime data, and no other."""
    bench = SnpLab.create()
    bench.azure(signer=FakeTpm.create("another").ak)
    assert reason(bench) is Reason.SIGNATURE


# the binding


@pytest.mark.parametrize("at", [0, 31, 32, 63])
def test_report_data_is_the_binding(at: int) -> None:
    bench = SnpLab.create()
    data = bytearray(BINDING.report_data)
    data[at] ^= 1
    bench.report(report_data=bytes(data))
    error = refused(bench)
    assert (error.reason, error.authentic) == (Reason.BINDING_MISMATCH, False)


@pytest.mark.parametrize(
    "extra",
    [
        b"",
        BINDING.tpm_extra[:-1],
        BINDING.tpm_extra + b"\0",
        BINDING.report_data,
        bytes(32),
    ],
)
def test_extra_data_is_the_binding(extra: bytes) -> None:
    bench = SnpLab.create()
    bench.azure(extra_data=extra)
    error = refused(bench)
    assert (error.reason, error.authentic) == (Reason.BINDING_MISMATCH, False)


def test_on_azure_report_data_binds_nothing() -> None:
    """A binding that happens to be the paravisor's report_data is none."""
    bench = azure()
    owned = bench.exhibit().verify().report.report_data
    bench.binding = Binding(owned, bytes(32), bytes(32))
    bench.azure(extra_data=bytes(31) + b"\1")
    assert reason(bench) is Reason.BINDING_MISMATCH
