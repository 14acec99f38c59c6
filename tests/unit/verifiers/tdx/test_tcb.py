# SPDX-License-Identifier: Apache-2.0
"""The report: which component falls short by how much, in Intel's words; advisories, dates and numbers of all parts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.tdx_lab import Lab, svn
from verifiers.errors import Reason, VerificationError
from verifiers.tcb import Shortfall, TcbReport, TcbStatus


def report(lab: Lab) -> TcbReport:
    return lab.exhibit().verify().tcb


def day(year: int, month: int, of: int) -> datetime:
    return datetime(year, month, of, tzinfo=UTC)


def test_up_to_date() -> None:
    assert report(Lab.create()) == TcbReport(
        status=TcbStatus.UP_TO_DATE,
        platform_status=TcbStatus.UP_TO_DATE,
        qe_status=TcbStatus.UP_TO_DATE,
        module_status=TcbStatus.UP_TO_DATE,
        advisory_ids=(),
        tcb_date=day(2025, 8, 13),
        evaluation_data_number=20,
        shortfalls=(),
    )


def test_module_version_0_has_no_status_of_its_own() -> None:
    lab = Lab.create()
    lab.quote(tee_tcb_svn=svn(5, 0, 4))
    found = report(lab)
    assert (found.status, found.module_status) == (TcbStatus.UP_TO_DATE, None)


def test_everything_falls_short() -> None:
    lab = Lab.create()
    lab.sgx(components=(3, 3, 2, 2, 4, 1, 0, 5), pcesvn=11)
    lab.quote(tee_tcb_svn=svn(6, 1, 3), qe_isvsvn=3)
    assert report(lab) == TcbReport(
        status=TcbStatus.OUT_OF_DATE,
        platform_status=TcbStatus.OUT_OF_DATE,
        qe_status=TcbStatus.OUT_OF_DATE,
        module_status=TcbStatus.OUT_OF_DATE,
        advisory_ids=("INTEL-SA-01192", "INTEL-SA-01245", "INTEL-SA-01312"),
        tcb_date=min(day(2025, 5, 14), report_date(lab)),
        evaluation_data_number=20,
        shortfalls=(
            Shortfall("sgxtcbcomponents[0]", 3, 4, "BIOS", "Early Microcode Update"),
            Shortfall("sgxtcbcomponents[1]", 3, 4, "OS/VMM", "SGX Late Microcode Update"),
            Shortfall("tdxtcbcomponents[2]", 3, 4, "OS/VMM", "TDX Late Microcode Update"),
            Shortfall("tdxModule.isvsvn", 6, 11, "OS/VMM", "TDX Module"),
            Shortfall("qe.isvsvn", 3, 4, "OS/VMM", "Quoting Enclave"),
        ),
    )


def report_date(lab: Lab) -> datetime:
    """Of the QE level that is reached."""
    return datetime.fromisoformat(lab.intel.qe_identity["tcbLevels"][1]["tcbDate"])


def test_pcesvn_and_the_components_of_module_version_0() -> None:
    lab = Lab.create()
    lab.sgx(components=(2, 2, 2, 2, 3, 1, 0, 5), pcesvn=5)
    lab.quote(tee_tcb_svn=svn(5, 0, 2))
    lab.intel.tcb_info["tcbLevels"][0]["tcb"]["tdxtcbcomponents"][0]["svn"] = 6
    found = {short.component: (short.have, short.need) for short in report(lab).shortfalls}
    assert found == {
        "sgxtcbcomponents[0]": (2, 4),
        "sgxtcbcomponents[1]": (2, 4),
        "sgxtcbcomponents[4]": (3, 4),
        "pcesvn": (5, 11),
        "tdxtcbcomponents[0]": (5, 6),
        "tdxtcbcomponents[2]": (2, 4),
    }


def test_the_words_for_a_pcesvn() -> None:
    lab = Lab.create()
    lab.sgx(pcesvn=5)
    assert Shortfall("pcesvn", 5, 11, "OS/VMM", "PCE") in report(lab).shortfalls


def test_nothing_is_short_of_a_level_below_the_newest() -> None:
    """One shortfall a component, against the newest level, however many levels are above."""
    lab = Lab.create()
    levels = lab.intel.qe_identity["tcbLevels"]
    newest = levels[0]["tcb"]["isvsvn"]
    levels.insert(0, {**levels[0], "tcb": {"isvsvn": newest + 1}})
    lab.quote(qe_isvsvn=newest - 1)
    shorts = [short for short in report(lab).shortfalls if short.component == "qe.isvsvn"]
    assert shorts == [Shortfall("qe.isvsvn", newest - 1, newest + 1, "OS/VMM", "Quoting Enclave")]


def test_up_to_date_falls_short_of_nothing() -> None:
    """Intel may call several levels UpToDate: who is at a lower one has nothing to update."""
    lab = Lab.create()
    levels = lab.intel.qe_identity["tcbLevels"]
    newest = levels[0]["tcb"]["isvsvn"]
    levels.insert(0, {**levels[0], "tcb": {"isvsvn": newest + 1}})
    lab.quote(qe_isvsvn=newest)
    found = report(lab)
    assert (found.status, found.shortfalls) == (TcbStatus.UP_TO_DATE, ())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"qe_isvsvn": 0}, "the quoting enclave; below the newest level: qe.isvsvn 0 < 4"),
        (
            {"tee_tcb_svn": svn(1, 1, 4)},
            "the TDX module of version 1; below the newest level: tdxModule.isvsvn 1 < 11",
        ),
        (
            {"tee_tcb_svn": svn(11, 1, 0)},
            "the platform; below the newest level: tdxtcbcomponents[2] 0 < 4",
        ),
        ({"tee_tcb_svn": svn(11, 1, 0), "qe_isvsvn": 0}, "the platform and quoting enclave; "),
    ],
)
def test_why_nothing_matches(fields: dict[str, object], words: str) -> None:
    lab = Lab.create()
    lab.quote(**fields)
    with pytest.raises(VerificationError) as caught:
        report(lab)
    assert caught.value.reason is Reason.TCB_NOT_SUPPORTED
    assert f"matches {words}" in caught.value.detail


def test_module_version_0_is_not_named_among_what_matches_nothing() -> None:
    lab = Lab.create()
    lab.quote(tee_tcb_svn=svn(5, 0, 0))
    with pytest.raises(VerificationError, match="matches the platform; below"):
        report(lab)


def test_no_level_at_all_names_nothing_short() -> None:
    lab = Lab.create()
    lab.info(tcbLevels=[])
    with pytest.raises(VerificationError, match="below the newest level: none"):
        report(lab)


def test_a_revoked_current_tcb_is_reported_with_its_own_parts() -> None:
    lab = Lab.create()
    lab.quote(version=5, body_type=3, tee_tcb_svn2=svn(2, 1, 4))
    with pytest.raises(VerificationError) as caught:
        report(lab)
    assert caught.value.tcb is not None
    assert caught.value.tcb.module_status is TcbStatus.REVOKED


def test_relaunch_keeps_the_parts_of_the_launch() -> None:
    lab = Lab.create()
    lab.quote(version=5, body_type=3, tee_tcb_svn=svn(6, 1, 4))
    found = report(lab)
    assert (found.status, found.module_status) == (
        TcbStatus.TD_RELAUNCH_ADVISED,
        TcbStatus.OUT_OF_DATE,
    )
    assert found.shortfalls == (Shortfall("tdxModule.isvsvn", 6, 11, "OS/VMM", "TDX Module"),)
