# SPDX-License-Identifier: Apache-2.0
"""`attestca appraise` on a simulated CPU with devices of a fake NVIDIA, and on these devices alone."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from ca.cli import devices, inspect
from policies.loader import default_text
from policies.minimums import builtin_minimums
from simulator.nvidia.vendor import REVOKED
from tests.snp_lab import SnpLab
from tests.unit.ca.cli.nvidia_bench import AT, NONCE, Bench
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_lab import Cli, Done, Evidence

DENY = {"fail", "missing"}
POLICY = """\
name: machines
version: 7
match: {{tee: tdx}}
reference_sets:
  release:
    - {{id: image-1, values: {{{values}}}}}
tdx: {{measurements: [release]}}
{nvidia}
"""
NVIDIA = """\
nvidia:
  appraisal: {appraisal}
  gpus: {gpus}
  models: [GH100]
  modes: [spt]
  driver: {{advisories: [nvidia-5861]}}
  vbios: {{no_minimum: simulated devices have no bulletins}}
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench.create(tmp_path)
    monkeypatch.setattr(devices, "builtin", made.anchors)
    return made


@pytest.fixture
def policy(bench: Bench, evidence: Evidence) -> Policy:
    return Policy(bench, evidence)


class Policy:
    """Writes the policy of the simulated image, and gives the option that names it."""

    def __init__(self, bench: Bench, evidence: Evidence) -> None:
        self._bench = bench
        fields = evidence.machine.fields
        names = ("mr_td", "rtmr0", "rtmr1", "rtmr2")
        self._values = ", ".join(f'{name}: "{fields[name].hex()}"' for name in names)

    def __call__(self, nvidia: str | None = None, **changes: object) -> tuple[str, str]:
        section = NVIDIA if nvidia is None else nvidia
        section = section.format(**{"appraisal": "local", "gpus": 1} | changes)
        text = POLICY.format(values=self._values, nvidia=section)
        return "--policy", str(self._bench.put("policy.yaml", text.encode()))


def denying(done: Done) -> set[str]:
    return {one["rule"] for one in done.json()["findings"] if one["result"] in DENY}


def test_a_machine_with_its_gpu(cli: Cli, bench: Bench, evidence: Evidence, policy: Policy) -> None:
    files = (evidence.quote(), bench.evidence(bench.nvidia.gpu()))
    judged = (*evidence.judged, *bench.rims(), *bench.answers(), "--nonce", NONCE.hex())
    said = cli.good("appraise", *files, *judged, *policy(), "--json").json()
    assert list(said) == [
        *("verdict", "binding", "cpu", "devices", "checked_at"),
        *("policy", "minimums", "findings"),
    ]
    assert (said["verdict"], said["binding"]) == ("accepted", "not-compared")
    assert (said["cpu"]["verdict"], said["devices"]["verdict"]) == ("verified", "verified")
    rules = {one["rule"] for one in said["findings"]}
    assert {"measurement", "advisory", "device-count", "driver-minimum"} <= rules
    assert said["minimums"] == {
        "version": builtin_minimums().file.version,
        "sha256": builtin_minimums().sha256.hex(),
    }
    printed = cli.good("appraise", *files, *judged, *policy()).out
    titles = ("verdict ", "binding ", "Held", "\nTCB", "\nClaims", "\nDevices", "\nDevice 0")
    order = [printed.index(title) for title in titles]
    assert order == sorted(order)
    assert "note " not in printed


def test_one_gpu_too_many(cli: Cli, bench: Bench, evidence: Evidence, policy: Policy) -> None:
    files = (evidence.quote(), bench.evidence(bench.nvidia.gpu(), bench.nvidia.gpu()))
    judged = (*evidence.judged, *bench.rims(), *bench.answers())
    done = cli("appraise", *files, *judged, *policy(), "--json")
    assert (done.code, denying(done)) == (1, {"device-count"})
    assert cli("appraise", *files, *judged, *policy(gpus=2)).code == 0


def test_a_gpu_is_missing(cli: Cli, evidence: Evidence, policy: Policy) -> None:
    done = cli("appraise", evidence.quote(), *evidence.judged, *policy(), "--json")
    assert (done.code, denying(done)) == (1, {"device-count"})
    assert list(done.json())[:2] == ["verdict", "reason"]  # there are no devices to show


