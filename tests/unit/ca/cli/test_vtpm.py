# SPDX-License-Identifier: Apache-2.0
"""`attestca verify` and `appraise` of virtual TPMs: every case of the vectors gives what it expects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests import tdx_vectors, vtpm_vectors
from tests.vtpm_vectors import GCE, as_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli

EXITS = {"verified": 0, "rejected": 1, "undetermined": 2}
OF_TD = "tdx4-00806f-azure-vtpm-septve-off"  # Intel's collateral for the platform of azure-tdx-v1
LOGS = ("gce-ubuntu-2404-sevsnp-log", "gke-sp800155-log")


def expect(name: str) -> dict[str, Any]:
    folder = tdx_vectors.ROOT / "vtpm" / name
    if not folder.is_dir():
        pytest.skip(tdx_vectors.NOTICE)
    said: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    return said


def written(folder: Path, **parts: bytes) -> list[Path]:
    """Files of these contents, in the order of their names; none for what is empty."""
    for name, data in parts.items():
        (folder / name).write_bytes(data)
    return sorted(folder / name for name, data in parts.items() if data)


def quote_files(folder: Path, name: str) -> list[Path]:
    """What a case holds, decoded, each in a file of its own."""
    vector = vtpm_vectors.load(name)
    td_quote = b""
    if name == "azure-tdx-v1":
        text = (tdx_vectors.ROOT / "vtpm" / name / "evidence.json").read_text()
        td_quote = as_bytes(json.loads(text)["td_quote"])
    return written(
        folder,
        attest=vector.attest,
        signature=vector.signature,
        pcrs=vector.pcrs,
        hcl=vector.hcl,
        vcek=vector.vcek,
        ak=vector.ak_der,
        td_quote=td_quote,
    )


QUOTES = (
    *vtpm_vectors.AZURE,
    "plain-tpm-quote",
    "partial-pcr-selection",
)


@pytest.mark.parametrize("name", QUOTES)
def test_every_quote(cli: Cli, tmp_path: Path, name: str) -> None:
    wanted = expect(name)["expect"]
    done = cli("verify", *quote_files(tmp_path, name), "--json")
    said = done.json()
    code = said["reason"] and said["reason"]["code"]
    assert (said["verdict"], code) == (wanted["verdict"], wanted["code"])
    assert done.code == EXITS[wanted["verdict"]]


@pytest.mark.parametrize("bank", ["sha256", "sha384"])
def test_a_quote_of_google(cli: Cli, tmp_path: Path, bank: str) -> None:
    """Its key says that it is a TPM's own; the log explains what the quote has, but for what a running system adds."""
    told = expect(GCE)
    vector = vtpm_vectors.load_gce()[bank]
    folder = tdx_vectors.ROOT / "vtpm" / GCE
    quote = written(tmp_path, attest=vector.attest, signature=vector.signature, pcrs=vector.pcrs)
    rest = [folder / "ak_tpmt_public.bin", folder / "event_log.bin"]
    said = cli("verify", *quote, *rest, "--json").json()
    assert said["verdict"] == told["expect"]["verdict"]
    assert said["reason"]["code"] == told["expect"]["code"]
    assert {str(index): value for _, index, value in said["tpm"]["pcrs"]} == vector.expected["pcrs"]
    states = {name: one["state"] for name, one in said["boot"]["registers"].items()}
    open_ = {int(name.removeprefix("pcr")) for name, state in states.items() if state != "replayed"}
    assert open_ <= set(vector.expected["pcrs_not_explained_by_log"])
    assert all(states[f"pcr{number}"] == "replayed" for number in range(10))


def test_a_quote_of_sha1_is_refused(cli: Cli, tmp_path: Path) -> None:
    vector = vtpm_vectors.load_gce()["sha1"]
    quote = written(tmp_path, attest=vector.attest, signature=vector.signature, pcrs=vector.pcrs)
    done = cli("verify", *quote, tdx_vectors.ROOT / "vtpm" / GCE / "ak_tpmt_public.bin", "--json")
    assert (done.code, done.json()["reason"]["code"]) == (1, "unsupported-format")


