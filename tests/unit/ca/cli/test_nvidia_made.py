# SPDX-License-Identifier: Apache-2.0
"""`attestca verify` on devices of a fake NVIDIA: whole systems, revocation, and everything that is wrong usage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.x509 import ocsp

from ca.cli import devices
from simulator.nvidia import devices as fake
from simulator.nvidia.answers import answers as answers_about
from simulator.nvidia.reports import NONCE
from simulator.nvidia.rims import CHAIN
from tests import nvidia_devices
from tests.nvidia_devices import Exhibit, System
from tests.unit.ca.cli.nvidia_cases import EXITS
from tests.unit.ca.cli.nvidia_desk import AT, Desk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Evidence


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "builtin", nvidia_devices.anchors)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_whole_system(cli: Cli, desk: Desk) -> None:
    system = nvidia_devices.ppcie()
    files = desk.lay(*system.exhibits)
    said = cli.good("verify", *files, "--nonce", NONCE.hex(), *AT, "--json").json()
    claims = said["claims"]
    assert (claims["topology"], claims["mode"], claims["bound"]) == ("ppcie", "ppcie", True)
    assert [one["kind"] for one in claims["devices"]] == ["gpu"] * 8 + ["switch"] * 4
    printed = cli.good("verify", *files, *AT).out
    for word in (
        *("8 GPUs, 4 switches", "ppcie: each GPU and each switch names", "compared with none"),
        *("Device 11: switch", "0-7", "8-11"),
    ):
        assert word in printed
    assert len([line for line in printed.splitlines() if " rim-driver " in line]) == 1


def test_a_system_that_lacks_a_switch(cli: Cli, desk: Desk) -> None:
    files = desk.lay(*nvidia_devices.ppcie().without(11).exhibits)
    done = cli("verify", *files, *AT, "--json")
    assert (done.code, done.json()["reason"]["code"]) == (EXITS["rejected"], "topology")
    printed = cli("verify", *files, *AT).out
    assert "Genuine devices, not verified" in printed
    assert "proven" not in printed


def test_good_answers_about_everything(cli: Cli, desk: Desk) -> None:
    exhibit = Exhibit().answered()
    said = cli.good("verify", *desk.lay(exhibit), *desk.answer(exhibit), *AT, "--json").json()
    assert said["revocation"] == {"device_chains": "good", "rim_chains": "good"}
    part = cli.good("verify", *desk.lay(exhibit), *AT, "--json").json()
    assert part["revocation"] == {"device_chains": "not-checked", "rim_chains": "not-checked"}


def test_one_device_without_answers(cli: Cli, desk: Desk) -> None:
    """The set is as good as its worst."""
    first = Exhibit().answered()
    second = Exhibit(device=fake.device(1))
    files = desk.lay(first, second)
    said = cli.good("verify", *files, *desk.answer(first), *AT, "--json").json()
    assert said["revocation"] == {"device_chains": "not-checked", "rim_chains": "good"}
    assert [one["revocation"] for one in said["claims"]["devices"]] == ["good", "not-checked"]


def test_a_revoked_signer(cli: Cli, desk: Desk) -> None:
    revoked = answers_about(CHAIN, status=ocsp.OCSPCertStatus.REVOKED)
    exhibit = Exhibit().but(ocsp=tuple(one.der for one in revoked))
    done = cli("verify", *desk.lay(exhibit), *desk.answer(exhibit), *AT, "--json")
    said = done.json()
    assert (done.code, said["reason"]["code"]) == (1, "certificate-revoked")
    assert said["revocation"] == {"device_chains": "revoked", "rim_chains": "revoked"}


def test_a_report_as_text_gets_a_hint(cli: Cli, desk: Desk) -> None:
    exhibit = Exhibit()
    report = desk.put("report.txt", exhibit.evidence.report.hex().encode())
    chain = desk.put("chain", exhibit.evidence.chain_pem)
    done = cli("verify", report, chain, *AT, "--json")
    assert (done.code, done.json()["reason"]["code"]) == (1, "malformed")
    assert "this looks like text" in done.json()["reason"]["detail"]


def test_too_many_answers(cli: Cli, desk: Desk) -> None:
    for place in range(257):
        desk.put(f"ocsp/{place}", b"\x30" + place.to_bytes(2, "big"))
    done = cli("verify", *desk.lay(Exhibit()), "--ocsp", desk.folder / "ocsp", *AT, "--json")
    assert (done.code, done.json()["reason"]["code"]) == (1, "too-large")


@pytest.mark.parametrize("nonce", ["", "ab", "ab" * 31, "ab" * 33, "zz" * 32, "0x" + "ab" * 31])
def test_a_nonce_that_is_none(cli: Cli, desk: Desk, nonce: str) -> None:
    done = cli("verify", *desk.lay(Exhibit()), "--nonce", nonce, *AT)
    assert (done.code, done.out) == (64, "")
    assert "--nonce: 32 bytes in hexadecimal" in done.err


def test_a_folder_of_manifests(cli: Cli, desk: Desk) -> None:
    files = desk.lay_devices(Exhibit())
    rims = desk.lay_rims(Exhibit())
    (desk.folder / "rims" / "older").mkdir()
    for given in (["--rim", desk.folder / "rims"], [one for rim in rims for one in ("--rim", rim)]):
        assert cli("verify", *files, *given, *AT).code == 0
    desk.put("rims/README", b"manifests of today")
    done = cli("verify", *files, "--rim", desk.folder / "rims", *AT)
    assert (done.code, "no reference manifest" in done.err) == (66, True)


def test_files_that_cannot_be_read(cli: Cli, desk: Desk) -> None:
    files = desk.lay(Exhibit())
    assert cli("verify", *files, "--rim", desk.folder / "none").code == 66
    assert cli("verify", *files, "--ocsp", desk.folder / "none").code == 66
    desk.put("ocsp/README", b"answers of today")
    done = cli("verify", *files, "--ocsp", desk.folder / "ocsp")
    assert (done.code, "no OCSP answer in DER" in done.err) == (66, True)


def test_a_folder_in_the_folder_of_answers_is_passed_over(cli: Cli, desk: Desk) -> None:
    exhibit = Exhibit().answered()
    option = desk.answer(exhibit)
    (desk.folder / "ocsp" / "older").mkdir()
    said = cli.good("verify", *desk.lay(exhibit), *option, *AT, "--json").json()
    assert said["revocation"]["device_chains"] == "good"


def test_a_damaged_answer(cli: Cli, desk: Desk) -> None:
    desk.put("ocsp/a", b"\x30\x00")
    done = cli("verify", *desk.lay(Exhibit()), "--ocsp", desk.folder / "ocsp", *AT, "--json")
    assert (done.code, done.json()["reason"]["code"]) == (1, "ocsp-invalid")


def test_manifests_alone(cli: Cli, desk: Desk) -> None:
    (rim,) = desk.lay(Exhibit())[2:3]
    done = cli("verify", rim)
    assert (done.code, "no device" in done.err) == (64, True)


def test_a_report_without_its_chain(cli: Cli, desk: Desk) -> None:
    report = desk.lay(Exhibit())[0]
    done = cli("verify", report)
    assert (done.code, "one certificate chain" in done.err) == (64, True)


def test_options_of_another_technology(cli: Cli, desk: Desk, evidence: Evidence) -> None:
    files = desk.lay(Exhibit())
    done = cli("verify", *files, "--collateral", evidence.collateral)
    assert (done.code, "--collateral is for CPUs" in done.err) == (64, True)
    folder = desk.folder / "ocsp"
    folder.mkdir()
    for option in (("--rim", files[2]), ("--ocsp", folder), ("--nonce", NONCE.hex())):
        done = cli("verify", evidence.quote(), *evidence.judged, *option)
        assert (done.code, "are for NVIDIA devices" in done.err) == (64, True)


def test_reference_values_are_a_cpus(cli: Cli, desk: Desk) -> None:
    done = cli("refvalues", "capture", *desk.lay(Exhibit()))
    assert (done.code, done.out) == (64, "")
    assert "evidence of NVIDIA devices: reference values are a CPU's" in done.err


def test_sixteen_devices_are_enough(cli: Cli, desk: Desk) -> None:
    system = System(tuple(Exhibit(device=fake.device(number)) for number in range(17)))
    listed = [
        {"evidence": one.evidence.report.hex(), "certificate": "AA=="} for one in system.exhibits
    ]
    path = desk.put("list", json.dumps(listed).encode())
    assert cli("verify", path, *AT, "--json").json()["reason"]["code"] == "too-large"
    done = cli("verify", *desk.lay(*system.exhibits), *AT, "--json")
    assert (done.code, done.json()["reason"]["code"]) == (1, "too-large")