@pytest.mark.parametrize("given", ["all", "no manifests", "another nonce"])
def test_a_policy_that_is_about_no_devices(
    cli: Cli, bench: Bench, evidence: Evidence, policy: Policy, given: str
) -> None:
    """As the service does it: they are unexpected, and whether they are good is not asked."""
    options = {
        "all": (*bench.rims(bench.nvidia.gpu()), *bench.answers()),
        "no manifests": (),
        "another nonce": ("--nonce", "ab" * 32),
    }[given]
    files = (evidence.quote(), bench.evidence(bench.nvidia.devices[0]))
    done = cli("appraise", *files, *evidence.judged, *options, *policy(nvidia=""), "--json")
    assert (done.code, denying(done)) == (1, {"device-unexpected"})
    (finding,) = [one for one in done.json()["findings"] if one["rule"] == "device-unexpected"]
    assert finding["actual"] == "1 not verified"


def test_devices_that_are_none_are_denied_by_any_policy(
    cli: Cli, bench: Bench, evidence: Evidence, policy: Policy
) -> None:
    path = bench.put("list.json", b'[{"evidence": "AA==", "certificate": 1}]')
    done = cli("appraise", evidence.quote(), path, *evidence.judged, *policy(nvidia=""), "--json")
    assert (done.code, done.json()["verdict"], done.json()["findings"]) == (1, "denied", [])
    assert done.json()["devices"]["reason"]["code"] == "malformed"


@pytest.mark.parametrize(
    ("nonce", "code", "verdict"), [("ab" * 32, 1, "denied"), (NONCE.hex(), 2, "undetermined")]
)
def test_devices_that_are_not_verified(  # noqa: PLR0917 - fixtures
    cli: Cli,
    bench: Bench,
    evidence: Evidence,
    policy: Policy,
    nonce: str,
    code: int,
    verdict: str,
) -> None:
    files = (evidence.quote(), bench.evidence(bench.nvidia.gpu()))
    done = cli("appraise", *files, *evidence.judged, "--nonce", nonce, *policy(), "--json")
    assert (done.code, done.json()["verdict"], done.json()["findings"]) == (code, verdict, [])
    printed = cli("appraise", *files, *evidence.judged, "--nonce", nonce, *policy()).out
    assert "reason (devices)  " in printed
    assert "reason (CPU)" not in printed


def test_a_cpu_that_is_not_verified(
    cli: Cli, bench: Bench, evidence: Evidence, policy: Policy
) -> None:
    files = (evidence.quote(), bench.evidence(bench.nvidia.gpu()))
    given = (*bench.rims(), *bench.answers(), "--at", evidence.at)
    done = cli("appraise", *files, *given, *policy(), "--json")
    assert (done.code, done.json()["verdict"], done.json()["findings"]) == (2, "undetermined", [])
    assert done.json()["devices"]["verdict"] == "verified"


