# SPDX-License-Identifier: Apache-2.0
"""`attestca verify` and `appraise` on real SEV-SNP evidence: reports, Azure's HCL reports, virtual TPMs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from simulator.pki import pem
from tests import vtpm_vectors
from tests.unit.ca.cli import snp_cases

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli
    from tests.unit.ca.cli.snp_cases import SnpCase

EXITS = {"verified": 0, "rejected": 1, "undetermined": 2}
HCL = "*/hcl_report.bin"
WITH_CRL = "milan-v2-author-key-crl"


def denying(said: Any) -> set[str]:  # noqa: ANN401 - JSON
    return {one["rule"] for one in said["findings"] if one["result"] in {"fail", "missing"}}


def expected_findings(case: SnpCase) -> set[str]:
    """What must deny: the case's own, the pins that the default does not have, and the list that is not there."""
    listed = set() if case.crl else {"revocation-unknown"}
    return {*case.expect["policy_findings"], "measurement"} | listed


@pytest.mark.parametrize("name", snp_cases.names())
def test_every_real_report(cli: Cli, name: str) -> None:
    case = snp_cases.load(name)
    done = cli("verify", case.report, *case.certificates, *case.crl, *case.at, "--json")
    said = done.json()
    verdict = case.expect["verdict"]
    assert (done.code, said["verdict"]) == (EXITS[verdict], verdict)
    assert (said["reason"] or {"code": None})["code"] == case.expect["code"]
    assert (said["tee"], said["tcb"]) == ("snp", None)
    if verdict == "verified":
        assert said["revocation"] == {"vek_chain": "good" if case.crl else "not-checked"}
        body, expected = said["claims"]["body"], case.expected
        for field in ("measurement", "host_data", "report_data", "chip_id", "vmpl", "guest_svn"):
            assert body[field] == expected[field]
        assert said["claims"]["product"] == expected["product"]
        for tcb in ("reported_tcb", "committed_tcb", "current_tcb", "launch_tcb"):
            assert said["claims"][tcb]["raw"] == expected[tcb]["raw"]
    else:
        assert said["claims"] is None


@pytest.mark.parametrize("name", snp_cases.names())
def test_every_real_report_under_the_strict_default(cli: Cli, name: str) -> None:
    case = snp_cases.load(name)
    done = cli("appraise", case.report, *case.certificates, *case.crl, *case.at, "--json")
    said = done.json()
    assert (done.code, said["verdict"]) == (1, "denied")
    if case.expect["verdict"] == "verified":
        assert said["reason"] is None
        assert denying(said) == expected_findings(case)
    else:
        assert (said["reason"]["code"], said["findings"]) == (case.expect["code"], [])
    assert said["policy"]["name"] == "snp-strict"


@pytest.mark.parametrize("name", snp_cases.names(HCL))
def test_every_real_hcl_report(cli: Cli, name: str) -> None:
    """Without the TPM's quote: what the paravisor says is verified, what the guest runs is not known."""
    case = snp_cases.load(name)
    files = (case.folder / "hcl_report.bin", *case.certificates)
    said = cli.good("verify", *files, *case.at, "--json").json()
    claims = said["claims"]
    assert (said["verdict"], claims["provider"], claims["tpm"]) == ("verified", "azure", None)
    assert claims["hcl"]["runtime_data_sha256"] == case.expected["report_data"][:64]
    assert claims["body"]["measurement"] == case.expected["measurement"]
    judged = cli("appraise", *files, *case.at, "--json")
    assert judged.code == 1
    assert denying(judged.json()) == expected_findings(case)
    shown = cli.good("verify", *files, *case.at).out
    assert "Azure's paravisor" in shown
    assert "Quoted PCRs" not in shown


@pytest.mark.parametrize("name", vtpm_vectors.AZURE_SNP)
def test_every_real_quote_of_a_virtual_tpm(cli: Cli, tmp_path: Path, name: str) -> None:
    vector = vtpm_vectors.load(name)
    contents = (vector.pcrs, vector.vcek, vector.signature, vector.attest, vector.hcl)
    files = []
    for number, content in enumerate(contents):
        path = tmp_path / f"file-{number}"
        path.write_bytes(content)
        files.append(path)
    at = ("--at", "2026-01-01T00:00:00Z")  # the folders name none
    tpm = cli.good("verify", *files, *at, "--json").json()["claims"]["tpm"]
    pcrs = vector.expected["pcrs_sha256"]
    assert tpm["pcrs"] == [["sha256", index, value] for index, value in enumerate(pcrs)]
    shown = cli.good("verify", *files, *at).out
    for word in ("Virtual TPM", "Quoted PCRs", pcrs[4]):
        assert word in shown


@pytest.mark.parametrize("how", ["last", "first", "option", "with certificates in one file"])
def test_certificates_and_list_come_in_any_order(cli: Cli, tmp_path: Path, how: str) -> None:
    case = snp_cases.load(WITH_CRL)
    leaf, chain = case.certificates
    (crl,) = case.crl
    arguments: tuple[str | Path, ...]
    if how == "last":
        arguments = (chain, leaf, case.report, crl)
    elif how == "first":
        arguments = (crl, case.report, leaf)
    elif how == "option":
        arguments = (leaf, case.report, "--collateral", crl)
    else:
        whole = tmp_path / "whole.pem"
        whole.write_text(pem(leaf.read_bytes()) + chain.read_text())
        arguments = (whole, case.report, crl)
    said = cli.good("verify", *arguments, *case.at, "--json").json()
    assert said["revocation"] == {"vek_chain": "good"}
    assert [part["part"] for part in said["claims"]["collateral"]] == ["crl"]


def test_a_list_past_its_dates(cli: Cli) -> None:
    """`verify` refuses it, for no policy is asked; `appraise` leaves it to the policy."""
    case = snp_cases.load(WITH_CRL)
    files = [case.report, *case.certificates, *case.crl]
    arguments = [*map(str, files), "--at", "2024-06-01T00:00:00Z"]
    done = cli("verify", *arguments, "--json")
    assert (done.code, done.json()["reason"]["code"]) == (1, "collateral-expired")
    assert "EXPIRED" in cli("verify", *arguments).out
    judged = cli("appraise", *arguments, "--json").json()
    assert judged["reason"] is None
    assert "collateral-stale" in denying(judged)


def test_without_its_vcek_it_is_undetermined(cli: Cli) -> None:
    case = snp_cases.load("genoa-v3-baremetal")
    done = cli("verify", case.report, *case.at, "--json")
    assert (done.code, done.json()["reason"]["code"]) == (2, "incomplete")
    assert done.json()["revocation"] == {"vek_chain": "not-checked"}
    judged = cli("appraise", case.report, *case.at, "--json")
    assert (judged.code, judged.json()["verdict"]) == (2, "undetermined")
    assert judged.json()["policy"]["name"] == "snp-strict"


def test_two_machines_at_once_are_wrong_usage(cli: Cli) -> None:
    case, other = snp_cases.load("genoa-v3-baremetal"), snp_cases.load("milan-v3-google")
    done = cli("verify", case.report, other.report, *case.certificates, *case.at)
    assert (done.code, done.out) == (64, "")
    assert cli("verify", *case.certificates, *case.at).code == 64


def test_two_lists_are_wrong_usage(cli: Cli) -> None:
    case = snp_cases.load(WITH_CRL)
    (crl,) = case.crl
    done = cli("verify", case.report, *case.certificates, crl, "--collateral", crl, *case.at)
    assert (done.code, done.out) == (64, "")
    assert "one revocation list" in done.err
