# SPDX-License-Identifier: Apache-2.0
"""Policies of the demo for the simulated TDX machine: its images, with two GPUs, and under Azure's paravisor."""

from __future__ import annotations

from simulator.azure import PARAVISOR
from simulator.machine import register
from simulator.vtpm import boot_pcrs
from simulator.world import BOOT

NEXT_KERNEL = register("simulated kernel, the next release")  # what RTMR1 holds then

_RELEASES = """\
name: demo
version: {version}
description: {description}
match: {{tee: tdx}}
reference_sets:
  release:
{images}tdx:
  measurements: [release]
issue:
  profile: default
  lifetime: 1h
  san:
    dns: ["demo.example.org"]
    uri: ["spiffe://example.org/tdx/{{mr_td_32}}"]
  shared_name: every machine that boots this image serves the same name
"""
IMAGE = """\
    - id: demo-image-{number}
      values:
        mr_td: "{mr_td}"
        rtmr0: "{rtmr0}"
        rtmr1: "{rtmr1}"
        rtmr2: "{rtmr2}"
      source: {{kind: computed}}
"""
# Of one image; its registers are to be filled in.
POLICY = (
    _RELEASES.replace("{version}", "1")
    .replace("{description}", "the one image of the simulated machine")
    .replace("{images}", IMAGE.replace("{number}", "1"))
)
GPU_POLICY = """\
name: demo-gpu
version: 1
description: the same image with two H100s beside the CPU
match: {{tee: tdx}}
reference_sets:
  release:
    - id: demo-gpu-image-1
      values:
        mr_td: "{mr_td}"
        rtmr0: "{rtmr0}"
        rtmr1: "{rtmr1}"
        rtmr2: "{rtmr2}"
      source: {{kind: computed}}
tdx:
  measurements: [release]
nvidia:
  appraisal: both
  gpus: 2
  models: [GH100]
  modes: [spt]
  driver: {{advisories: [nvidia-5861]}}
  vbios: {{minimum: {{GH100: "96.00.CF.00.01"}}}}
  coverage: 33
issue:
  profile: gpu
  lifetime: 1h
  san:
    dns: ["gpu.demo.example.org"]
    uri: ["spiffe://example.org/tdx-gpu/{{mr_td_32}}"]
  shared_name: every machine that boots this image serves the same name
"""
AZURE_POLICY = """\
name: demo-azure-tdx
version: 1
description: the one image of the simulated TDX machine under a paravisor
match: {{tee: tdx, provider: azure}}
reference_sets:
  release:
    - id: demo-azure-tdx-image-1
      values:
        mr_td: "{mr_td}"
        pcr4: "{pcr4}"
        pcr8: "{pcr8}"
        pcr9: "{pcr9}"
        pcr11: "{pcr11}"
        pcr12: "{pcr12}"
      source: {{kind: computed}}
tdx:
  measurements: [release]
relax:
  sept-ve-disable-clear: the paravisor handles exceptions of its guest
issue:
  profile: azure
  lifetime: 1h
  san:
    uri: ["spiffe://example.org/azure-tdx/{{pcr11_32}}"]
  shared_name: every machine that boots this image serves the same name
"""


def tdx_policy() -> str:
    """The document for the TDX machine; evidence of devices is refused under it."""
    return POLICY.format(**_registers())


def next_tdx_policy() -> str:
    """Its next version, which accepts the next release too: the same but for the kernel."""
    images = (_registers(), _registers() | {"rtmr1": NEXT_KERNEL.hex()})
    texts = (IMAGE.format(number=number, **image) for number, image in enumerate(images, start=1))
    said = "the two releases of the simulated machine's image"
    return _RELEASES.format(version=2, description=said, images="".join(texts))


def gpu_policy() -> str:
    """The document for the same machine with two H100s, under the profile "gpu"."""
    return GPU_POLICY.format(**_registers())


def azure_tdx_policy() -> str:
    """The document for the same machine under a paravisor, with the profile "azure"."""
    pcrs = {f"pcr{i}": boot_pcrs()[i].hex() for i in (4, 8, 9, 11, 12)}
    return AZURE_POLICY.format(mr_td=PARAVISOR.hex(), **pcrs)


def _registers() -> dict[str, str]:
    """What the machine's image measures."""
    measured = {"mr_td": register("simulated firmware"), **BOOT.registers}
    return {name: value.hex() for name, value in measured.items()}
