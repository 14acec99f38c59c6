# SPDX-License-Identifier: Apache-2.0
"""`attestca collateral` and `verify` for Google's machines: the list of Google's root beside the CPU's collateral."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ca.cli import inspect
from simulator import bucket, kds, pcs
from simulator.bucket import CRL, Fault
from simulator.google import GoogleCvm
from simulator.google_certificates import Pkcs1
from simulator.pki import pem
from tests.google_lab import GoogleLab, stranger
from tests.unit.ca.cli.test_collateral import answering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.bucket import FakeBucket
    from tests.cli_lab import Cli, Done

KINDS = {"td": GoogleLab.td, "snp": GoogleLab.snp}


@dataclass(frozen=True)
class Asking:
    """A machine, the services of its vendors by their keys in a configuration, and the command that asks them."""

    cli: Cli
    folder: Path
    lab: GoogleLab
    bucket: FakeBucket
    services: dict[str, str]

    def files(self) -> list[Path]:
        paths = []
        for piece in self.lab.pieces():
            path = self.folder / piece.kind
            path.write_bytes(piece.data)
            paths.append(path)
        return paths

    def __call__(self) -> Done:
        return self.cli("collateral", *self.files(), "--config", self.config())

    def config(self) -> Path:
        """Of a simulated authority that trusts the vendors and asks their services."""
        lab = self.lab
        vendors = {"intel.pem": pem(lab.intel.root_der), "google.pem": lab.google.pem}
        if isinstance(lab.vm, GoogleCvm):
            vendors["amd.pem"] = lab.vm.machine.line.pem
        for name, text in vendors.items():
            (self.folder / name).write_text(text)
        urls = "\n".join(f'{key} = "{url}"' for key, url in self.services.items())
        path = self.folder / "attestca.toml"
        path.write_text(
            f"""\
[server]
public_url = "https://ca.example.org"
[ca]
simulated_anchors = {sorted(vendors)}
[collateral]
{urls}
allow_private_hosts = ["127.0.0.1"]
"""
        )
        return path

    def verify(self, *arguments: str | Path) -> Done:
        at = ("--at", self.lab.at.isoformat(), "--json")
        return self.cli("verify", *self.files(), *arguments, *at)


@pytest.fixture(params=KINDS)
def asking(
    request: pytest.FixtureRequest, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Asking]:
    lab = KINDS[request.param]()
    monkeypatch.setattr(inspect, "builtin", lab.anchors)
    with ExitStack() as stack:
        lists = stack.enter_context(answering(bucket.running(lab.google)))
        services = {"google_root_crl_url": lists.crl_url}
        if isinstance(lab.vm, GoogleCvm):
            keys = stack.enter_context(answering(kds.running(lab.vm.machine.amd)))
            services["kds_base_url"] = keys.base_url
        else:
            intel = stack.enter_context(answering(pcs.running(lab.intel)))
            services["pcs_base_url"], services["root_crl_url"] = intel.base_url, intel.root_crl_url
        yield Asking(cli, tmp_path, lab, lists, services)


def test_the_bundle_verifies_the_machine(asking: Asking) -> None:
    done = asking()
    assert done.code == 0, done.err
    assert set(done.json()) == {*asking.lab.cpu_bundle(), "google_root_crl"}
    assert len(asking.bucket.requests) == 1
    bundle = asking.folder / "bundle.json"
    bundle.write_text(done.out)
    said = asking.verify("--collateral", bundle).json()
    assert (said["verdict"], said["revocation"]["ak_chain"]) == ("verified", "good")


def test_without_the_list_the_machine_verifies(asking: Asking) -> None:
    """Whether that is enough is a policy's question."""
    members = asking().json()
    del members["google_root_crl"]
    bundle = asking.folder / "bundle.json"
    bundle.write_text(json.dumps(members))
    said = asking.verify("--collateral", bundle).json()
    assert (said["verdict"], said["revocation"]["ak_chain"]) == ("verified", "not-checked")


def test_a_list_that_is_not_there(asking: Asking) -> None:
    asking.bucket.faults[CRL] = Fault(status=404)
    done = asking()
    assert (done.code, done.out) == (2, "")
    assert "incomplete: google_root_crl" in done.err


def test_what_leads_elsewhere_causes_no_request(asking: Asking) -> None:
    asking.lab.vm.ak.signer = Pkcs1(stranger().root.key)
    done = asking()
    assert (done.code, done.out, asking.bucket.requests) == (1, "", [])
    assert "chain: " in done.err


def test_the_list_among_the_files(asking: Asking) -> None:
    """It alone is no collateral of the CPU's, which is missing then."""
    crl = asking.folder / "crl.crl"
    crl.write_bytes(asking.lab.google.crl.der)
    done = asking.verify(crl)
    assert (done.code, done.json()["verdict"]) == (2, "undetermined")
    assert done.json()["reason"]["code"] == "incomplete"
