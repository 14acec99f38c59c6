# SPDX-License-Identifier: Apache-2.0
"""`attestca verify --nras-token`: recorded tokens of NVIDIA's service, and those of a fake one beside its devices."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ca.cli import devices, nras
from tests import nvidia_vectors as vectors
from tests.unit.ca.cli.nvidia_bench import AT, NONCE, Bench
from tests.unit.ca.cli.nvidia_cases import EXITS, files_of

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.nvidia.hardware import NvidiaDevice
    from tests.cli_lab import Cli, Done

RECORDED = "nras-hgx-h100x8-ppcie-token"
NO_KEYS = '{"keys": []}'


def outcome(done: Done) -> tuple[int, str, str | None]:
    said = done.json()
    return done.code, said["verdict"], said["reason"] and said["reason"]["code"]


# recorded tokens


def recorded() -> list[Any]:
    names = sorted(path.parent.name for path in vectors.NVIDIA.glob("*/jwks.json"))
    return names or [pytest.param("absent", id="absent")]


def token_of(name: str) -> tuple[list[str], dict[str, Any]]:
    """The options for a folder with tokens, and what is expected of it."""
    expected = json.loads(vectors.document(f"{name}/expected.json"))
    folder = vectors.NVIDIA / name
    (token,) = [*folder.glob("nras_response.json"), *folder.glob("gpu_attestation_*.json")]
    keys = folder / "jwks.json"
    return ["--nras-token", str(token), "--jwks", str(keys)], expected


@pytest.mark.parametrize("name", recorded())
def test_every_recorded_token(cli: Cli, name: str) -> None:
    options, expected = token_of(name)
    judged = ("--nonce", expected["nonce"], "--at", expected["at"])
    done = cli("verify", *options, *judged, "--json")
    expect = expected["expect"]
    assert outcome(done) == (EXITS[expect["verdict"]], expect["verdict"], expect["code"])
    assert list(done.json()) == ["verdict", "reason", "bound", "tokens", "checked_at"]
    assert bool(done.json()["tokens"]) == (expect["verdict"] == "verified")


def test_what_a_recorded_token_says(cli: Cli) -> None:
    options, expected = token_of(RECORDED)
    said = cli.good("verify", *options, "--at", expected["at"], "--json").json()
    assert said["bound"] is False
    theirs = [one for one in expected["tokens"] if "ueid" in one]
    assert [str(one["ueid"]) for one in said["tokens"]] == [one["ueid"] for one in theirs]
    first = said["tokens"][0]
    assert (first["name"], first["kind"], first["hwmodel"]) == ("GPU-0", "gpu", "GH100")
    assert first["driver_version"] == expected["driver_version"]
    assert first["nonce"] == expected["nonce"]
    assert first["claims"]["claims_version"] == "2.0"
    assert first["claims"]["revocation"] == "not-checked"
    printed = cli.good("verify", *options, "--at", expected["at"]).out
    for word in ("compared with none", "not compared with evidence", "GPU-7", "595.71.05"):
        assert word in printed


def test_a_recorded_token_past_its_time(cli: Cli) -> None:
    options, _ = token_of(RECORDED)
    done = cli("verify", *options, "--at", "2026-09-10T20:00:00Z", "--json")
    assert outcome(done) == (1, "rejected", "token-invalid")


def test_a_recorded_token_for_another_nonce(cli: Cli) -> None:
    options, expected = token_of(RECORDED)
    done = cli("verify", *options, "--nonce", "ab" * 32, "--at", expected["at"], "--json")
    assert outcome(done) == (1, "rejected", "token-invalid")


def test_an_unsigned_token_of_a_local_tool(cli: Cli) -> None:
    """Whatever keys are given: it is nobody's word."""
    keys = vectors.NVIDIA / RECORDED / "jwks.json"
    expect = json.loads(vectors.document("local-token-alg-none/expected.json"))["expect"]
    token = vectors.NVIDIA / "local-token-alg-none" / "gpu_attestation_h100.json"
    done = cli("verify", "--nras-token", token, "--jwks", keys, "--json")
    assert outcome(done) == (1, expect["verdict"], expect["code"])


