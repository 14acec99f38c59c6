# SPDX-License-Identifier: Apache-2.0
"""The section `tdx` of a policy document: every key, its type, and what holds when it is not said."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from policies.model import Model, Rules, StaleBudget
from policies.scalars import HardwareId, Hex6, Hex8, Identifier, Instant, Svn, Text
from verifiers.tcb import TcbStatus
from verifiers.tdx.claims import TdAttribute

# XFAM: x87 and SSE are always on; other bits than these are not architectural yet (Intel TDX module ABI, XFAM)
XFAM_REQUIRED = bytes.fromhex("0000000000000003")
XFAM_ALLOWED = bytes.fromhex("000000000006dbe7")


def _acceptable(status: TcbStatus) -> TcbStatus:
    if status in (TcbStatus.UP_TO_DATE, TcbStatus.REVOKED, TcbStatus.UNKNOWN):
        raise ValueError("UpToDate is always accepted; Revoked and Unknown never are")
    return status


ToleratedStatus: TypeAlias = Annotated[TcbStatus, AfterValidator(_acceptable)]


class Attributes(Model):
    """Named TD attributes beyond the built-in rules."""

    required: frozenset[TdAttribute] = frozenset()
    forbidden: frozenset[TdAttribute] = frozenset()
    allowed: frozenset[TdAttribute] | None = (
        None  # None: any; else these, `required` and sept-ve-disable
    )


class Xfam(Model):
    """Masks over XFAM as a 64-bit number, 16 hexadecimal digits, most significant first."""

    required: Hex8 = XFAM_REQUIRED  # x87 and SSE are required besides
    allowed: Hex8 = XFAM_ALLOWED


class ToleratedTcb(Model):
    """A TCB status besides UpToDate that is accepted.

    It is accepted at `now` if `now < until` (or no `until` is said) and every advisory id of the platform stands in
    `advisories`; an empty list tolerates a platform without advisories only.
    """

    status: ToleratedStatus
    until: Instant | None = None
    advisories: frozenset[Identifier] = frozenset()
    note: Text = ""


class Minimum(Model):
    """Lowest security version numbers, component by component. What is not said has no minimum beyond Intel's."""

    tcb_evaluation_data_number: Svn = 0
    tee_tcb_svn: tuple[Svn, ...] = Field(
        default=(), max_length=16
    )  # from index 0 on, at launch and now
    tdx_module: dict[Svn, Svn] | None = (
        None  # by module version (tee_tcb_svn[1]); others are refused
    )
    sgx_tcb_components: tuple[Svn, ...] = Field(default=(), max_length=16)  # from index 0 on
    pcesvn: Svn = 0
    qe_isvsvn: Svn = 0


class Tcb(Model):
    """Rules over Intel's judgement of the platform."""

    accept: tuple[ToleratedTcb, ...] = ()
    refuse_advisories: frozenset[Identifier] = frozenset()  # whatever the status
    minimum: Minimum = Minimum()


class CollateralPart(StrEnum):
    """Parts of Intel's collateral with a next update."""

    TCB_INFO = "tcb_info"
    QE_IDENTITY = "qe_identity"
    PCK_CRL = "pck_crl"
    ROOT_CA_CRL = "root_ca_crl"


class Platforms(Model):
    """Machines that are allowed. None: any that Intel certified."""

    fmspc: frozenset[Hex6] | None = Field(default=None, min_length=1)
    platform_instance_id: frozenset[HardwareId] = frozenset()
    ppid: frozenset[HardwareId] = frozenset()  # a machine passes if either list names it

    @property
    def lists_chips(self) -> bool:
        """Whether single machines are listed."""
        return bool(self.platform_instance_id or self.ppid)


class TdxRules(Rules):
    """The section `tdx`."""

    attributes: Attributes = Attributes()
    xfam: Xfam = Xfam()
    tcb: Tcb = Tcb()
    tolerate_stale: dict[CollateralPart, StaleBudget] = Field(default_factory=dict)
    platforms: Platforms = Platforms()

    @property
    def lists_chips(self) -> bool:
        """Whether single machines are listed."""
        return self.platforms.lists_chips
