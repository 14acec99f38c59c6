# SPDX-License-Identifier: Apache-2.0
"""`attestca verify`, `appraise`, `refvalues capture` on simulated SEV-SNP machines: what real evidence cannot show."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from ca.cli import inspect
from policies.floors import builtin_floors
from simulator.snp import DEBUG
from tests.snp_lab import SnpLab
from verifiers.errors import Reason

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli

HOST = 0xFFFFFFFF
AUTHOR = b"\xaa" * 48
FLOORS = """\
version: {version}
date: 2026-11-01
advisories:
  AMD-SB-9999:
    title: one that came later
    source: the bulletin
    date: 2026-11-01
    floors: {{19-11-1: {{reported: {{microcode: 255}}}}}}
"""


@dataclass(frozen=True)
class Bench:
    """A machine of the laboratory, its authorities trusted here in place of AMD, its evidence in files."""

    folder: Path
    patch: pytest.MonkeyPatch

    def __call__(self, lab: SnpLab) -> tuple[str, ...]:
        """The arguments that judge it."""
        exhibit = lab.exhibit()
        self.patch.setattr(inspect, "builtin", lambda: exhibit.anchors)
        files = []
        for piece in exhibit.pieces:
            path = self.folder / piece.kind
            path.write_bytes(piece.data)
            files.append(str(path))
        if exhibit.bundle is None:
            return (*files, "--at", exhibit.at.isoformat())
        bundle = self.folder / "bundle.json"
        bundle.write_bytes(exhibit.bundle)
        return (*files, "--collateral", str(bundle), "--at", exhibit.at.isoformat())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_the_whole_object(cli: Cli, bench: Bench) -> None:
    lab = SnpLab.create("Turin")
    said = cli.good("verify", *bench(lab), "--json").json()
    assert list(said) == [
        *("verdict", "reason", "tee", "tcb", "revocation", "claims", "checked_at", "launch"),
    ]
    assert (said["verdict"], said["reason"], said["tee"], said["tcb"]) == (
        *("verified", None),
        *("snp", None),
    )
    assert said["revocation"] == {"vek_chain": "good"}
    claims = said["claims"]
    assert {
        "tee",
        "provider",
        "body",
        "product",
        "cpu",
        "reported_tcb",
        "vek",
        "hcl",
        "tpm",
    } <= set(claims)
    assert "report" not in claims
    assert claims["body"]["chip_id"] == lab.machine.chip_id.hex()
    assert claims["reported_tcb"]["fmc"] is not None


def test_tables(cli: Cli, bench: Bench) -> None:
    shown = cli.good("verify", *bench(SnpLab.create("Turin"))).out
    assert shown.startswith("verdict    verified\n")
    lines = shown.splitlines()
    (heading,) = [line for line in lines if line.startswith("component")]
    assert heading.split() == ["component", "reported", "committed", "current", "launch"]
    start = lines.index(heading)
    names = [line.split()[0] for line in lines[start + 1 : start + 6]]
    assert names == ["fmc", "bootloader", "tee", "snp", "microcode"]
    for word in (
        *("Turin, CPU 1a-02-1", "ecc", "alias-check-complete", "VCEK of Turin", "VCEK chain good"),
        *("mitigations", "firmware ABI 0.0 or later", "Collateral", "crl"),
    ):
        assert word in shown
    for word in ("migration agent", "author_key_digest", "CSP id", "paravisor", "Virtual TPM"):
        assert word not in shown


def test_what_only_some_reports_have(cli: Cli, bench: Bench) -> None:
    lab = SnpLab.create("Milan")
    lab.report(
        version=2,
        signing_key="vlek",
        author_key_en=True,
        author_key_digest=AUTHOR,
        id_key_digest=b"\xbb" * 48,
        report_id_ma=b"\xcc" * 32,
        vmpl=HOST,
    )
    shown = cli.good("verify", *bench(lab)).out
    for word in (
        *(AUTHOR.hex(), "bb" * 48, "migration agent", "cc" * 32, "asked for by the host"),
        *(
            "CPU not named",
            "CSP id",
            "cc-us-east-2.amazonaws.com",
            "VLEK of Milan",
            "masked: all zero",
        ),
    ):
        assert word in shown
    assert "fmc" not in shown
    assert "mitigations" not in shown


def test_a_machine_of_azure(cli: Cli, bench: Bench) -> None:
    lab = SnpLab.create("Milan")
    cvm = lab.azure()
    cvm.configuration.pop("tpm-persisted")
    cvm.configuration["console-enabled"] = False
    shown = cli.good("verify", *bench(lab)).out
    for word in ("provider azure", "Azure's paravisor", cvm.configuration["vmUniqueId"], "Quoted"):
        assert word in shown
    assert "TPM persisted" not in shown
    assert "not safe" not in shown
    assert [line.split() for line in shown.splitlines() if line.startswith("console")] == [
        ["console", "off"]
    ]
    claims = cli.good("verify", *bench(lab), "--json").json()["claims"]
    assert (claims["provider"], claims["hcl"]["secure_boot"]) == ("azure", True)
    assert claims["tpm"]["extra_data"] == bytes(range(100, 132)).hex()


def test_a_clock_that_ran_backwards_is_said(cli: Cli, bench: Bench) -> None:
    lab = SnpLab.create("Milan")
    lab.azure(safe=False)
    assert "not safe" in cli.good("verify", *bench(lab)).out


def test_a_revoked_authority(cli: Cli, bench: Bench) -> None:
    lab = SnpLab.create()
    lab.line.vcek_crl.revoke(lab.line.ask.spec.serial)
    done = cli("verify", *bench(lab), "--json")
    assert (done.code, done.json()["reason"]["code"]) == (1, Reason.CERTIFICATE_REVOKED)
    assert done.json()["revocation"] == {"vek_chain": "revoked"}


def test_a_report_that_cannot_be_parsed_is_still_one(cli: Cli, bench: Bench) -> None:
    lab = SnpLab.create()
    lab.write(0, b"\x09")
    done = cli("appraise", *bench(lab), "--json")
    said = done.json()
    assert (done.code, said["reason"]["code"], said["tee"]) == (1, Reason.UNSUPPORTED_FORMAT, "snp")
    assert said["policy"]["name"] == "snp-strict"


@pytest.mark.parametrize("azure", [False, True])
def test_a_first_policy_in_two_commands(
    cli: Cli, bench: Bench, tmp_path: Path, *, azure: bool
) -> None:
    lab = SnpLab.create()
    if azure:
        lab.azure()
    judged = bench(lab)
    policy = tmp_path / "policy.yaml"
    policy.write_text(cli.good("refvalues", "capture", *judged, "--policy", "web").out)
    assert cli.good("policy", "lint", policy).err == "no errors\n"
    assert cli.good("appraise", *judged, "--policy", policy, "--json").json()["findings"]
    lab.report(measurement=b"\x77" * 48)
    other = cli("appraise", *bench(lab), "--policy", policy, "--json")
    denying = {one["rule"] for one in other.json()["findings"] if one["result"] == "fail"}
    assert (other.code, denying) == (1, {"measurement"})


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"policy": 0x30000 | DEBUG}, "debug"), ({"report_id_ma": bytes(32)}, "migration agent")],
)
def test_a_guest_that_others_can_change_gives_nothing(
    cli: Cli, bench: Bench, fields: dict[str, Any], word: str
) -> None:
    lab = SnpLab.create()
    lab.report(**fields)
    done = cli("refvalues", "capture", *bench(lab))
    assert (done.code, done.out) == (1, "")
    assert "open to its host" in done.err
    assert word in done.err


def test_azure_without_its_quote_gives_nothing(cli: Cli, bench: Bench) -> None:
    """What the guest booted is in the PCRs alone."""
    lab = SnpLab.create()
    lab.azure()
    _, _, _, *judged = (word for word in bench(lab))
    hcl = bench.folder / "hcl-report"
    options = judged[judged.index("--collateral") :]
    done = cli("refvalues", "capture", hcl, *options)
    assert (done.code, done.out) == (64, "")
    assert "pcr4" in done.err


def by_advisory(cli: Cli, judged: tuple[str, ...], folder: Path, name: str) -> Path:
    """A policy that pins the machine and names an advisory."""
    policy = folder / "policy.yaml"
    text = cli.good("refvalues", "capture", *judged, "--policy", "web").out
    head, found, _ = text.partition("  tcb:")
    assert found
    issue = "issue:" + text.partition("\nissue:")[2]
    policy.write_text(f"{head}  tcb: {{advisories: [{name}]}}\n\n{issue}")
    return policy


def test_a_newer_list_of_floors_is_judged_by(cli: Cli, bench: Bench, tmp_path: Path) -> None:
    """What the service does with `policies.amd_floors_file`, offline."""
    lab = SnpLab.create("Genoa")
    judged = bench(lab)
    policy = by_advisory(cli, judged, tmp_path, "AMD-SB-9999")
    newer = tmp_path / "amd-floors.yaml"
    newer.write_text(FLOORS.format(version=1000))
    done = cli("appraise", *judged, "--policy", policy, "--amd-floors", newer, "--json")
    said = done.json()
    denying = {one["rule"] for one in said["findings"] if one["result"] in {"fail", "missing"}}
    assert (done.code, denying) == (1, {"tcb-floor"})
    assert said["floors"] == {"version": 1000, "sha256": sha256(newer.read_bytes()).hexdigest()}
    builtin = cli("appraise", *judged, "--policy", policy, "--json").json()
    assert builtin["floors"]["version"] < 1000


def test_floors_that_do_not_load_are_66(cli: Cli, bench: Bench, tmp_path: Path) -> None:
    judged = bench(SnpLab.create())
    broken = tmp_path / "amd-floors.yaml"
    broken.write_text("version: one\n")
    assert cli("appraise", *judged, "--amd-floors", tmp_path / "none").code == 66
    done = cli("appraise", *judged, "--amd-floors", broken)
    assert (done.code, done.out) == (66, "")
    assert "version" in done.err
    broken.write_text(FLOORS.format(version=builtin_floors().file.version))
    assert cli("appraise", *judged, "--amd-floors", broken).code == 66
