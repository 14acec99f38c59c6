# SPDX-License-Identifier: Apache-2.0
"""NVIDIA GPUs and NVSwitches: SPDM 1.1 measurement reports. Start reading at `verifiers.nvidia.verify.verify`."""

from __future__ import annotations
