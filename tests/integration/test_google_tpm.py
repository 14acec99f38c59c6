# SPDX-License-Identifier: Apache-2.0
"""A machine as at Google enrolls at `attestca serve`: a real TPM (in software) with Google's indices, and tpm2-tools.

Which pieces are sent, and the quote, are the client's own doing; only the processor and Google are the simulator's.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

import pytest
from cryptography import x509

from attestca_client.enroll import enroll
from attestca_client.errors import Refused
from attestca_client.eventlog import EventLogSource
from attestca_client.google import GoogleVtpmSource
from attestca_client.machine import MachineQuoteSource
from attestca_client.runtime import Runtime
from attestca_client.tpm import TpmTools
from attestca_client.wire import Evidence
from simulator.snp import MEASUREMENT
from tests.eventlog_lab import action, tcg2
from tests.unit.client import software_tpm
from tests.unit.client.google_keys import RSA, product, provision, rsa_template

if TYPE_CHECKING:
    from pathlib import Path

    from attestca_client.azure import AzureQuoteSource
    from attestca_client.tsm import TsmQuoteSource
    from simulator.stage import Stage
    from tests.unit.client.software_tpm import SoftwareTpm

NAME = "google-tpm"  # of the policy and of its profile: no other test's policy decides
NOWHERE = ("127.0.0.1", 1)  # no bucket: the authority knows the intermediate
BOOT = {number: f"measured into PCR {number}".encode() for number in (4, 8, 9)}
POLICY = """\
name: {name}
version: 1
match: {{tee: snp, provider: google}}
reference_sets:
  release:
    - id: image-1
      values: {{measurement: "{measurement}", {pcrs}}}
snp:
  measurements: [release]
  tcb: {{no_floor: the simulated machine has no flaws}}
google:
  projects: [{project}]
boot: {{require_replay: [pcr4, pcr8, pcr9]}}
issue:
  profile: {name}
  san: {{uri: ["spiffe://example.org/google/{{pcr4_32}}"]}}
  shared_name: every machine that boots this image serves the same name
"""


def boot(tpm: SoftwareTpm, folder: Path) -> dict[int, bytes]:
    """Extend the registers, with a log that says so; what they are then."""
    zero = bytes(32)
    for number, text in BOOT.items():
        tpm.tool("pcrextend", f"{number}:sha256={hashlib.sha256(text).hexdigest()}")
    events = (action(number, text, (0x0B,)) for number, text in BOOT.items())
    (folder / "measurements").write_bytes(tcg2(*events, algorithms=(0x0B,)))
    values = {
        n: hashlib.sha256(zero + hashlib.sha256(t).digest()).digest() for n, t in BOOT.items()
    }
    return {11: zero, 12: zero} | values


def activate(stage: Stage, pcrs: dict[int, bytes], project: str, version: int, file: Path) -> None:
    """A policy that pins these values."""
    text = POLICY.format(
        name=NAME,
        measurement=MEASUREMENT.hex(),
        pcrs=", ".join(f'pcr{number}: "{value.hex()}"' for number, value in pcrs.items()),
        project=project,
    )
    file.write_text(text.replace("version: 1", f"version: {version}"))
    stage.operate("policy", "add", str(file))
    stage.operate("policy", "activate", NAME, str(version))


def machine(tpm: SoftwareTpm, stage: Stage, folder: Path, *, vtpm: bool) -> MachineQuoteSource:
    """What the client has there, with the simulator's processor below the kernel's interface."""
    runtime = Runtime()

    def tsm(report_data: bytes) -> list[Evidence]:
        return [Evidence("snp-report", stage.world.snp.report(report_data))]

    google = GoogleVtpmSource(runtime, TpmTools(tcti=tpm.tcti), product(folder), NOWHERE)
    return MachineQuoteSource(
        cast("TsmQuoteSource", tsm),
        cast("AzureQuoteSource", None),
        EventLogSource(runtime, folder / "none"),
        EventLogSource.of_a_tpm(runtime, folder / "measurements"),
        google=google if vtpm else None,
    )


def test_a_machine_with_googles_tpm_enrolls(sqlite_stage: Stage, tmp_path: Path) -> None:
    stage = sqlite_stage
    with software_tpm.started() as tpm:
        provision(tpm, stage.world.google, RSA, rsa_template())
        pcrs = boot(tpm, tmp_path)
        activate(stage, pcrs, "simulated-project", 1, tmp_path / "policy.yaml")
        source = machine(tpm, stage, tmp_path, vtpm=True)
        root = stage.root.read_bytes()

        enrolled = enroll(stage.url, root, NAME, source, tmp_path / "machine")
        assert (enrolled.policy, enrolled.assurance) == (f"{NAME}@1", "simulated")
        names = enrolled.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        (uri,) = names.value.get_values_for_type(x509.UniformResourceIdentifier)
        assert uri == f"spiffe://example.org/google/{pcrs[4].hex()[:32]}"

        alone = machine(tpm, stage, tmp_path, vtpm=False)  # as without the option
        assert refused_by(stage, alone, tmp_path) == {"no-policy"}
        activate(stage, pcrs, "another-project", 2, tmp_path / "next.yaml")
        assert refused_by(stage, source, tmp_path) == {"google-vm"}


def refused_by(stage: Stage, source: MachineQuoteSource, folder: Path) -> set[str]:
    """The rules of the policy that a machine does not meet."""
    with pytest.raises(Refused) as refused:
        enroll(stage.url, stage.root.read_bytes(), NAME, source, folder / "other")
    return {finding.rule for finding in refused.value.findings}