def test_keys_that_came_with_a_token_are_never_used(cli: Cli, tmp_path: Path) -> None:
    options, expected = token_of(RECORDED)
    answer = json.loads(vectors.document(f"{RECORDED}/nras_response.json"))
    keys = json.loads(vectors.document(f"{RECORDED}/jwks.json"))
    bundle, none = tmp_path / "bundle.json", tmp_path / "none.json"
    bundle.write_text(json.dumps({"detached_eat": answer, "jwks": keys, "keys": keys["keys"]}))
    none.write_text(NO_KEYS)
    at = ("--at", expected["at"], "--json")
    done = cli("verify", "--nras-token", bundle, "--jwks", none, *at)
    assert outcome(done) == (1, "rejected", "token-key-unknown")
    assert cli("verify", "--nras-token", bundle, *options[2:], *at).code == 0


@pytest.mark.parametrize(
    ("name", "file", "at", "code"),
    [
        (
            "h100-550.90.07",
            "nras_v3_token_detached_eat.json",
            "2025-06-11T00:31:58Z",
            "token-key-unknown",
        ),
        (
            "ls10-96.10.55.00.01",
            "nras_staging_token_detached_eat.json",
            "2025-06-28T23:58:40Z",
            "token-invalid",
        ),
    ],
)
def test_recorded_tokens_without_their_keys(
    cli: Cli, name: str, file: str, at: str, code: str
) -> None:
    """Genuine devices; of their tokens no key set was kept, and one is of NVIDIA's staging service."""
    vectors.load(name)
    keys = vectors.NVIDIA / RECORDED / "jwks.json"
    token = ("--nras-token", vectors.NVIDIA / name / file, "--jwks", keys)
    files = [path for path in files_of(name) if path.suffix != ".xml"]
    done = cli("verify", *files, *token, "--at", at, "--json")
    assert outcome(done) == (1, "rejected", code)
    assert done.json()["claims"] is None


# tokens beside the devices of a fake NVIDIA


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench.create(tmp_path)
    for module in (devices, nras):
        monkeypatch.setattr(module, "builtin", made.anchors)
    return made


def test_the_services_word_in_place_of_manifests(cli: Cli, bench: Bench) -> None:
    gpus = bench.nvidia.gpu(), bench.nvidia.gpu()
    files, token = bench.evidence(*gpus), bench.token(*gpus)
    assert outcome(cli("verify", files, *AT, "--json")) == (2, "undetermined", "incomplete")
    said = cli.good("verify", files, *token, *AT, "--json").json()
    first, second = said["claims"]["devices"]
    assert (first["rims"], first["coverage"]["compared"]) == ([], [])
    assert first["nras"]["claims_version"] == second["nras"]["claims_version"] == "3.0"
    assert said["revocation"] == {"device_chains": "good", "rim_chains": "not-checked"}
    printed = cli.good("verify", files, *token, *AT).out
    assert "appraised   nras" in printed
    assert "NRAS        accepted, claims 3.0, until 2026-11-25T14:00:00+00:00" in printed
    assert "not covered" not in printed


def test_the_services_word_and_ours(cli: Cli, bench: Bench) -> None:
    gpu = bench.nvidia.gpu()
    given = (*bench.token(gpu), *bench.rims())
    printed = cli.good("verify", bench.evidence(gpu), *given, "--nonce", NONCE.hex(), *AT).out
    for line in ("appraised    both", "NRAS         accepted", "not covered  ", "as asked for"):
        assert line in printed


def test_switches_have_a_token_of_their_own(cli: Cli, bench: Bench) -> None:
    system = bench.nvidia.ppcie()
    files = bench.evidence(*system)
    gpus = bench.token(*system[:8])
    switches = bench.token(*system[8:], kind="switch")
    assert cli("verify", files, *gpus, *switches[:2], *AT).code == 0
    done = cli("verify", files, *gpus, *AT, "--json")
    assert outcome(done) == (1, "rejected", "token-invalid")
    assert "tokens of 8 devices, evidence of 12" in done.json()["reason"]["detail"]


def test_a_token_about_another_device(cli: Cli, bench: Bench) -> None:
    gpu, other = bench.nvidia.gpu(), bench.nvidia.gpu()
    done = cli("verify", bench.evidence(gpu), *bench.token(other), *AT, "--json")
    assert outcome(done) == (1, "rejected", "token-invalid")
    assert "no token is about device 0" in done.json()["reason"]["detail"]


