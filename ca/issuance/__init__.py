# SPDX-License-Identifier: Apache-2.0
"""What is signed, and how it is checked before and after. Pure: `now`, entropy and keys are arguments.

Read `prepare` first. Stages: `csr.CertifiedKey` -> `request.LeafRequest` -> `prepare.PreparedCertificate` ->
`prepare.IssuedCertificate`; each is made in one place and nothing changes it afterwards.
"""

from __future__ import annotations
