# SPDX-License-Identifier: Apache-2.0
"""`attestca collateral` for SEV-SNP: what the fake AMD gives, asked for no more than is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ca.cli import inspect
from simulator import kds
from simulator.pki import pem
from tests.snp_lab import SnpLab, intel_root
from tests.unit.ca.cli.test_collateral import answering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.kds import FakeKds
    from tests.cli_lab import Cli, Done


@dataclass(frozen=True)
class Asking:
    """A machine, its vendor's service and the command that asks it."""

    cli: Cli
    folder: Path
    lab: SnpLab
    service: FakeKds

    def files(self) -> list[Path]:
        paths = []
        for piece in self.lab.evidence():
            path = self.folder / piece.kind
            path.write_bytes(piece.data)
            paths.append(path)
        return paths

    def __call__(self) -> Done:
        return self.cli("collateral", *self.files(), "--config", self.config())

    def config(self) -> Path:
        """Of a simulated authority that trusts the vendor and asks its service."""
        vendors = {"intel.pem": pem(intel_root().certificate.der), "amd.pem": self.lab.line.pem}
        for name, text in vendors.items():
            (self.folder / name).write_text(text)
        path = self.folder / "attestca.toml"
        path.write_text(
            f"""\
[server]
public_url = "https://ca.example.org"
[ca]
simulated_anchors = ["intel.pem", "amd.pem"]
[collateral]
kds_base_url = "{self.service.base_url}"
allow_private_hosts = ["127.0.0.1"]
"""
        )
        return path


@pytest.fixture
def asking(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    lab = SnpLab.create("Turin")
    monkeypatch.setattr(inspect, "builtin", lab.anchors)
    with answering(kds.running(lab.amd)) as service:
        yield Asking(cli, tmp_path, lab, service)


def test_the_bundle_verifies_the_machine(cli: Cli, asking: Asking, tmp_path: Path) -> None:
    done = asking()
    assert done.code == 0, done.err
    assert set(done.json()) == {"vek", "crl"}
    hwid = asking.lab.machine.hwid.hex()
    crl, vcek = sorted(asking.service.requests, key=len)
    assert crl == "/vcek/v1/Turin/crl"
    assert vcek.startswith(f"/vcek/v1/Turin/{hwid}?fmcSPL=")
    bundle = tmp_path / "bundle.json"
    bundle.write_text(done.out)
    judged = ("--collateral", bundle, "--at", asking.lab.at.isoformat())
    said = cli.good("verify", *asking.files(), *judged, "--json").json()
    assert (said["verdict"], said["revocation"]) == ("verified", {"vek_chain": "good"})


@pytest.mark.parametrize("key", ["vcek", "vlek"])
def test_a_certificate_that_came_along_is_not_asked_for(asking: Asking, key: str) -> None:
    asking.lab.certificates = "table"
    asking.lab.report(signing_key=key)
    done = asking()
    assert done.code == 0, done.err
    assert asking.service.requests == [f"/{key}/v1/Turin/crl"]
    assert done.json()["vek"] == asking.lab.vek.der.hex()


def test_evidence_of_azure(asking: Asking) -> None:
    asking.lab.azure()
    assert set(asking().json()) == {"vek", "crl"}


def test_a_vlek_is_for_the_provider_alone(asking: Asking) -> None:
    asking.lab.report(signing_key="vlek")
    done = asking()
    assert (done.code, done.out, asking.service.requests) == (2, "", [])
    assert "incomplete: " in done.err


def test_a_chip_that_amd_does_not_know(asking: Asking) -> None:
    asking.lab.amd.chips.clear()
    done = asking()
    assert (done.code, done.out) == (1, "")
    assert "platform-unknown: " in done.err


def test_too_many_questions(asking: Asking) -> None:
    asking.service.allowance = 0
    done = asking()
    assert (done.code, done.out) == (69, "")


def test_what_leads_elsewhere_causes_no_request(asking: Asking) -> None:
    asking.lab.certificates = "der"
    asking.lab.vek.signer = SnpLab.create("Turin").stranger().line("Turin").ask.key
    done = asking()
    assert (done.code, done.out, asking.service.requests) == (1, "", [])


def test_files_of_two_machines_are_wrong_usage(cli: Cli, asking: Asking) -> None:
    (report,) = asking.files()
    done = cli("collateral", report, report, "--config", asking.config())
    assert (done.code, done.out) == (64, "")
