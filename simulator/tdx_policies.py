# SPDX-License-Identifier: Apache-2.0
"""Policies of the demo for the simulated TDX machine: its images, by itself, and with two GPUs beside its CPU."""

from __future__ import annotations

from simulator.machine import register

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


def _registers() -> dict[str, str]:
    """What the machine's image measures."""
    names = ("firmware", "configuration", "kernel", "initrd and command line")
    values = [register(f"simulated {name}").hex() for name in names]
    return dict(zip(("mr_td", "rtmr0", "rtmr1", "rtmr2"), values, strict=True))
