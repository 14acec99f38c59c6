# SPDX-License-Identifier: Apache-2.0
"""`attestca collateral` for NVIDIA devices: what a fake NVIDIA says, in folders that `verify` reads again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ca.cli import collateral, devices
from simulator import pcs
from simulator.nvidia import services
from simulator.nvidia.certificates import key
from simulator.pki import pem
from tests.snp_lab import intel_root
from tests.unit.ca.cli.nvidia_bench import NONCE, Bench
from tests.unit.ca.cli.test_collateral import answering, machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.nvidia.hardware import NvidiaDevice
    from simulator.nvidia.services import NvidiaServices
    from tests.cli_lab import Cli, Done, Evidence

__all__ = ["machine"]  # a fixture


@dataclass(frozen=True)
class Asking:
    """Devices, their vendor's services, and the command that asks them."""

    cli: Cli
    bench: Bench
    service: NvidiaServices

    @property
    def said(self) -> Path:
        return self.bench.folder / "said"

    def __call__(self, *options: str | Path, devices: tuple[NvidiaDevice, ...]) -> Done:
        given = (self.bench.evidence(*devices), "--config", self.config(), "-o", self.said)
        return self.cli("collateral", *given, *options)

    def config(self, intel: str | None = None, more: str = "") -> Path:
        """Of a simulated authority that trusts the vendor and asks its services."""
        self.bench.put("intel.pem", (intel or pem(intel_root().certificate.der)).encode())
        self.bench.put("nvidia.pem", self.bench.nvidia.pem.encode())
        text = f"""\
[server]
public_url = "https://ca.example.org"
[ca]
simulated_anchors = ["intel.pem", "nvidia.pem"]
[collateral]
nvidia_rim_base_url = "{self.service.base_url}"
nvidia_ocsp_url = "{self.service.base_url}"
nras_base_url = "{self.service.base_url}"
allow_private_hosts = ["127.0.0.1"]
{more}
"""
        return self.bench.put("attestca.toml", text.encode())


