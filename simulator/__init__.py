# SPDX-License-Identifier: Apache-2.0
"""Stand-in silicon: a fake Intel with roots of its own, for tests, benchmarks and the demo. Never shipped.

Writes bytes from its own layout tables and shares no code with the verifiers.

    intel       FakeIntel: the vendor; start here         pcs      its collateral service over HTTP
    machine     Platform: one TDX machine and its quotes  quote    how a quote is put together; layouts: its fields
    hierarchy   Intel's certificates and lists            pck      the SGX extension of PCK certificates
    collateral  TCB info and QE identity                  pki      keys, certificates, lists, every lever; der: ASN.1
"""

from __future__ import annotations
