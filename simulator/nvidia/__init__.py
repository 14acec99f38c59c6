# SPDX-License-Identifier: Apache-2.0
"""A fake NVIDIA: GPUs and switches of its own, and what NVIDIA publishes and answers about them.

reports       reports byte by byte                  devices   certificates of devices, and who signs reports
certificates  keys and all other certificates       rims      reference manifests
answers       OCSP answers
"""

from __future__ import annotations
