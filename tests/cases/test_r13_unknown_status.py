# SPDX-License-Identifier: Apache-2.0
"""R-13, at the verifier: "Unknown" is a status of its own, and no status is rewritten into another."""

from __future__ import annotations

import pytest

from tests.tdx_lab import Lab
from verifiers.claims import to_json
from verifiers.errors import Reason, VerificationError
from verifiers.tcb import TcbStatus

STRANGE = ["Splendid", "uptodate", "UpToDate ", "UP_TO_DATE", "", "Unknown", "UpToDate\u0000"]


@pytest.mark.parametrize("text", STRANGE)
def test_a_strange_status_is_unknown(text: str) -> None:
    assert TcbStatus.parse(text) is TcbStatus.UNKNOWN


@pytest.mark.parametrize("status", TcbStatus)
def test_a_known_status_is_itself(status: TcbStatus) -> None:
    assert TcbStatus.parse(status.value) is status
    assert to_json(status) == status.value


@pytest.mark.parametrize("text", STRANGE)
def test_it_is_refused_and_shown_as_it_is(text: str) -> None:
    lab = Lab.create()
    lab.level(tcbStatus=text)
    with pytest.raises(VerificationError) as caught:
        lab.exhibit().verify()
    tcb = caught.value.tcb
    assert caught.value.reason is Reason.TCB_STATUS_UNKNOWN
    assert tcb is not None
    assert (tcb.status, tcb.platform_status) == (TcbStatus.UNKNOWN, TcbStatus.UNKNOWN)
    assert (tcb.qe_status, tcb.module_status) == (TcbStatus.UP_TO_DATE, TcbStatus.UP_TO_DATE)


@pytest.mark.parametrize(
    "status", ["SWHardeningNeeded", "ConfigurationNeeded", "TDRelaunchAdvised"]
)
def test_a_status_out_of_place_is_unknown(status: str) -> None:
    """Intel gives these to platforms only, or computes them; a module or an enclave cannot have them."""
    lab = Lab.create()
    lab.intel.qe_identity["tcbLevels"][0]["tcbStatus"] = status
    assert lab.exhibit().outcome() is Reason.TCB_STATUS_UNKNOWN


def test_a_platform_cannot_state_that_a_relaunch_is_advised() -> None:
    lab = Lab.create()
    lab.level(tcbStatus="TDRelaunchAdvised")
    assert lab.exhibit().outcome() is Reason.TCB_STATUS_UNKNOWN


def test_what_no_level_matches_has_no_status() -> None:
    lab = Lab.create()
    lab.quote(qe_isvsvn=0)
    with pytest.raises(VerificationError) as caught:
        lab.exhibit().verify()
    tcb = caught.value.tcb
    assert tcb is not None
    assert (tcb.status, tcb.platform_status, tcb.qe_status) == (None, TcbStatus.UP_TO_DATE, None)
