# SPDX-License-Identifier: Apache-2.0
"""Policies of the demo for the simulated SEV-SNP machine: as a guest of its own, and under a paravisor."""

from __future__ import annotations

from simulator.snp import MEASUREMENT
from simulator.vtpm import boot_pcrs

SNP_POLICY = """\
name: demo-snp
version: 1
description: the one image of the simulated SEV-SNP machine
match: {{tee: snp, provider: direct}}
reference_sets:
  release:
    - id: demo-snp-image-1
      values: {{measurement: "{measurement}"}}
      source: {{kind: computed}}
snp:
  measurements: [release]
  products: {{allow: [Genoa]}}
  tcb:
    minimum:
      19-11-1:
        reported: {{snp: 27, microcode: 88}}
        committed: {{snp: 27}}
        launch: {{snp: 27}}
issue:
  profile: default
  lifetime: 1h
  san:
    dns: ["demo.example.org"]
    uri: ["spiffe://example.org/snp/{{product}}/{{measurement_32}}"]
  shared_name: every machine that boots this image serves the same name
"""
AZURE_POLICY = """\
name: demo-azure
version: 1
description: the one image of the simulated SEV-SNP machine under a paravisor
match: {{tee: snp, provider: azure}}
reference_sets:
  release:
    - id: demo-azure-image-1
      values:
        measurement: "{measurement}"
        pcr4: "{pcr4}"
        pcr8: "{pcr8}"
        pcr9: "{pcr9}"
        pcr11: "{pcr11}"
        pcr12: "{pcr12}"
      source: {{kind: computed}}
snp:
  measurements: [release]
  tcb: {{no_floor: the simulated machine has no flaws}}
issue:
  profile: default
  lifetime: 1h
  san:
    uri: ["spiffe://example.org/azure/{{pcr11_32}}"]
  shared_name: every machine that boots this image serves the same name
"""


def snp_policy() -> str:
    """The document for the SEV-SNP machine."""
    return SNP_POLICY.format(measurement=MEASUREMENT.hex())


def azure_policy() -> str:
    """The document for the same machine under a paravisor."""
    pcrs = {f"pcr{i}": boot_pcrs()[i].hex() for i in (4, 8, 9, 11, 12)}
    return AZURE_POLICY.format(measurement=MEASUREMENT.hex(), **pcrs)
