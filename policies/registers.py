# SPDX-License-Identifier: Apache-2.0
"""The registers a policy can name, and which of them matter for what.

Names are those of the TD report in snake case; every one holds 48 bytes. A name never changes its meaning: policies,
certificates and revocation handles speak of registers by these names.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verifiers.tdx.claims import TdxClaims

REGISTER_BYTES = 48


class Register(StrEnum):
    """Measurement and configuration registers of a TD (Intel TDX module ABI, TDINFO_STRUCT and TEE_TCB_INFO)."""

    MR_TD = "mr_td"  # firmware and initial memory, as the host built them
    RTMR0 = "rtmr0"  # firmware configuration: virtual hardware, boot variables
    RTMR1 = "rtmr1"  # boot loader and kernel
    RTMR2 = "rtmr2"  # kernel command line, initial file system, applications
    RTMR3 = "rtmr3"  # free for the guest
    MR_SEAM = "mr_seam"  # the TDX module
    MRSIGNER_SEAM = "mrsigner_seam"  # its signer; all zero for Intel
    MR_CONFIG_ID = "mr_config_id"  # chosen by whoever starts the TD
    MR_OWNER = "mr_owner"
    MR_OWNER_CONFIG = "mr_owner_config"
    MR_SERVICE_TD = "mr_service_td"  # reports 1.5 and later; all zero where no service TD is bound


# What a policy pins, or says why it does not: together they are the code that runs in the TD.
MUST_PIN = (Register.MR_TD, Register.RTMR0, Register.RTMR1, Register.RTMR2)

# What tells one deployment from another that boots the same public image.
INSTANCE = frozenset({Register.MR_CONFIG_ID, Register.MR_OWNER, Register.MR_OWNER_CONFIG})


def read(claims: TdxClaims, register: Register) -> bytes | None:
    """The 48 bytes of one register; None where this kind of report does not carry it."""
    if register is Register.MR_SERVICE_TD:
        return claims.td15.mr_service_td if claims.td15 is not None else None
    value: bytes = getattr(claims.td, register.value)
    return value
