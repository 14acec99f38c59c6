# SPDX-License-Identifier: Apache-2.0
"""A machine as in Azure enrolls at `attestca serve`: simulated processor, but a real TPM (in software) and tpm2-tools.

The quote is made by the client's own code, as it would be there; only the report of the processor is the simulator's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from attestca_client.azure import AzureQuoteSource
from attestca_client.enroll import enroll
from attestca_client.errors import Refused
from attestca_client.tpm import TpmTools
from simulator.azure import report_data_of, write
from simulator.snp import MEASUREMENT
from simulator.snp_policies import AZURE_POLICY
from tests.tpm_lab import jwk, runtime
from tests.unit.client import software_tpm

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.stage import Stage
    from tests.unit.client.software_tpm import SoftwareTpm

NAME = "software-tpm"  # of the policy and of its profile: no other test's policy decides
NOWHERE = ("127.0.0.1", 1)  # no metadata service: the authority asks the simulated AMD for the VCEK


def activate(stage: Stage, pcrs: dict[int, bytes], file: Path) -> None:
    """A policy that pins the values which the TPM was brought to."""
    values = {f"pcr{number}": value.hex() for number, value in pcrs.items()}
    text = AZURE_POLICY.format(measurement=MEASUREMENT.hex(), **values)
    file.write_text(
        text.replace("name: demo-azure", f"name: {NAME}").replace(
            "profile: default", f"profile: {NAME}"
        )
    )
    stage.operate("policy", "add", str(file))
    stage.operate("policy", "activate", NAME, "1")


def set_up(tpm: SoftwareTpm, stage: Stage) -> None:
    """What the paravisor does before the guest runs: a key, and the processor's report over it in the NV index."""
    data = runtime(keys=[jwk(tpm.make_key())])
    report = stage.world.snp.report(report_data_of(data))
    tpm.store(write(report, data).rstrip(b"\0"))


def test_a_machine_with_a_software_tpm_enrolls(sqlite_stage: Stage, tmp_path: Path) -> None:
    stage = sqlite_stage
    with software_tpm.started() as tpm:
        set_up(tpm, stage)
        pcrs = tpm.extend(4, 8, 9, 11, 12)
        activate(stage, pcrs, tmp_path / "policy.yaml")
        source = AzureQuoteSource(tools=TpmTools(tcti=tpm.tcti), metadata=NOWHERE)
        root = stage.root.read_bytes()

        enrolled = enroll(stage.url, root, NAME, source, tmp_path / "machine")
        assert (enrolled.policy, enrolled.assurance) == (f"{NAME}@1", "simulated")
        names = enrolled.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        (uri,) = names.value.get_values_for_type(x509.UniformResourceIdentifier)
        assert uri == f"spiffe://example.org/azure/{pcrs[11].hex()[:32]}"

        tpm.extend(9)  # another kernel, or whatever else was measured after
        with pytest.raises(Refused) as refused:
            enroll(stage.url, root, NAME, source, tmp_path / "other")
        assert [finding.rule for finding in refused.value.findings] == ["measurement"]