@pytest.mark.parametrize("name", LOGS)
def test_every_log(cli: Cli, name: str) -> None:
    told = expect(name)
    log = tdx_vectors.ROOT / "vtpm" / name / "event_log.bin"
    stated = [f"--register=pcr{number}={value}" for number, value in told["pcrs_sha256"].items()]
    done = cli("verify", log, *stated, "--json")
    boot = done.json()["boot"]
    assert (done.code, boot["verdict"]) == (EXITS[told["expect"]["verdict"]], "verified")
    assert boot["claims"]["secure_boot"] == told["expect"]["claims"]["secure_boot"]


def test_a_td_of_azure_under_the_strict_default(cli: Cli, tmp_path: Path) -> None:
    """With Intel's word for its platform it verifies, and the policy finds what the folder names beside the TCB."""
    collateral = tdx_vectors.load(OF_TD)
    bundle = tdx_vectors.ROOT / "tdx" / OF_TD / "collateral.json"
    at = collateral.at.isoformat()
    files = quote_files(tmp_path, "azure-tdx-v1")
    done = cli("verify", *files, "--collateral", bundle, "--at", at, "--json")
    said = done.json()
    assert (said["verdict"], said["claims"]["provider"]) == ("verified", "azure")
    assert said["tcb"]["status"] == collateral.expected["expect"]["tcb_status"]
    assert said["claims"]["tpm"]["pcrs"]

    judged = cli("appraise", *files, "--collateral", bundle, "--at", at, "--json").json()
    denying = [one for one in judged["findings"] if one["result"] in {"fail", "missing"}]
    rules = {one["rule"] for one in denying} - {"measurement"}
    assert rules == set(collateral.expected["expect"]["policy_findings"])
    assert rules >= set(expect("azure-tdx-v1")["expect"]["policy_findings"])
    unpinned = {one["path"] for one in denying if one["rule"] == "measurement"}
    pcrs = {f"tpm.pcr{number}" for number in (4, 8, 9, 11, 12)}
    assert unpinned == {"reference_sets.release", "td.mr_td", *pcrs}


def test_it_is_shown_for_people(cli: Cli, tmp_path: Path) -> None:
    bundle = tdx_vectors.ROOT / "tdx" / OF_TD / "collateral.json"
    at = tdx_vectors.load(OF_TD).at.isoformat()
    files = quote_files(tmp_path, "azure-tdx-v1")
    shown = cli("verify", *files, "--collateral", bundle, "--at", at).out
    for words in ("provider azure", "Azure's paravisor", "Virtual TPM", "Quoted PCRs"):
        assert words in shown
    (tmp_path / "plain").mkdir()
    shown = cli("verify", *quote_files(tmp_path / "plain", "plain-tpm-quote")).out
    assert "ak-not-bound" in shown
    assert "Quoted PCRs" in shown


def test_a_log_beside_what_does_not_verify(cli: Cli, tmp_path: Path) -> None:
    """The log of another machine, whose registers are not those that the unverified quote tells of."""
    log = tdx_vectors.ROOT / "vtpm" / LOGS[0] / "event_log.bin"
    files = quote_files(tmp_path, "azure-tdx-v1")  # without Intel's word for its platform
    said = cli("verify", *files, log, "--json").json()
    assert (said["verdict"], said["reason"]["code"]) == ("rejected", "incomplete")
    boot = said["boot"]
    assert (boot["compared_with"], boot["reason"]["code"]) == (
        "evidence that did not verify",
        "register-mismatch",
    )
    states = {name: one["state"] for name, one in boot["registers"].items()}
    assert states["pcr4"] == "mismatch"
    assert states["pcr2"] == "replayed"  # a separator, and nothing else, in both
    assert not {name for name in states if name.startswith("rtmr")}
