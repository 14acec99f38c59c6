# SPDX-License-Identifier: Apache-2.0
"""Stand-in silicon: a fake Intel, AMD and NVIDIA with roots of their own, for tests, benchmarks, demo. Never shipped.

Writes bytes from its own layout tables and shares no code with the verifiers.

    intel       FakeIntel: the vendor; start here         pcs      its collateral service over HTTP
    machine     Platform: one TDX machine and its quotes  quote    how a quote is put together; layouts: its fields
    hierarchy   Intel's certificates and lists            pck      the SGX extension of PCK certificates
    eventlog    what a machine measures at boot, its logs; tpm_eventlog  the same by a virtual TPM
    collateral  TCB info and QE identity                  pki      keys, certificates, lists, every lever; der: ASN.1

    amd         FakeAmd: the vendor; start here           kds      its key distribution service over HTTP
    snp         SnpMachine: one machine and its reports   snp_report  how a report is put together
    azure       AzureCvm: a paravisor over a machine      vtpm     its virtual TPM and quotes
    amd_certificates  ARK, ASK, ASVK, VCEK, VLEK, lists   amd_keys RSA and P-384; products: facts of the lines

    nvidia      a package: FakeNvidia, its GPUs and switches, manifests, OCSP, attestation service, all over HTTP
"""

from __future__ import annotations
