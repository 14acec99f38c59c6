# SPDX-License-Identifier: Apache-2.0
"""What the host chose at launch, in `verify`, `appraise` and `refvalues compute init-data`."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from ca.cli import inspect, launch_fields
from tests import eventlog_vectors, vtpm_vectors
from tests.snp_lab import SnpLab
from tests.unit.ca.cli import snp_cases
from tests.unit.ca.cli.test_inspect import arguments
from verifiers.eventlog.handed import HashName, held_for
from verifiers.eventlog.launch import LaunchField
from verifiers.tdx.quote import parse_quote

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Evidence
    from tests.eventlog_vectors import EventLogCase

Given: TypeAlias = "tuple[str | Path, ...]"

OF_AZURE = "genoa-v3-azure-aci"
DSTACK = {
    "dstack-lite-stripped-log": "getquote.json",
    "dstack-scale-attestation": "attestation.bin",
}
TOML = 'algorithm = "sha384"\nversion = "0.1.0"\n\n[data]\n"policy.rego" = "package agent_policy"\n'
COMPOSE = b'{"manifest_version":2,"name":"web"}'
DOCUMENT = b'{"app_id":"%s","compose_hash":"%s","key_provider":"kms","version":3}'


@pytest.fixture
def init_data(tmp_path: Path) -> Path:
    path = tmp_path / "initdata.toml"
    path.write_text(TOML, encoding="ascii")
    return path


def held(field: LaunchField, path: Path, algorithm: HashName | None = None) -> bytes:
    value = held_for(field, path.read_bytes(), algorithm)
    assert value is not None
    return value


def fields(said: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    found: dict[str, Any] = said["launch"]["fields"]
    return found


# dstack


def with_field(case: EventLogCase, value: bytes, folder: Path) -> Path:
    """The reply of a real guest, whose quote has another MRCONFIGID: nothing signs it any more."""
    assert case.quote is not None
    reply = json.loads((case.folder / "getquote.json").read_text())
    own = parse_quote(case.quote).td.mr_config_id
    reply["quote"] = reply["quote"].replace(own.hex(), value.hex())
    file = folder / "getquote.json"
    file.write_text(json.dumps(reply))
    return file


@pytest.mark.parametrize("name", DSTACK)
def test_real_logs_agree_with_the_field(cli: Cli, name: str) -> None:
    """Their collateral is not at hand, so nothing is verified, which is said."""
    case = eventlog_vectors.load(name)
    expected = {one["name"]: one["payload"] for one in case.expected["runtime_events"]}
    file = case.folder / DSTACK[name]
    said = cli("verify", file, "--json").json()
    assert (said["launch"]["verified"], said["launch"]["file"]) == (False, None)
    assert fields(said)["mr_config_id"] == {
        "value": "01" + expected["compose-hash"] + "00" * 15,
        "form": "dstack-v1",
        "digest": expected["compose-hash"],
        "log": "agrees",
        "holds_file": None,
    }
    assert {one["form"] for one in fields(said).values()} == {"dstack-v1", "zero"}
    shown = cli("verify", file).out
    assert "Chosen at launch, by evidence that did not verify" in shown
    assert f"dstack's compose-hash {expected['compose-hash']}" in shown
    assert "the event log says the same of the application" in shown


def test_a_verified_quote_with_a_compose_hash(cli: Cli) -> None:
    said = cli("verify", *arguments("tdx5-b0c06f-td15ex-uptodate"), "--json").json()
    assert said["launch"]["verified"] is True
    found = fields(said)["mr_config_id"]
    assert (found["form"], found["log"]) == ("dstack-v1", None)
    assert found["digest"].startswith("51ed70bddb5f1257")


def test_a_log_that_contradicts_the_field(cli: Cli, tmp_path: Path) -> None:
    """The log replays to the quote: only the field in it was another."""
    case = eventlog_vectors.load("dstack-lite-stripped-log")
    assert case.quote is not None
    value = parse_quote(case.quote).td.mr_config_id
    file = with_field(case, value[:5] + b"\xff" + value[6:], tmp_path)
    said = cli("verify", file, "--json").json()
    assert fields(said)["mr_config_id"]["log"] == "contradicts"
    assert "the event log CONTRADICTS it: its application is another" in cli("verify", file).out


def test_an_app_compose(cli: Cli, evidence: Evidence, tmp_path: Path) -> None:
    file = tmp_path / "app-compose.json"
    file.write_bytes(COMPOSE)
    quote = evidence.quote(mr_config_id=held(LaunchField.MR_CONFIG_ID, file))
    done = cli.good("verify", quote, *evidence.judged, "--init-data", file)
    assert "MRCONFIGID     dstack's compose-hash of app-compose.json (an id of" in done.out
    assert "MROWNER        all zero: the host gave none" in done.out
    said = cli.good("verify", quote, *evidence.judged, "--init-data", file, "--json").json()
    assert fields(said)["mr_config_id"]["holds_file"] == "dstack-app-compose"
    assert said["launch"]["file"] == "app-compose.json"


@pytest.mark.parametrize(("app", "log"), [(None, "agrees"), ("ee" * 20, "contradicts")])
def test_a_configuration_document_beside_a_log(
    cli: Cli, tmp_path: Path, app: str | None, log: str
) -> None:
    case = eventlog_vectors.load("dstack-lite-stripped-log")
    events = {one["name"]: one["payload"] for one in case.expected["runtime_events"]}
    named = (app or events["app-id"]).encode(), events["compose-hash"].encode()
    document = tmp_path / "mr_config.json"
    document.write_bytes(DOCUMENT % named)
    file = with_field(case, held(LaunchField.MR_CONFIG_ID, document), tmp_path)
    alone = fields(cli("verify", file, "--json").json())["mr_config_id"]
    assert (alone["form"], alone["log"]) == ("dstack-v3", "not-comparable")
    said = cli("verify", file, "--init-data", document, "--json").json()
    found = fields(said)["mr_config_id"]
    assert (found["holds_file"], found["log"]) == ("dstack-mr-config", log)
    assert (said["verdict"], said["reason"]["code"]) == ("rejected", "signature")


# init data


def test_init_data_of_a_td(cli: Cli, evidence: Evidence, init_data: Path) -> None:
    quote = evidence.quote(mr_config_id=held(LaunchField.MR_CONFIG_ID, init_data))
    given: Given = (quote, *evidence.judged, "--init-data", init_data)
    done = cli.good("verify", *given)
    assert "MRCONFIGID     the SHA-384 of initdata.toml" in done.out
    said = cli.good("verify", *given, "--json").json()
    found = fields(said)["mr_config_id"]
    assert (found["holds_file"], found["form"]) == ("sha384", "opaque")
    assert said["launch"]["reason"] is None


def test_init_data_that_are_others(cli: Cli, evidence: Evidence, init_data: Path) -> None:
    quote = evidence.quote(mr_config_id=b"x" * 48)
    given: Given = (quote, *evidence.judged, "--init-data", init_data)
    done = cli("verify", *given, "--json")
    said = done.json()
    assert (done.code, said["verdict"]) == (1, "rejected")
    reason = {
        "code": "register-mismatch",
        "detail": "initdata.toml is not what MRCONFIGID or MROWNER or MROWNERCONFIG holds a hash of",
    }
    assert said["reason"] == said["launch"]["reason"] == reason
    shown = cli("verify", *given).out
    assert "expected       rejected: register-mismatch: initdata.toml is not what" in shown
    assert "no hash of initdata.toml" in shown
    assert cli.good("verify", *given[:-2], "--json").json()["verdict"] == "verified"


def test_other_reasons_come_first(cli: Cli, init_data: Path) -> None:
    given: Given = (*arguments("tdx4-50806f-debug"), "--init-data", str(init_data), "--json")
    said = cli("verify", *given).json()
    late = cli("verify", *given, "--at", "2036-01-01T00:00:00Z").json()
    assert said["launch"]["reason"]["code"] == "register-mismatch"
    assert late["verdict"] == "rejected"
    assert late["reason"]["code"] != "register-mismatch"


def test_appraise_leaves_the_verdict_to_the_policy(
    cli: Cli, evidence: Evidence, init_data: Path
) -> None:
    quote = evidence.quote()
    without = cli("appraise", quote, *evidence.judged, "--json")
    given: Given = ("appraise", quote, *evidence.judged, "--init-data", init_data)
    done = cli(*given, "--json")
    said = done.json()
    assert (done.code, said["verdict"]) == (without.code, without.json()["verdict"])
    assert said["launch"]["reason"]["code"] == "register-mismatch"
    assert said["reason"] is None
    shown = cli(*given).out
    assert "Chosen at launch" in shown
    assert "no hash of initdata.toml" in shown


# SEV-SNP


@pytest.mark.parametrize("name", snp_cases.names())
def test_every_real_report(cli: Cli, name: str) -> None:
    case = snp_cases.load(name)
    given: Given = ("verify", case.report, *case.certificates, *case.crl, *case.at)
    said = cli(*given, "--json").json()
    shown = cli(*given).out
    launch = said["launch"]
    assert launch["fields"]["host_data"]["value"] == case.expected["host_data"]
    zero = not int(case.expected["host_data"], 16)
    assert launch["fields"]["host_data"]["form"] == ("zero" if zero else "opaque")
    assert launch["measurement"] == {"value": case.expected["measurement"], "covers": "launch"}
    signed = bool(int(case.expected["id_key_digest"], 16))
    assert (launch["id_block"] is not None) is signed
    assert ("ID block     none: nobody signed" in shown) is not signed
    if signed:
        assert launch["id_block"]["id_key_digest"] == case.expected["id_key_digest"]
        assert f"image {launch['id_block']['image_id']}" in shown
    assert "kernel-hashes=on" in shown
    assert "attestca refvalues compute snp" in shown


def test_an_author_key(cli: Cli) -> None:
    case = snp_cases.load("milan-v2-author-key-crl")
    given: Given = ("verify", case.report, *case.certificates, *case.crl, *case.at)
    block = cli(*given, "--json").json()["launch"]["id_block"]
    assert block["author_key_digest"] == case.expected["author_key_digest"]
    assert f"which author key {block['author_key_digest']} signed" in cli(*given).out
    other = snp_cases.load(OF_AZURE)
    said = cli("verify", other.report, *other.certificates, *other.at, "--json").json()
    assert said["launch"]["id_block"]["author_key_digest"] is None


def test_init_data_of_an_snp_guest(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, init_data: Path
) -> None:
    lab = SnpLab.create("Genoa")
    lab.report(host_data=held(LaunchField.HOST_DATA, init_data))
    exhibit = lab.exhibit()
    monkeypatch.setattr(inspect, "builtin", lambda: exhibit.anchors)
    files = []
    for piece in exhibit.pieces:
        path = tmp_path / piece.kind
        path.write_bytes(piece.data)
        files.append(path)
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(exhibit.bundle or b"")
    judged: Given = ("--collateral", bundle, "--at", exhibit.at.isoformat())
    given: Given = ("verify", *files, *judged, "--init-data", init_data)
    said = cli.good(*given, "--json").json()
    assert fields(said)["host_data"]["holds_file"] == "sha384"
    assert "HOST_DATA    the SHA-384 of initdata.toml" in cli.good(*given).out


# Azure


@pytest.mark.parametrize("name", ["azure-snp-genoa"])
def test_a_paravisor(cli: Cli, tmp_path: Path, name: str) -> None:
    vector = vtpm_vectors.load(name)
    for file, data in (("hcl", vector.hcl), ("vcek", vector.vcek)):
        (tmp_path / file).write_bytes(data)
    unverified = cli("verify", tmp_path / "hcl", "--json").json()["launch"]
    assert (unverified["verified"], set(unverified["fields"])) == (False, {"host_data"})
    for file, data in (
        ("quote", vector.attest),
        ("signature", vector.signature),
        ("pcrs", vector.pcrs),
    ):
        (tmp_path / file).write_bytes(data)
    files = [tmp_path / one for one in ("hcl", "vcek", "quote", "signature", "pcrs")]
    given: Given = ("verify", *files, "--at", "2026-06-01T00:00:00Z")
    said = cli(*given, "--json").json()
    assert said["claims"]["provider"] == "azure"
    assert set(said["launch"]["fields"]) == {"host_data", "pcr8"}
    assert said["launch"]["measurement"]["covers"] == "paravisor"
    shown = cli(*given).out
    assert "PCR 8" in shown
    assert "MEASUREMENT  covers Azure's paravisor alone" in shown
    without = cli("verify", *files[:2], "--at", "2026-06-01T00:00:00Z", "--json").json()
    assert set(without["launch"]["fields"]) == {"host_data"}


# what it is not for


def test_no_evidence_to_hold_a_file(cli: Cli, tmp_path: Path, init_data: Path) -> None:
    broken = tmp_path / "quote.bin"
    broken.write_bytes(b"\4\0" + bytes(600))
    done = cli("verify", broken, "--init-data", init_data)
    assert done.code == 64
    assert "no evidence of a CPU that can be read" in done.err
    assert cli("verify", "--nras-token", init_data, "--init-data", init_data).code == 64
    assert cli("verify", broken, "--init-data", tmp_path / "absent").code != 0
    assert "launch" not in cli("verify", broken, "--json").json()


def test_nothing_to_read() -> None:
    assert launch_fields.inspect(None, (), None) is None
    assert launch_fields.inspect(None, (b"text",), None) is None


# refvalues compute init-data


def test_compute_for_people(cli: Cli, init_data: Path) -> None:
    digest = hashlib.sha384(TOML.encode()).digest()
    pcr = hashlib.sha256(bytes(32) + digest[:32]).hexdigest()
    lines = cli.good("refvalues", "compute", "init-data", init_data).out.splitlines()
    assert lines[0] == "# init-data, sha384"
    assert [line.split('"')[1] for line in lines[1:]] == [digest.hex(), digest.hex()[:64], pcr]
    assert lines[1].startswith("mr_config_id: ")


def test_compute_as_json(cli: Cli, tmp_path: Path, init_data: Path) -> None:
    compute = ("refvalues", "compute", "init-data")
    said = cli.good(*compute, init_data, "--algorithm", "sha256", "--json").json()
    assert (said["kind"], said["algorithm"]) == ("init-data", "sha256")
    assert said["host_data"] == hashlib.sha256(TOML.encode()).hexdigest()
    policy = tmp_path / "policy.rego"
    policy.write_bytes(b"package policy\n")
    said = cli.good(*compute, policy, "--json").json()
    assert (said["kind"], said["algorithm"]) == ("other", None)
    assert said["host_data"] == hashlib.sha256(b"package policy\n").hexdigest()
    policy.write_bytes(COMPOSE)
    said = cli.good(*compute, policy, "--json").json()
    assert list(said) == ["kind", "algorithm", "mr_config_id"]
    assert said["mr_config_id"] == "01" + hashlib.sha256(COMPOSE).hexdigest() + "00" * 15
    assert cli.good(*compute, policy).out.startswith("# dstack-app-compose\nmr_config_id: ")
