# SPDX-License-Identifier: Apache-2.0
"""`attestca appraise`: verify plus a policy, on real quotes under the strict default and on a simulated machine."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from policies.loader import default_text
from tests import tdx_vectors
from tests.unit.ca.cli.test_inspect import arguments
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Evidence

DENY = {"fail", "missing"}
NOT_COUNTED = {"measurement", "revocation-unknown"}
POLICY = """\
name: machines
version: 7
match: {{tee: tdx}}
reference_sets:
  release:
    - id: image-1
      values:
        mr_td: "{mr_td}"
        rtmr0: "{rtmr0}"
        rtmr1: "{rtmr1}"
        rtmr2: "{rtmr2}"
tdx:
  measurements: [release]
{more}
"""


@pytest.fixture
def policy(tmp_path: Path, evidence: Evidence) -> Path:
    """A policy that accepts the simulated machine."""
    return write(tmp_path / "policy.yaml", evidence)


def write(path: Path, evidence: Evidence, more: str = "") -> Path:
    fields = evidence.machine.fields
    names = ("mr_td", "rtmr0", "rtmr1", "rtmr2")
    path.write_text(POLICY.format(**{name: fields[name].hex() for name in names}, more=more))
    return path


@pytest.mark.parametrize("name", tdx_vectors.names())
def test_every_real_quote_under_the_strict_default(cli: Cli, name: str) -> None:
    """The findings that deny, besides the pins that the default does not have, are exactly those that are expected."""
    expect = tdx_vectors.load(name).expected["expect"]
    done = cli("appraise", *arguments(name), "--json")
    said = done.json()
    if expect["verdict"] == "verified":
        assert (done.code, said["verdict"], said["reason"]) == (1, "denied", None)
        denying = {finding["rule"] for finding in said["findings"] if finding["result"] in DENY}
        assert denying - NOT_COUNTED == set(expect["policy_findings"])
        assert "measurement" in denying
    else:
        verdict, code = ("denied", 1) if expect["verdict"] == "rejected" else ("undetermined", 2)
        assert (done.code, said["verdict"]) == (code, verdict)
        assert said["reason"]["code"] == expect["code"]
        assert said["findings"] == []


def test_accepted(cli: Cli, evidence: Evidence, policy: Path) -> None:
    quote = evidence.quote()
    said = cli.good("appraise", quote, *evidence.judged, "--policy", policy, "--json").json()
    assert said["verdict"] == "accepted"
    assert said["reason"] is None
    assert said["policy"] == {
        "name": "machines",
        "version": 7,
        "sha256": sha256(policy.read_bytes()).hexdigest(),
    }
    verified = cli.good("verify", quote, *evidence.judged, "--json").json()
    assert {**said, "verdict": "verified"}.items() >= verified.items()
    assert {finding["result"] for finding in said["findings"]} == {"pass"}
    assert all(
        list(finding) == ["rule", "path", "result", "hint", "expected", "actual"]
        for finding in said["findings"]
    )


def test_denied_by_a_rule(cli: Cli, evidence: Evidence, policy: Path) -> None:
    other = evidence.quote(rtmr1=b"\xab" * 48)
    done = cli("appraise", other, *evidence.judged, "--policy", policy, "--json")
    assert (done.code, done.json()["verdict"]) == (1, "denied")
    (finding,) = [one for one in done.json()["findings"] if one["result"] in DENY]
    assert finding["rule"] == "measurement"
    assert finding["expected"] == "one of image-1"
    assert "ab" * 48 in finding["actual"]
    assert finding["hint"] == "nearest is image-1; differs in rtmr1"


def test_what_denies_is_shown_first(cli: Cli, evidence: Evidence, policy: Path) -> None:
    other = evidence.quote(td_attributes=1)
    done = cli("appraise", other, *evidence.judged, "--policy", policy)
    assert done.code == 1
    assert done.out.startswith("verdict    denied\npolicy     machines@7\n")
    order = [done.out.index(title) for title in ("What denies", "\nHeld", "\nTCB", "\nClaims")]
    assert order == sorted(order)
    denying = done.out[order[0] : order[1]]
    assert "debug" in denying
    assert "sept-ve-disable-clear" in denying
    assert "Tolerated" not in done.out


def test_what_is_tolerated_is_shown(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    relaxed = write(
        tmp_path / "relaxed.yaml", evidence, "relax: {sept-ve-disable-clear: an old paravisor}"
    )
    done = cli.good(
        "appraise", evidence.quote(td_attributes=0), *evidence.judged, "--policy", relaxed
    )
    assert "What denies" not in done.out
    assert "Tolerated by the policy" in done.out
    assert "an old paravisor" in done.out


def test_rejected_evidence_is_denied_before_any_rule(
    cli: Cli, evidence: Evidence, policy: Path
) -> None:
    quote = evidence.quote()
    changed = bytearray(quote.read_bytes())
    changed[200] ^= 1
    quote.write_bytes(changed)
    done = cli("appraise", quote, *evidence.judged, "--policy", policy, "--json")
    assert (done.code, done.json()["verdict"]) == (1, "denied")
    assert done.json()["reason"]["code"] == "signature"
    assert done.json()["findings"] == []
    shown = cli("appraise", quote, *evidence.judged, "--policy", policy).out
    assert "signature: " in shown
    assert "What denies" not in shown


def test_missing_collateral_is_undetermined(cli: Cli, evidence: Evidence, policy: Path) -> None:
    done = cli("appraise", evidence.quote(), "--at", evidence.at, "--policy", policy, "--json")
    assert (done.code, done.json()["verdict"]) == (2, "undetermined")
    assert done.json()["policy"]["name"] == "machines"


def test_collateral_past_its_dates_is_the_policys_to_judge(
    cli: Cli, evidence: Evidence, policy: Path, tmp_path: Path
) -> None:
    late = ("--collateral", evidence.collateral, "--at", "2026-12-26T00:00:00Z")
    done = cli("appraise", evidence.quote(), *late, "--policy", policy, "--json")
    assert (done.code, done.json()["reason"]) == (1, None)
    denying = {one["rule"] for one in done.json()["findings"] if one["result"] in DENY}
    assert denying == {"collateral-stale"}
    patient = "  tolerate_stale: {tcb_info: 7d, qe_identity: 7d, pck_crl: 7d, root_ca_crl: 7d}"
    tolerant = write(tmp_path / "patient.yaml", evidence, patient)
    accepted = cli.good("appraise", evidence.quote(), *late, "--policy", tolerant, "--json").json()
    stale = [one for one in accepted["findings"] if one["rule"] == "collateral-stale"]
    assert "warned" in {one["result"] for one in stale}


def test_the_default_is_the_built_in_policy(cli: Cli, evidence: Evidence) -> None:
    done = cli("appraise", evidence.quote(), *evidence.judged, "--json")
    assert done.code == 1
    assert done.json()["policy"]["sha256"] == sha256(default_text(Tee.TDX)).hexdigest()


def test_a_policy_that_does_not_load_is_66(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.yaml", evidence, "no_such_key: 1\nnor_this: 2")
    done = cli("appraise", evidence.quote(), *evidence.judged, "--policy", broken)
    assert done.code == 66
    assert done.out == ""
    assert "no_such_key: unknown key" in done.err
    assert "nor_this: unknown key" in done.err
    assert cli("appraise", evidence.quote(), "--policy", tmp_path / "none.yaml").code == 66
