# SPDX-License-Identifier: Apache-2.0
"""`verify`: faults of evidence that is authentic: revocation, and TCB versions that no firmware reports."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from simulator.products import Tcb
from tests.snp_lab import NOW, SnpLab
from verifiers.errors import Reason, Verdict, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable


def refused(bench: SnpLab) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        bench.exhibit().verify()
    return caught.value


def reason(bench: SnpLab) -> Reason:
    return refused(bench).reason


# what comes after the evidence is authentic


def no_list(bench: SnpLab) -> None:
    bench.edit(crl=b"\x30\x00")


def list_of_another(bench: SnpLab) -> None:
    bench.edit(crl=bench.amd.line("Milan").vcek_crl.der)


def list_of_the_future(bench: SnpLab) -> None:
    bench.line.vcek_crl.alter(this_update=NOW + timedelta(seconds=1))


def revoked(bench: SnpLab) -> None:
    bench.line.vcek_crl.revoke(5, bench.line.ask.spec.serial)


def reported_above_committed(bench: SnpLab) -> None:
    bench.report(reported_tcb=Tcb(5, 0, 9, 9), committed_tcb=Tcb(4, 0, 9, 9))


def committed_above_current(bench: SnpLab) -> None:
    bench.report(reported_tcb=Tcb(4, 0, 9, 9), committed_tcb=Tcb(4, 0, 9, 9))
    bench.report(current_tcb=Tcb(4, 0, 9, 8), launch_tcb=Tcb(4, 0, 9, 8))


def launch_above_current(bench: SnpLab) -> None:
    same = {name: Tcb(4, 0, 9, 9) for name in ("reported_tcb", "committed_tcb", "current_tcb")}
    bench.report(**same, launch_tcb=Tcb(4, 0, 10, 0))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (no_list, Reason.CRL_INVALID),
        (list_of_another, Reason.CRL_INVALID),
        (list_of_the_future, Reason.COLLATERAL_NOT_YET_VALID),
        (revoked, Reason.CERTIFICATE_REVOKED),
        (reported_above_committed, Reason.TCB_INCONSISTENT),
        (committed_above_current, Reason.TCB_INCONSISTENT),
        (launch_above_current, Reason.TCB_INCONSISTENT),
    ],
)
def test_faults_of_authentic_evidence(spoil: Callable[[SnpLab], None], expected: Reason) -> None:
    bench = SnpLab.create("Genoa")
    spoil(bench)
    error = refused(bench)
    assert (error.reason, error.authentic) == (expected, True)
    # what the evidence itself is guilty of comes first
    bench.flip(0x90)
    error = refused(bench)
    assert (error.reason, error.authentic) == (Reason.SIGNATURE, False)


def test_a_list_issued_this_instant() -> None:
    bench = SnpLab.create()
    bench.line.vcek_crl.alter(this_update=NOW)
    assert bench.exhibit().outcome() is Verdict.VERIFIED


def test_each_kind_has_its_own_authority_on_the_list() -> None:
    bench = SnpLab.create()
    bench.line.vcek_crl.revoke(bench.line.asvk.spec.serial)
    assert bench.exhibit().outcome() is Verdict.VERIFIED
    bench.report(signing_key="vlek")
    bench.line.vlek_crl.revoke(bench.line.ask.spec.serial)
    assert bench.exhibit().outcome() is Verdict.VERIFIED
    bench.line.vlek_crl.revoke(bench.line.asvk.spec.serial)
    assert reason(bench) is Reason.CERTIFICATE_REVOKED


def test_launch_above_committed_is_no_fault() -> None:
    """The ABI does not forbid it."""
    bench = SnpLab.create("Genoa")
    low, high = Tcb(4, 0, 9, 9), Tcb(4, 0, 9, 10)
    bench.report(reported_tcb=low, committed_tcb=low, current_tcb=high, launch_tcb=high)
    assert bench.exhibit().outcome() is Verdict.VERIFIED
