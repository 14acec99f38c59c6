# SPDX-License-Identifier: Apache-2.0
"""R-06: every reason of the verifiers is produced by a case, and every refusal in their source is reached.

The second half is what the coverage gate of the test run demands: all branches of verifiers/.
"""

from __future__ import annotations

import pytest

from tests.cases.nvidia.index import CORPUS as NVIDIA_CORPUS
from tests.cases.snp.index import CORPUS as SNP_CORPUS
from tests.cases.tdx.index import CORPUS
from tests.eventlog_lab import action, tcg2
from tests.tdx_lab import Lab
from verifiers.endorsements import Response
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.eventlog import ccel
from verifiers.eventlog.events import Algorithm, Register
from verifiers.eventlog.replay import demand, replay
from verifiers.tcb import TcbStatus
from verifiers.tdx.endorsements import PcsSource, gather
from verifiers.tdx.quote import parse_quote

# Not a verifier's: what `attestca verify` says, which asks no policy, where the claims show expired collateral.
OF_THE_COMMAND_LINE = {Reason.COLLATERAL_EXPIRED}


def of_gather() -> Reason:
    """The one reason that is found while collateral is asked for."""
    exhibit = Lab.create().exhibit()
    asking = gather(parse_quote(exhibit.quote), PcsSource(), exhibit.anchors)
    fetches = next(asking)
    with pytest.raises(VerificationError) as caught:
        asking.send(tuple(Response(404, b"", {}) for _ in fetches))
    return caught.value.reason


def test_every_reason_is_produced() -> None:
    """`test_tdx_corpus` and its like show that each case really ends with the reason it names."""
    corpora = (CORPUS, SNP_CORPUS, NVIDIA_CORPUS)
    expected: list[object] = [case.expect for corpus in corpora for case in corpus]
    produced = {expect for expect in expected if isinstance(expect, Reason)}
    missing = set(Reason) - produced - OF_THE_COMMAND_LINE - {of_gather(), _unknown_status()}
    assert missing == set(_of_event_logs())
    assert not produced & OF_THE_COMMAND_LINE


def _of_event_logs() -> list[Reason]:
    """A log without SHA-384, and one that gives another value than the quote. `test_eventlog_corpus` has real ones."""
    found = []
    tpm = tcg2(algorithms=(0x0B,))
    for data, registers in ((tpm, {}), (tcg2(action(1, b"x")), {Register.RTMR0: bytes(48)})):
        with pytest.raises(VerificationError) as caught:
            demand(replay([ccel.parse(data)], registers, Algorithm.SHA384), registers)
        found.append(caught.value.reason)
    return found


def _unknown_status() -> Reason:
    lab = Lab.create()
    lab.level(tcbStatus="Splendid")
    outcome = lab.exhibit().outcome()
    assert isinstance(outcome, Reason)
    return outcome


def test_every_acceptable_status_is_produced() -> None:
    produced = {case.expect for case in CORPUS if isinstance(case.expect, TcbStatus)}
    assert produced == set(TcbStatus) - {TcbStatus.REVOKED, TcbStatus.UNKNOWN}


def test_only_what_is_missing_is_undetermined() -> None:
    """Collateral; or whatever would tie a TPM's key to a platform."""
    undetermined = {Reason.INCOMPLETE, Reason.AK_NOT_BOUND}
    assert {one for one in Reason if one.verdict is not Verdict.REJECTED} == undetermined
    assert {one.verdict for one in undetermined} == {Verdict.UNDETERMINED}
