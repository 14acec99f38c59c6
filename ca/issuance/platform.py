# SPDX-License-Identifier: Apache-2.0
"""Verified claims in the words that all technologies share. One function per technology; the table is closed.

    technology   product             TCB vector (handle "tcb")                                        chip id
    tdx          fmspc:<12 digits>   16 SGX component SVNs ‖ PCESVN, 2 bytes big-endian ‖ TEE_TCB_SVN   "ppid", 16 bytes
                                     (34 bytes: the SVNs that the vendor's TCB levels were matched with)

A vector never changes its layout: revocations of a TCB outlive releases. An all-zero hardware id identifies nothing and
gives no handle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attestca_client.protocol import chip_id
from ca.issuance.request import Platform
from verifiers.tcb import TcbStatus

if TYPE_CHECKING:
    from verifiers.claims import Claims


def describe(claims: Claims, chip_key: bytes | None) -> Platform:
    """The platform of verified TDX claims.

    `chip_key` is this authority's key for hardware handles (32 bytes); None where the policy leaves them out.
    """
    pck = claims.pck
    status = claims.tcb.status or TcbStatus.UNKNOWN
    vector = bytes(pck.sgx_tcb_components) + pck.pcesvn.to_bytes(2, "big") + claims.td.tee_tcb_svn
    hardware = (pck.ppid,) if chip_key is not None and any(pck.ppid) else ()
    return Platform(
        tee=claims.tee.value,
        product=f"fmspc:{pck.fmspc.hex()}",
        tcb_status=status.value,
        tcb_current=status is TcbStatus.UP_TO_DATE,
        tcb_vector=vector,
        chip_ids=tuple(chip_id(chip_key or b"", "ppid", each) for each in hardware),
        evidence_sha256=claims.evidence_sha256,
        verified_at=claims.verified_at,
        certificates_expire=claims.certificates_expire,
    )