def test_the_defaults_with_devices(
    cli: Cli, bench: Bench, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = bench.evidence(bench.nvidia.gpu())
    given = (*bench.rims(), *bench.answers())
    done = cli("appraise", evidence.quote(), gpu, *evidence.judged, *given, "--json")
    default = sha256(default_text(Tee.TDX, devices=True)).hexdigest()
    assert done.json()["policy"]["sha256"] == default
    assert denying(done) == {"measurement"}
    lab = SnpLab.create("Genoa")
    monkeypatch.setattr(inspect, "builtin", lab.anchors)
    report = [bench.put(one.kind, one.data) for one in lab.evidence()]
    said = cli("appraise", *report, gpu, *given, "--at", lab.at.isoformat(), "--json").json()
    assert said["policy"]["name"] == "snp-nvidia-strict"


# whose comparison counts


def test_a_policy_that_wants_the_services_word(
    cli: Cli, bench: Bench, evidence: Evidence, policy: Policy
) -> None:
    gpu = bench.nvidia.gpu()
    files, nras = (evidence.quote(), bench.evidence(gpu)), policy(appraisal="nras")
    done = cli("appraise", *files, *evidence.judged, *bench.rims(), *nras, "--json")
    assert (done.code, done.json()["verdict"]) == (2, "undetermined")
    assert cli("appraise", *files, *evidence.judged, *bench.token(gpu), *nras).code == 0


def test_a_policy_that_wants_both(
    cli: Cli, bench: Bench, evidence: Evidence, policy: Policy
) -> None:
    gpu = bench.nvidia.gpu()
    files, both = (evidence.quote(), bench.evidence(gpu)), policy(appraisal="both")
    token, ours = bench.token(gpu), (*bench.rims(), *bench.answers())
    assert cli("appraise", *files, *evidence.judged, *token, *ours, *both).code == 0
    for half in (token, ours):
        done = cli("appraise", *files, *evidence.judged, *half, *both, "--json")
        assert (done.code, done.json()["verdict"]) == (2, "undetermined")


def test_tokens_that_the_policy_does_not_ask_for(
    cli: Cli, bench: Bench, evidence: Evidence, policy: Policy
) -> None:
    gpu = bench.nvidia.gpu()
    files = (evidence.quote(), bench.evidence(gpu))
    for named in (policy(), policy(nvidia=""), ()):
        done = cli("appraise", *files, *evidence.judged, *bench.token(gpu), *named)
        assert (done.code, "the policy asks for no token" in done.err) == (64, True)


# devices alone


def test_devices_alone(cli: Cli, bench: Bench, policy: Policy) -> None:
    files = bench.evidence(bench.nvidia.gpu())
    given = (*bench.rims(), *bench.answers(), *AT)
    said = cli.good("appraise", files, *given, *policy(), "--json").json()
    assert said["verdict"] == "accepted"
    assert said["note"].endswith("get no certificate")
    assert {one["rule"] for one in said["findings"]} >= {"device-count", "driver-minimum"}
    assert "measurement" not in {one["rule"] for one in said["findings"]}
    printed = cli.good("appraise", files, *given, *policy()).out
    assert printed.startswith(
        "verdict    accepted\npolicy     machines@7\nnote       devices alone"
    )


def test_a_gpu_whose_driver_names_no_firmware(cli: Cli, bench: Bench, policy: Policy) -> None:
    gpu = bench.nvidia.gpu()
    gpu.written = gpu.written.having({20: None})
    given = (*bench.rims(), *bench.answers(), *AT)
    done = cli("appraise", bench.evidence(gpu), *given, *policy(), "--json")
    assert (done.code, denying(done)) == (1, {"fwid-missing"})


def test_a_revoked_device(cli: Cli, bench: Bench, policy: Policy) -> None:
    gpu = bench.nvidia.gpu()
    bench.nvidia.status(gpu.device.parties[1], REVOKED)
    given = (*bench.rims(), *bench.answers(), *AT)
    done = cli("appraise", bench.evidence(gpu), *given, *policy(), "--json")
    assert (done.code, done.json()["reason"]["code"]) == (1, "certificate-revoked")


# lowest versions


def minimums(bench: Bench, version: int, lowest: str) -> tuple[str, str]:
    text = f"""\
version: {version}
date: 2026-12-01
advisories:
  nvidia-5861:
    title: another list
    source: a test
    date: 2026-12-01
    driver: {{"580": {lowest}}}
"""
    return "--nvidia-minimums", str(bench.put("minimums.yaml", text.encode()))


def test_a_newer_list_of_lowest_versions(cli: Cli, bench: Bench, policy: Policy) -> None:
    files = bench.evidence(bench.nvidia.gpu())
    given = (*bench.rims(), *bench.answers(), *AT, *policy(), "--json")
    newer = builtin_minimums().file.version + 1
    done = cli("appraise", files, *given, *minimums(bench, newer, "580.999.01"))
    assert (done.code, denying(done)) == (1, {"driver-minimum"})
    assert done.json()["minimums"]["version"] == newer
    assert cli("appraise", files, *given, *minimums(bench, newer, "580.1.1")).code == 0


def test_a_list_that_does_not_load(cli: Cli, bench: Bench, policy: Policy) -> None:
    given = (bench.evidence(bench.nvidia.gpu()), *AT, *policy())
    same = builtin_minimums().file.version
    done = cli("appraise", *given, *minimums(bench, same, "580.1.1"))
    assert (done.code, "versions only rise" in done.err) == (66, True)
    done = cli("appraise", *given, *minimums(bench, same + 1, "new"))
    assert (done.code, done.out) == (66, "")
    assert cli("appraise", *given, "--nvidia-minimums", bench.folder / "none").code == 66
