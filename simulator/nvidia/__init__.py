# SPDX-License-Identifier: Apache-2.0
"""A fake NVIDIA: GPUs and switches of its own, what NVIDIA publishes of them, and what its services answer.

    vendor        FakeNvidia: start here                services      its services over HTTP
    hardware      NvidiaDevice: one GPU or switch       products      facts of GPUs and switches
    reports       reports byte by byte                  devices       certificates of devices, and who signs reports
    rims          reference manifests                   certificates  keys and all other certificates
    answers       OCSP answers                          responding    the OCSP service
    nras          the attestation service               appraisal     what it finds out; nras_claims: how it says it

Every part is settable before it is signed, and nothing here checks anything but what the attestation service is for.
"""

from __future__ import annotations