def test_a_token_for_another_nonce(cli: Cli, bench: Bench) -> None:
    """Also where the command line names none: the report has one."""
    gpu = bench.nvidia.gpu()
    token = bench.token(gpu, nonce=NONCE[::-1])
    done = cli("verify", bench.evidence(gpu), *token, *AT, "--json")
    assert outcome(done) == (1, "rejected", "token-invalid")


def change_measurement(gpu: NvidiaDevice) -> None:
    first, *others = gpu.written.blocks
    gpu.written = gpu.written.but(blocks=(replace(first, value=b"\xee" * 48), *others))


def test_a_signed_refusal(cli: Cli, bench: Bench) -> None:
    gpu = bench.nvidia.gpu()
    change_measurement(gpu)
    token = bench.token(gpu)
    files = bench.evidence(gpu)
    assert outcome(cli("verify", *token, *AT, "--json")) == (1, "rejected", "nras-refused")
    assert outcome(cli("verify", files, *token, *AT, "--json")) == (1, "rejected", "nras-refused")
    ours = cli("verify", files, *bench.rims(), *AT, "--json")
    assert outcome(ours) == (1, "rejected", "measurement-mismatch")


def test_a_service_that_accepts_what_we_refuse(cli: Cli, bench: Bench) -> None:
    gpu = bench.nvidia.gpu()
    token = bench.token(gpu)
    change_measurement(gpu)
    files, given = bench.evidence(gpu), (*token, *bench.rims())
    done = cli("verify", files, *given, *AT, "--json")
    assert outcome(done) == (1, "rejected", "verifiers-disagree")
    assert "Genuine devices, not verified" in cli("verify", files, *given, *AT).out


def test_tokens_alone(cli: Cli, bench: Bench) -> None:
    token = bench.token(bench.nvidia.gpu())
    said = cli.good("verify", *token, "--nonce", NONCE.hex(), *AT, "--json").json()
    assert (said["bound"], len(said["tokens"])) == (True, 1)
    assert said["tokens"][0]["claims"]["revocation"] == "good"
    assert "as asked for" in cli.good("verify", *token, "--nonce", NONCE.hex(), *AT).out
    assert said["checked_at"] == "2026-11-25T13:00:00Z"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "evidence is wanted, or --nras-token"),
        (("--nonce", "ab" * 32), "evidence is wanted, or --nras-token"),
        (("--nras-token", "t"), "--nras-token and --jwks go together"),
        (("--nras-token", "t", "--jwks", "k", "--rim", "r"), "go --jwks and --nonce"),
        (("--nras-token", "t", "--jwks", "k", "--ocsp", "o"), "go --jwks and --nonce"),
        (("--nras-token", "t", "--jwks", "k", "--collateral", "c"), "go --jwks and --nonce"),
    ],
)
def test_wrong_usage(cli: Cli, options: tuple[str, ...], says: str) -> None:
    done = cli("verify", *options)
    assert (done.code, done.out, says in done.err) == (64, "", True)


def test_a_key_set_without_tokens(cli: Cli, bench: Bench) -> None:
    gpu = bench.nvidia.gpu()
    done = cli("verify", bench.evidence(gpu), *bench.token(gpu)[2:], *AT)
    assert (done.code, "go together" in done.err) == (64, True)


def test_files_that_are_not_there(cli: Cli, bench: Bench) -> None:
    token = bench.token(bench.nvidia.gpu())
    assert cli("verify", *token[:3], bench.folder / "none").code == 66
    assert cli("verify", "--nras-token", bench.folder / "none", *token[2:]).code == 66


def test_a_file_without_tokens(cli: Cli, bench: Bench) -> None:
    token = bench.token(bench.nvidia.gpu())
    done = cli("verify", "--nras-token", token[3], *token[2:], *AT, "--json")
    assert outcome(done) == (1, "rejected", "token-invalid")


def test_what_people_see_of_a_token_that_is_refused(cli: Cli, bench: Bench) -> None:
    token = bench.token(bench.nvidia.gpu(), nonce=NONCE[::-1])
    printed = cli("verify", *token, "--nonce", NONCE.hex(), *AT).out
    assert printed.startswith("verdict    rejected\nreason     token-invalid: overall token")
    assert len(printed.splitlines()) == 3
