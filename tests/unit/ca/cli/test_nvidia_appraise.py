# SPDX-License-Identifier: Apache-2.0
"""`attestca appraise` on real NVIDIA evidence: every case and variant, under a wide policy and the strict default."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from policies.loader import default_text
from tests import nvidia_vectors as vectors
from tests.unit.ca.cli.nvidia_cases import files_of, judged, written
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Done

COMPLETE = "h100-550.90.07"
SWITCH = "ls10-96.10.55.00.01"
DENY = {"fail", "missing"}
EXITS = {"rejected": (1, "denied"), "undetermined": (2, "undetermined")}
MEMBERS = [
    *("verdict", "reason", "tee", "tcb", "revocation", "claims", "checked_at"),
    *("policy", "note", "findings"),
]
WIDE = """\
name: any-devices
version: 3
match: {tee: tdx}
reference_sets: {release: []}
tdx: {measurements: [release]}
nvidia:
  gpus: {min: 0, max: 16}
  switches: {min: 0, max: 16}
  models: [GH100, GB100, GB202, LS10]
  modes: [spt, mpt, ppcie]
  driver: {no_minimum: the recorded ones are old}
  vbios: {no_minimum: the recorded ones are old}
"""
# What a policy says of devices whose manifests' signers no answer of the day speaks of; it cannot be relaxed.
UNKNOWN = {"device-revocation-unknown"}


@pytest.fixture
def wide(tmp_path: Path) -> tuple[str, str]:
    path = tmp_path / "wide.yaml"
    path.write_text(WIDE)
    return "--policy", str(path)


def denying(done: Done) -> set[str]:
    return {one["rule"] for one in done.json()["findings"] if one["result"] in DENY}


def check(done: Done, expect: dict[str, Any]) -> None:
    """The verdict of the case, and beside the missing answers exactly its findings."""
    said = done.json()
    if expect["verdict"] == "verified":
        assert (done.code, said["verdict"], said["reason"]) == (1, "denied", None)
        assert denying(done) == {*UNKNOWN, *expect["policy_findings"]}
    else:
        assert (done.code, said["verdict"]) == EXITS[expect["verdict"]]
        assert said["reason"]["code"] == expect["code"]
        assert said["findings"] == []


@pytest.mark.parametrize("name", vectors.names())
def test_every_case(cli: Cli, wide: tuple[str, str], name: str) -> None:
    vector = vectors.load(name)
    done = cli("appraise", *files_of(name), *judged(vector), *wide, "--json")
    check(done, vector.expect)
    assert list(done.json()) == MEMBERS


@pytest.mark.parametrize(("name", "file"), vectors.variants())
def test_every_variant(
    cli: Cli, wide: tuple[str, str], tmp_path: Path, name: str, file: str
) -> None:
    vector = vectors.variant(name, file)
    check(
        cli("appraise", *written(vector, tmp_path), *judged(vector), *wide, "--json"), vector.expect
    )


def test_the_strict_default(cli: Cli) -> None:
    """A driver that no bulletin lists any more, and manifests whose signers no answer of that day is about."""
    done = cli("appraise", *files_of(COMPLETE), *judged(vectors.load(COMPLETE)), "--json")
    said = done.json()
    assert (done.code, said["verdict"], said["reason"]) == (1, "denied", None)
    assert denying(done) == {"driver-minimum", *UNKNOWN}
    default = default_text(Tee.TDX, devices=True)
    assert said["policy"]["sha256"] == sha256(default).hexdigest()
    assert list(said["minimums"]) == ["version", "sha256"]
    assert said["note"].endswith("get no certificate")
    (unknown,) = [one for one in said["findings"] if one["rule"] == "device-revocation-unknown"]
    assert (unknown["path"], unknown["result"]) == ("devices[0].revocation", "missing")
    assert "41431D480FE5E87274" not in {text for one in said["findings"] for text in one.values()}


def test_the_strict_default_without_answers(cli: Cli) -> None:
    at = ("--at", vectors.load(COMPLETE).at.isoformat(), "--json")
    done = cli("appraise", *files_of(COMPLETE), *at)
    assert denying(done) == {"driver-minimum", *UNKNOWN}
    assert done.json()["revocation"]["device_chains"] == "not-checked"


def test_the_strict_default_wants_gpus(cli: Cli) -> None:
    done = cli("appraise", *files_of(SWITCH), *judged(vectors.load(SWITCH)), "--json")
    assert denying(done) == {"device-count", "device-model", *UNKNOWN}


def test_answers_past_their_dates_are_the_policys_to_judge(
    cli: Cli, wide: tuple[str, str], tmp_path: Path
) -> None:
    late = [*judged(vectors.load(COMPLETE))[:-1], "2025-08-25T12:00:00Z", "--json"]
    assert cli("verify", *files_of(COMPLETE), *late).json()["verdict"] == "rejected"
    assert denying(cli("appraise", *files_of(COMPLETE), *late, *wide)) == {
        "collateral-stale",
        *UNKNOWN,
    }
    path = tmp_path / "patient.yaml"
    path.write_text(WIDE + "  tolerate_stale: {ocsp: 7d}\n")
    patient = cli("appraise", *files_of(COMPLETE), *late, "--policy", path)
    assert denying(patient) == UNKNOWN
    assert "warned" in {
        one["result"] for one in patient.json()["findings"] if one["rule"] == "collateral-stale"
    }


def test_what_people_see(cli: Cli) -> None:
    printed = cli("appraise", *files_of(COMPLETE), *judged(vectors.load(COMPLETE))).out
    assert printed.startswith(
        "verdict    denied\npolicy     tdx-nvidia-strict@1\nnote       devices alone"
    )
    titles = ("What denies", "Tolerated by the policy", "\nHeld", "\nDevices", "\nDevice 0: gpu")
    order = [printed.index(title) for title in titles]
    assert order == sorted(order)
    assert "driver-minimum" in printed[order[0] : order[1]]


def test_what_people_see_of_a_mismatch(cli: Cli) -> None:
    name = "h100-580.159.03-feature-flag-spt"
    printed = cli("appraise", *files_of(name), *judged(vectors.load(name))).out
    assert "measurement-mismatch: device 0: measurements 9 differ" in printed
    assert "What denies" not in printed
    assert "Genuine devices, not verified" in printed


def test_a_policy_that_is_about_no_devices(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "cpu.yaml"
    path.write_bytes(default_text(Tee.TDX))
    vector = vectors.load(COMPLETE)
    done = cli("appraise", *files_of(COMPLETE), *judged(vector), "--policy", path, "--json")
    assert (done.code, denying(done)) == (1, {"device-unexpected"})
    assert "minimums" not in done.json()
