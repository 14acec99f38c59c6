# SPDX-License-Identifier: Apache-2.0
"""Folders of real evidence given whole, as people have them: every file but `expected.json`, in any form and order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests import eventlog_vectors
from tests.tdx_vectors import NOTICE, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli

EXITS = {"verified": 0, "rejected": 1, "undetermined": 2}
WITHIN = (
    "2026-10-25T00:00:00+00:00"  # for folders that name no instant: their chains are valid then
)
OTHER_ROOT = "tdx4-preprod-root-10806f07"  # whose root lies beside it, as a certificate that nothing asks for


def folders(kind: str) -> list[Any]:
    """Names of all folders of evidence, as parameters of a test; one that will be skipped where there are none."""
    found = sorted(path.parent.name for path in (ROOT / kind).glob("*/expected.json"))
    return found or [pytest.param("absent", id="absent")]


def whole(kind: str, name: str) -> tuple[list[Path], dict[str, Any]]:
    folder = ROOT / kind / name
    if not folder.is_dir():
        pytest.skip(NOTICE)
    files = sorted(path for path in folder.iterdir() if path.name != "expected.json")
    told: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    return files, told


def outcome(said: dict[str, Any]) -> tuple[str, str | None]:
    return said["verdict"], said["reason"] and said["reason"]["code"]


@pytest.mark.parametrize("name", folders("vtpm"))
def test_of_virtual_tpms(cli: Cli, name: str) -> None:
    files, told = whole("vtpm", name)
    logs_alone = all(path.name == "event_log.bin" for path in files)
    values = told["pcrs_sha256"] if logs_alone else {}
    stated = [f"--register=pcr{pcr}={value}" for pcr, value in values.items()]
    expect = told["expect"]
    for given in (files, files[::-1]):
        done = cli("verify", *given, *stated, "--json")
        assert outcome(done.json()) == (expect["verdict"], expect["code"])
        assert done.code == EXITS[expect["verdict"]]


def test_a_quote_of_google_is_verified_by_its_key(cli: Cli) -> None:
    """From the message alone: the key, the one bank, and the log, which replays to it as far as it goes."""
    files, told = whole("vtpm", "gce-cos-85-nonce9009")
    (message,) = [path for path in files if path.suffix == ".pb"]
    done = cli("verify", message, "--json")
    said = done.json()
    quoted = {(bank, pcr): value for bank, pcr, value in said["tpm"]["pcrs"]}
    (of_bank,) = [one for one in told["quotes"] if one["bank"] == "sha256"]
    assert quoted == {("sha256", int(pcr)): value for pcr, value in of_bank["pcrs"].items()}
    assert said["tpm"]["extra_data"] == "9009"
    assert "the quote over sha256 is taken, not that over sha384" in done.err
    states = {name: one["state"] for name, one in said["boot"]["registers"].items()}
    assert states["pcr4"] == "replayed"


@pytest.mark.parametrize("name", folders("eventlog"))
def test_of_event_logs(cli: Cli, name: str) -> None:
    files, told = whole("eventlog", name)
    case = eventlog_vectors.load(name)
    beside = case.quote is not None or any(one.name == "tdreport.bin" for one in files)
    stated = [] if beside else [f"--register={one}={v.hex()}" for one, v in case.registers.items()]
    said = cli("verify", *files, *stated, "--json").json()
    expect = told["expect"]
    assert outcome(said["boot"]) == (expect["verdict"], expect["code"])


@pytest.mark.parametrize("name", folders("snp"))
def test_of_snp(cli: Cli, name: str) -> None:
    files, told = whole("snp", name)
    done = cli("verify", *files, "--at", told["at"], "--json")
    expect = told["expect"]
    assert outcome(done.json()) == (expect["verdict"], expect["code"])
    assert done.code == EXITS[expect["verdict"]]


@pytest.mark.parametrize("name", folders("tdx"))
def test_of_tdx(cli: Cli, name: str) -> None:
    files, told = whole("tdx", name)
    files = [path for path in files if path.suffix != ".pem"]
    done = cli("verify", *files, "--at", told.get("at") or WITHIN, "--json")
    said, expect = done.json(), told["expect"]
    assert outcome(said) == (expect["verdict"], expect["code"])
    assert done.code == EXITS[expect["verdict"]]
    if expect["verdict"] == "verified":
        assert said["tcb"]["status"] == expect["tcb_status"]
    assert ("a file of text holds no evidence" in done.err) == any(
        path.suffix == ".md" for path in files
    )


def test_a_certificate_beside_a_td_is_no_evidence_of_it(cli: Cli) -> None:
    """Its chain is in its quote: another is refused, not left out, for somebody meant something by it."""
    files, told = whole("tdx", OTHER_ROOT)
    done = cli("verify", *files, "--at", told["at"], "--json")
    assert (done.code, done.out) == (64, "")
    assert "a TDX quote stands alone" in done.err
