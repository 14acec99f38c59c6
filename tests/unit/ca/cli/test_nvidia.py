# SPDX-License-Identifier: Apache-2.0
"""`attestca verify` on real NVIDIA evidence: every case, variant and manifest; what is printed of them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests import nvidia_vectors as vectors
from tests.unit.ca.cli.nvidia_cases import EXITS, files_of, judged, listed, written

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cli_lab import Cli, Done

COMPLETE = "h100-550.90.07"
SWITCH = "ls10-96.10.55.00.01"
SYSTEM = "hgx-h100x8-ls10x4-590.12-ppcie"
RIMS = vectors.NVIDIA / "rims"
MEMBERS = ["verdict", "reason", "tee", "tcb", "revocation", "claims", "checked_at"]
NOT_CHECKED = {"device_chains": "not-checked", "rim_chains": "not-checked"}


def outcome(done: Done) -> tuple[int, str, str | None]:
    said = done.json()
    return done.code, said["verdict"], said["reason"] and said["reason"]["code"]


def wanted(expect: dict[str, Any]) -> tuple[int, str, str | None]:
    return EXITS[expect["verdict"]], expect["verdict"], expect["code"]


@pytest.mark.parametrize("name", vectors.names())
def test_every_case(cli: Cli, name: str) -> None:
    vector = vectors.load(name)
    done = cli("verify", *files_of(name), *judged(vector), "--json")
    assert outcome(done) == wanted(vector.expect)
    said = done.json()
    assert list(said) == MEMBERS
    assert (said["tee"], said["tcb"]) == ("nvidia", None)
    assert (said["claims"] is None) == (vector.expect["verdict"] != "verified")
    if not vector.ocsp:
        assert said["revocation"] == NOT_CHECKED


@pytest.mark.parametrize("name", vectors.names())
def test_every_case_by_options_and_backwards(cli: Cli, tmp_path: Path, name: str) -> None:
    """Manifests by option, files in other order and under other names: the verdict is the same."""
    vector = vectors.load(name)
    files = written(vector, tmp_path)
    rims = [text for path in files[: len(vector.rims)] for text in ("--rim", str(path))]
    evidence = files[len(vector.rims) :]
    done = cli("verify", *evidence, *rims, *judged(vector), "--json")
    assert outcome(done) == wanted(vector.expect)
    again = cli("verify", *files[::-1], *judged(vector), "--json")
    assert outcome(again) == wanted(vector.expect)


@pytest.mark.parametrize(("name", "file"), vectors.variants())
def test_every_variant(cli: Cli, tmp_path: Path, name: str, file: str) -> None:
    vector = vectors.variant(name, file)
    done = cli("verify", *written(vector, tmp_path), *judged(vector), "--json")
    assert outcome(done) == wanted(vector.expect)


def manifests(folder: str) -> list[Any]:
    found = [pytest.param(path, id=path.name) for path in sorted((RIMS / folder).glob("*.*"))]
    found = [one for one in found if one.id != "expected.json"]
    return found or [pytest.param(RIMS / "absent", id="absent")]


@pytest.mark.parametrize("folder", ["driver-negatives", "malformed"])
def test_every_bad_manifest_beside_good_ones(cli: Cli, folder: str) -> None:
    vector = vectors.load(COMPLETE)
    for case in manifests(folder):
        (path,) = case.values
        expect = json.loads((path.parent / "expected.json").read_bytes())["expect"]
        for how in ([path], ["--rim", path]):
            done = cli("verify", *files_of(COMPLETE), *how, *judged(vector), "--json")
            assert outcome(done) == wanted(expect), (case.id, done.out)


@pytest.mark.parametrize("folder", ["driver-gh100-550.144.03", "driver-gb100-595.91.07"])
def test_a_genuine_manifest_of_another_version_harms_nothing(cli: Cli, folder: str) -> None:
    vector = vectors.load(COMPLETE)
    (case,) = manifests(folder)
    done = cli("verify", *files_of(COMPLETE), *case.values, *judged(vector), "--json")
    assert outcome(done) == (0, "verified", None)


def test_a_genuine_manifest_of_another_version_is_no_substitute(cli: Cli) -> None:
    vector = vectors.load(COMPLETE)
    (case,) = manifests("driver-gh100-550.144.03")
    files = [path for path in files_of(COMPLETE) if path.name != "driver_rim.xml"]
    done = cli("verify", *files, *case.values, *judged(vector), "--json")
    assert outcome(done) == (2, "undetermined", "incomplete")
    assert "NV_GPU_DRIVER_GH100_550.90.07" in done.json()["reason"]["detail"]


def test_three_genuine_manifests_that_differ(cli: Cli) -> None:
    vector = vectors.load("h100-535.86.09-old-claims")
    expect = json.loads((RIMS / "vbios-96005E0001-three-issues" / "expected.json").read_bytes())[
        "expect"
    ]
    rims = [case.values[0] for case in manifests("vbios-96005E0001-three-issues")]
    done = cli("verify", *files_of(vector.name), *rims, *judged(vector), "--json")
    assert outcome(done) == wanted(expect)
    assert "several genuine manifests that differ" in done.json()["reason"]["detail"]


def test_the_claims_of_a_gpu(cli: Cli) -> None:
    vector = vectors.load(COMPLETE)
    said = cli.good("verify", *files_of(COMPLETE), *judged(vector), "--json").json()
    # the answers about the signers are dated later than the instant
    assert said["revocation"] == {"device_chains": "good", "rim_chains": "not-checked"}
    claims = said["claims"]
    assert list(claims) == ["tee", "mode", "topology", "nonce", "bound", "devices"]
    assert (claims["tee"], claims["mode"], claims["topology"]) == ("nvidia", "spt", "independent")
    assert (claims["nonce"], claims["bound"]) == (vector.nonce.hex(), True)
    (device,) = claims["devices"]
    expected = vector.expected
    names = ("driver_version", "vbios_version", "device_serial", "fwid")
    assert {name: device[name] for name in names} == {name: expected[name] for name in names}
    assert device["ueid"] == expected["leaf_serial_decimal"]
    assert [rim["rim_id"] for rim in device["rims"]] == expected["rim_ids"]
    assert len(device["coverage"]["compared"]) == expected["active_golden_values"]
    assert len(device["measurements"]) == 64
    assert said["checked_at"] == "2025-08-21T12:00:00Z"


def test_without_answers(cli: Cli) -> None:
    vector = vectors.load(COMPLETE)
    at = ("--at", vector.at.isoformat())
    said = cli.good("verify", *files_of(COMPLETE), *at, "--json").json()
    assert said["revocation"] == NOT_CHECKED
    (device,) = said["claims"]["devices"]
    assert device["revocation"] == "not-checked"
    assert said["claims"]["bound"] is False


def test_answers_past_their_dates(cli: Cli) -> None:
    """No policy is asked that could tolerate them; the claims stand beside the refusal."""
    late = [*judged(vectors.load(COMPLETE))[:-1], "2025-10-24T12:00:00Z"]
    done = cli("verify", *files_of(COMPLETE), *late, "--json")
    assert outcome(done) == (1, "rejected", "collateral-expired")
    said = done.json()
    assert said["reason"]["detail"].startswith("expired: ocsp-device since 2025-08-22T06:47:07")
    assert said["revocation"] == {"device_chains": "good", "rim_chains": "good"}
    assert said["claims"] is not None
    assert "EXPIRED" in cli("verify", *files_of(COMPLETE), *late).out


def test_another_nonce(cli: Cli) -> None:
    vector = vectors.load(COMPLETE)
    at = ("--at", vector.at.isoformat())
    done = cli("verify", *files_of(COMPLETE), "--nonce", "ab" * 32, *at, "--json")
    assert outcome(done) == (1, "rejected", "binding-mismatch")


def test_a_manifest_as_the_service_answers(cli: Cli, tmp_path: Path) -> None:
    vector = vectors.load(COMPLETE)
    files = [path for path in files_of(COMPLETE) if path.name != "driver_rim.xml"]
    xml = vector.rims["driver_rim.xml"]
    answer = {
        "id": "NV_GPU_DRIVER_GH100_550.90.07",
        "rim": base64.b64encode(xml).decode(),
        "sha256": hashlib.sha256(xml).hexdigest(),
    }
    path = tmp_path / "answer"
    path.write_text(json.dumps(answer))
    assert cli("verify", *files, path, *judged(vector)).code == 0
    assert cli("verify", *files, "--rim", path, *judged(vector)).code == 0
    assert cli("verify", *files, *judged(vector)).code == 2


def test_a_request_to_the_attestation_service(cli: Cli, tmp_path: Path) -> None:
    vector = vectors.load(SWITCH)
    request = {"nonce": "00" * 32, "evidence_list": json.loads(listed(vector)), "arch": "HOPPER"}
    path = tmp_path / "request"
    path.write_text(json.dumps(request))
    rim = vectors.NVIDIA / SWITCH / "switch_bios_rim.xml"
    said = cli.good("verify", path, "--rim", rim, *judged(vector), "--json").json()
    (device,) = said["claims"]["devices"]
    assert (device["kind"], device["family"]) == ("switch", "LS10")


def test_the_first_report_goes_with_the_first_chain(cli: Cli) -> None:
    """A GPU and a switch: each is genuine, and they are no system."""
    gpu, switch = files_of(COMPLETE), files_of(SWITCH)
    at = ("--at", "2026-01-01T00:00:00Z", "--json")
    reports, chains = [gpu[0], switch[0]], [gpu[1], switch[1]]
    assert outcome(cli("verify", *reports, *chains, *at)) == (1, "rejected", "topology")
    crossed = cli("verify", *reports, *chains[::-1], *at)
    assert outcome(crossed) == (1, "rejected", "signature")


def shown(cli: Cli, files: Sequence[Path], *options: str) -> str:
    return cli("verify", *files, *options).out


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_what_people_see_of_a_gpu(cli: Cli) -> None:
    vector = vectors.load(COMPLETE)
    printed = lines(shown(cli, files_of(COMPLETE), *judged(vector)))
    for line in (
        "verdict verified",
        "number 1 GPU, 0 switches",
        f"nonce {vector.nonce.hex()}, as asked for",
        "Device 0: gpu",
        "family GH100, GH100 A01 GSP BROM",
        f"serial {vector.expected['device_serial']}",
        "driver 550.90.07",
        "VBIOS 96.00.9F.00.01",
        "mode spt",
        f"FWID {vector.expected['fwid']}",
        "compared 33 of 64 measurements: 0-12, 21-40",
        "not covered 31: 13-20, 41-63",
        "mismatches none",
        "revocation device chain good",
        "0 driver NV_GPU_DRIVER_GH100_550.90.07 550.90.07 2026-06-01T02:08:29+00:00 not-checked",
        "0 ocsp-device 2025-08-21T06:47:07+00:00 2025-08-22T06:47:07+00:00",
    ):
        assert line in printed


def test_what_people_see_of_a_switch(cli: Cli) -> None:
    printed = lines(shown(cli, files_of(SWITCH), *judged(vectors.load(SWITCH))))
    assert {"number 0 GPUs, 1 switch", "Device 0: switch", "not covered none"} <= set(printed)
    assert not [line for line in printed if line.startswith(("driver", "FWID", "mode spt"))]


def test_what_people_see_of_a_system_without_its_manifests(cli: Cli) -> None:
    printed = lines(shown(cli, files_of(SYSTEM), *judged(vectors.load(SYSTEM))))
    assert "Genuine devices, not verified" in printed
    devices = [line for line in printed if " BROM " in line]
    assert len(devices) == 12
    assert devices[0].endswith(
        "590.12 96.00.A5.00.01 ppcie as certified NV_GPU_DRIVER_GH100_590.12"
    )
    assert devices[11].endswith("96.10.73.00.01 NV_SWITCH_BIOS_5612_0002_890_9610730001")
    assert any(
        line.startswith("topology ppcie: each GPU and each switch names") for line in printed
    )


def test_what_people_see_of_a_device_that_stands_for_four(cli: Cli, tmp_path: Path) -> None:
    vector = vectors.variant(SWITCH, "negative/same_switch_four_times.json")
    printed = shown(cli, written(vector, tmp_path), *judged(vector))
    assert "duplicate-device: devices 0 and 1 are one device" in printed
    assert "topology" not in printed


def test_what_people_see_of_a_mismatch(cli: Cli) -> None:
    name = "h100-580.159.03-feature-flag-spt"
    printed = shown(cli, files_of(name), *judged(vectors.load(name)))
    assert "measurement-mismatch: device 0: measurements 9 differ" in printed
    assert "Genuine devices, not verified" in printed


def test_what_people_see_of_a_report_without_firmware_id(cli: Cli) -> None:
    name = "h100-535.86.09-old-claims"
    (device,) = [
        line
        for line in lines(shown(cli, files_of(name), *judged(vectors.load(name))))
        if "BROM" in line
    ]
    assert " missing NV_GPU_DRIVER_GH100_535.86.09" in device


def test_what_people_see_of_a_transcript(cli: Cli) -> None:
    name = "gb100-fsp-mixed-blocks"
    printed = shown(cli, files_of(name), *judged(vectors.load(name)))
    assert "none is known" in printed
    assert "topology" not in printed


def test_what_people_see_of_a_forgery(cli: Cli) -> None:
    """Nothing that a report says is shown before its signature holds."""
    name = "h100-560-wrong-chain"
    printed = shown(cli, files_of(name), *judged(vectors.load(name)))
    assert printed.startswith("verdict    rejected\nreason     signature: ")
    assert len(printed.splitlines()) == 3
