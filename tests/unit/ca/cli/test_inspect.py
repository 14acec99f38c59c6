# SPDX-License-Identifier: Apache-2.0
"""`attestca verify`: verdict, exit code, JSON and tables, on real quotes and on a simulated machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests import tdx_vectors
from verifiers.errors import Reason

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Evidence

EXITS = {"verified": 0, "rejected": 1, "undetermined": 2}
BODY = ("mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "report_data")


def arguments(name: str) -> list[str]:
    """Evidence, collateral and instant of one real case."""
    vector = tdx_vectors.load(name)
    folder = tdx_vectors.ROOT / "tdx" / name
    bundle = ["--collateral", str(folder / "collateral.json")] if vector.bundle else []
    return [str(folder / "quote.bin"), *bundle, "--at", vector.at.isoformat()]


@pytest.mark.parametrize("name", tdx_vectors.names())
def test_every_real_quote(cli: Cli, name: str) -> None:
    expect = tdx_vectors.load(name).expected["expect"]
    done = cli("verify", *arguments(name), "--json")
    said = done.json()
    assert done.code == EXITS[expect["verdict"]]
    assert said["verdict"] == expect["verdict"]
    assert (said["reason"] or {"code": None})["code"] == expect["code"]
    if expect["verdict"] == "verified":
        assert said["tcb"]["status"] == expect["tcb_status"]
        assert said["revocation"] == {"pck_chain": "good", "tcb_signing_chain": "good"}
        assert said["tee"] == "tdx"


def test_the_whole_object(cli: Cli, evidence: Evidence) -> None:
    said = cli.good("verify", evidence.quote(), *evidence.judged, "--json").json()
    assert list(said) == [
        *("verdict", "reason", "tee", "tcb", "revocation", "claims", "checked_at", "launch"),
    ]
    assert said["verdict"] == "verified"
    assert said["reason"] is None
    assert said["checked_at"] == "2026-11-25T13:00:00Z"
    assert set(said["tcb"]) >= {
        *("status", "advisory_ids", "platform_status", "qe_status", "module_status"),
        "evaluation_data_number",
    }
    assert said["claims"]["tee"] == "tdx"
    assert said["claims"]["body"].keys() >= set(BODY)
    assert "td" not in said["claims"]
    assert "tcb" not in said["claims"]


def test_the_layers_of_newer_reports_are_one_body(cli: Cli, evidence: Evidence) -> None:
    quote = evidence.quote(version=5, body_type=3)
    body = cli.good("verify", quote, *evidence.judged, "--json").json()["claims"]["body"]
    assert body.keys() >= {"mr_td", "tee_tcb_svn2", "mr_service_td"}
    assert "tee_tcb_svn2" in cli.good("verify", quote, *evidence.judged).out


def test_tables(cli: Cli, evidence: Evidence) -> None:
    shown = cli.good("verify", evidence.quote(), *evidence.judged).out
    assert shown.startswith("verdict    verified\n")
    for word in ("UpToDate", "sept-ve-disable", evidence.machine.fields["mr_td"].hex(), "pck_crl"):
        assert word in shown


def test_shortfalls_are_shown(cli: Cli, evidence: Evidence) -> None:
    shown = cli.good(
        "verify", evidence.quote(tee_tcb_svn=bytes((11, 1, 3)) + bytes(13)), *evidence.judged
    )
    assert "Below Intel's newest level" in shown.out


def test_what_is_known_of_a_platform_that_is_refused(cli: Cli) -> None:
    """Its TCB is shown, though there are no claims."""
    shown = cli("verify", *arguments("tdx4-b0c06f-below-all-levels")).out
    assert shown.startswith("verdict    rejected\n")
    assert "no level matches" in shown
    assert "Claims" not in shown
    assert not shown.endswith("\n\n")


def outcome(cli: Cli, *given: Any) -> tuple[int, str]:  # noqa: ANN401 - a value of any type is what it takes
    done = cli("verify", *given, "--json")
    said = done.json()
    assert done.code == EXITS[said["verdict"]]
    return done.code, said["reason"]["code"]


def test_without_collateral_it_is_undetermined(cli: Cli, evidence: Evidence) -> None:
    found = outcome(cli, evidence.quote(), "--at", evidence.at)
    assert found == (2, Reason.INCOMPLETE)


def test_a_foreign_vendor_is_rejected(cli: Cli, evidence: Evidence) -> None:
    with pytest.MonkeyPatch.context() as patch:
        from ca.cli import inspect  # noqa: PLC0415 - to undo what the fixture did
        from verifiers.anchors import builtin  # noqa: PLC0415 - imported when it is needed

        patch.setattr(inspect, "builtin", builtin)
        found = outcome(cli, evidence.quote(), *evidence.judged)
    assert found == (1, Reason.UNTRUSTED_ROOT)


def test_collateral_past_its_dates_is_rejected(cli: Cli, evidence: Evidence) -> None:
    late = ("--collateral", evidence.collateral, "--at", "2027-01-20T00:00:00Z")
    assert outcome(cli, evidence.quote(), *late) == (1, Reason.COLLATERAL_EXPIRED)
    shown = cli("verify", evidence.quote(), *late).out
    assert "EXPIRED" in shown
    assert "collateral-expired: expired: " in shown


def test_a_revoked_platform_says_so(cli: Cli, evidence: Evidence) -> None:
    evidence.intel.platform_crl.revoke(evidence.machine.pck.spec.serial)
    evidence.collateral.write_text(json.dumps(evidence.intel.bundle()))
    done = cli("verify", evidence.quote(), *evidence.judged, "--json")
    assert (done.code, done.json()["reason"]["code"]) == (1, Reason.CERTIFICATE_REVOKED)
    assert done.json()["revocation"]["pck_chain"] == "revoked"


@pytest.mark.parametrize(
    ("data", "hint"), [(b"0400020081000000" * 20, True), (bytes(range(200)), False)]
)
def test_a_quote_as_text_gets_a_hint(cli: Cli, tmp_path: Path, data: bytes, *, hint: bool) -> None:
    path = tmp_path / "quote.txt"
    path.write_bytes(data)
    done = cli("verify", path, "--json")
    assert done.code == 1
    assert ("this looks like text" in done.json()["reason"]["detail"]) is hint


def test_files_that_are_not_there(cli: Cli, evidence: Evidence) -> None:
    assert cli("verify", "none.bin").code == 66
    assert cli("verify", evidence.quote(), "--collateral", "none.json").code == 66


def test_one_file_at_a_time(cli: Cli, evidence: Evidence) -> None:
    assert cli("verify", evidence.quote("a"), evidence.quote("b")).code == 64