@pytest.fixture
def asking(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    """A vendor of now, for its answers are judged by the clock."""
    bench = Bench.create(tmp_path, datetime.now(UTC))
    with answering(services.running(bench.nvidia)) as service:
        for module in (collateral, devices):
            monkeypatch.setattr(module, "builtin", bench.anchors)
        yield Asking(cli, bench, service)


def test_the_folders_verify_the_devices(cli: Cli, asking: Asking) -> None:
    gpus = asking.bench.nvidia.gpu(), asking.bench.nvidia.gpu()
    done = asking(devices=gpus)
    assert (done.code, done.out) == (0, ""), done.err
    # L4, and what the two have in common: L3 and L2; three of the one chain of the manifests' signers
    assert done.err == f"{asking.said}: manifests 2, OCSP answers 7, answers of NRAS 0\n"
    assert sorted(path.name for path in asking.said.iterdir()) == ["nras", "ocsp", "rims"]
    given = ("--rim", asking.said / "rims", "--ocsp", asking.said / "ocsp")
    said = cli.good("verify", asking.bench.evidence(*gpus), *given, "--json").json()
    assert said["revocation"] == {"device_chains": "good", "rim_chains": "good"}
    assert not [request for request in asking.service.requests if "attest" in request]


def test_the_attestation_service_is_asked_where_that_is_said(cli: Cli, asking: Asking) -> None:
    gpu = asking.bench.nvidia.gpu()
    done = asking("--nras", devices=(gpu,))
    assert (done.code, done.err.split(", ")[2]) == (0, "answers of NRAS 1\n"), done.err
    (token,) = (asking.said / "nras").iterdir()
    given = ("--nras-token", token, "--jwks", asking.said / "jwks.json", "--nonce", NONCE.hex())
    ours = ("--rim", asking.said / "rims", "--ocsp", asking.said / "ocsp")
    said = cli.good("verify", asking.bench.evidence(gpu), *given, *ours, "--json").json()
    (device,) = said["claims"]["devices"]
    assert device["nras"]["claims_version"] == "3.0"
    assert len(device["rims"]) == 2


def test_a_machine_and_its_gpu(cli: Cli, asking: Asking, machine: Evidence) -> None:
    """The CPU's bundle is printed, what is said of devices stands in the folder."""
    quote, gpu = machine.quote(), asking.bench.nvidia.gpu()
    with answering(pcs.running(machine.intel)) as intel:
        more = f'pcs_base_url = "{intel.base_url}"\nroot_crl_url = "{intel.base_url}/IntelSGXRootCA.der"'
        config = asking.config(pem(machine.intel.root_der), more)
        files = (quote, asking.bench.evidence(gpu))
        done = cli.good("collateral", *files, "--config", config, "-o", asking.said)
    bundle = asking.bench.put("bundle.json", done.out.encode())
    given = ("--rim", asking.said / "rims", "--ocsp", asking.said / "ocsp", "--collateral", bundle)
    said = cli.good("verify", *files, *given, "--json").json()
    assert (said["verdict"], said["cpu"]["tcb"]["status"]) == ("verified", "UpToDate")


def test_a_device_that_leads_elsewhere_causes_no_request(asking: Asking, tmp_path: Path) -> None:
    stranger = Bench.create(tmp_path / "elsewhere", asking.bench.nvidia.now)
    other = type(stranger.nvidia).create(stranger.nvidia.now, seed=b"another vendor")
    done = asking(devices=(other.gpu(),))
    assert (done.code, asking.service.requests, asking.said.exists()) == (1, [], False)
    assert "untrusted-root: " in done.err


def test_a_manifest_that_nvidia_does_not_have(cli: Cli, asking: Asking) -> None:
    """Nothing is judged here: what there is is kept, and whoever uses it sees what is missing."""
    gpu = asking.bench.nvidia.gpu()
    del asking.bench.nvidia.manifests[gpu.rim_ids[0]]
    done = asking(devices=(gpu,))
    assert (done.code, done.err.split(": ")[1].split(",")[0]) == (0, "manifests 1"), done.err
    given = ("--rim", asking.said / "rims", "--ocsp", asking.said / "ocsp")
    judged = cli("verify", asking.bench.evidence(gpu), *given, "--json")
    assert (judged.code, judged.json()["reason"]["code"]) == (2, "incomplete")
    assert gpu.rim_ids[0] in judged.json()["reason"]["detail"]


def test_an_answer_that_is_not_nvidias(asking: Asking) -> None:
    gpu = asking.bench.nvidia.gpu()
    manifests = asking.bench.nvidia.manifests
    manifests[gpu.rim_ids[0]] = replace(manifests[gpu.rim_ids[0]], signer=key("another"))
    done = asking(devices=(gpu,))
    assert (done.code, asking.said.exists()) == (1, False)
    assert "rim-signature: " in done.err


def test_services_that_do_not_answer(asking: Asking) -> None:
    asking.service.base_url = "http://127.0.0.1:9"
    done = asking(devices=(asking.bench.nvidia.gpu(),))
    assert (done.code, done.out, asking.said.exists()) == (69, "", False)


def test_a_folder_that_is_there(asking: Asking) -> None:
    asking.said.mkdir()
    done = asking(devices=(asking.bench.nvidia.gpu(),))
    assert (done.code, asking.service.requests) == (66, [])
    assert "a new folder is wanted" in done.err


def test_a_folder_that_cannot_be_made(asking: Asking) -> None:
    gpu = asking.bench.nvidia.gpu()
    file = asking.bench.put("file", b"")
    given = (asking.bench.evidence(gpu), "--config", asking.config(), "-o", file / "said")
    done = asking.cli("collateral", *given)
    assert (done.code, "Not a directory" in done.err) == (66, True)


def test_wrong_usage(cli: Cli, asking: Asking, machine: Evidence) -> None:
    gpu = asking.bench.evidence(asking.bench.nvidia.gpu())
    report = asking.bench.put("report", asking.bench.nvidia.devices[0].report(NONCE))
    for files, options, says in (
        ((gpu,), (), "--output names the folder"),
        ((machine.quote(),), ("-o", asking.said), "--output names the folder"),
        ((machine.quote(),), ("--nras",), "--nras is for NVIDIA devices"),
        ((report,), ("-o", asking.said), "one certificate chain"),
    ):
        done = cli("collateral", *files, *options)
        assert (done.code, done.out, says in done.err) == (64, "", True), done.err
    assert asking.service.requests == []


def test_without_a_configuration_the_built_in_roots_count(
    cli: Cli, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain to another root causes no request, which the tests' closed network would turn into an error."""
    monkeypatch.undo()
    gpu = asking.bench.evidence(asking.bench.nvidia.gpu())
    done = cli("collateral", gpu, "-o", asking.said)
    assert (done.code, "untrusted-root" in done.err) == (1, True)
