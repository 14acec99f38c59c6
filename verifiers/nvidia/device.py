# SPDX-License-Identifier: Apache-2.0
"""Whether a report is a genuine device's own, and answers the nonce: all that holds without anything fetched.

In this order: the report to its last byte; the chain to the pinned root; the signature, and only then what the report
says; that it is a report of such a device as is certified; the nonce; the dates; the firmware that the key was
certified for.
"""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest
from typing import TYPE_CHECKING

from verifiers.chain import check_validity
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.chain import DeviceChain, verify_device_chain
from verifiers.nvidia.measurements import check_chip
from verifiers.nvidia.report import NvidiaReport, parse_report
from verifiers.signatures import p384_verifies

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.anchors import Anchors, NvidiaRoots
    from verifiers.nvidia.evidence import NvidiaEvidence
    from verifiers.nvidia.report import ReportFields


@dataclass(frozen=True, slots=True)
class Device:
    """A genuine device's own report. `bound`: whether its nonce was compared. Made by `authenticate` alone."""

    report: NvidiaReport
    chain: DeviceChain
    bound: bool

    @property
    def fields(self) -> ReportFields:
        """What the report says of its firmware.

        Raises:
            VerificationError: `incomplete` for a transcript of an FSP, which says nothing that a manifest is for.
        """
        if self.report.fields is None:
            raise VerificationError(
                Reason.INCOMPLETE,
                f"{self.chain.model}: no signed reference manifest is known for a transcript of an FSP",
            )
        return self.report.fields


def authenticate(
    evidence: NvidiaEvidence, anchors: Anchors, nonce: bytes | None, now: datetime
) -> Device:
    """Authenticate one device's evidence.

    Args:
        evidence: trusted by nobody.
        anchors: the roots that count.
        nonce: 32 bytes that the request must have; None only where nothing is issued (offline inspection).
        now: the instant to judge at, timezone-aware.

    Raises:
        VerificationError: `binding-mismatch` for another nonce, `endorsement-mismatch` for a report that the
            certificates do not fit, `signature`, `certificate-expired`, `certificate-not-yet-valid`; what
            `parse_report`, `verify_device_chain` and `check_chip` raise.
    """
    report = parse_report(evidence.report)
    chain = verify_device_chain(evidence.chain_pem, nvidia_roots(anchors).device)
    if not p384_verifies(chain.leaf.public_key, report.r, report.s, report.signed):
        raise VerificationError(
            Reason.SIGNATURE, "the report is not signed by the leaf of the device chain"
        )
    _check_fits(report, chain)
    if nonce is not None and not compare_digest(report.nonce, nonce):
        raise VerificationError(
            Reason.BINDING_MISMATCH, "the report answers another nonce than was asked for"
        )
    check_validity(chain.certificates, now)
    _check_fwid(report, chain)
    return Device(report, chain, nonce is not None)


def nvidia_roots(anchors: Anchors) -> NvidiaRoots:
    """The pinned roots. Raises VerificationError (`untrusted-root`) if there are none."""
    if anchors.nvidia is None:
        raise VerificationError(Reason.UNTRUSTED_ROOT, "no root of NVIDIA is pinned")
    return anchors.nvidia


def _check_fits(report: NvidiaReport, chain: DeviceChain) -> None:
    """The shape, the chip and a switch's own identity are those of the certificates."""
    if report.shape is not chain.shape:
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH, f"{chain.model} signs no reports of a {report.shape}"
        )
    if report.fields is None:
        return
    check_chip(report.fields, chain.family)
    if report.fields.pdi not in (None, chain.pdi):
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH, "SWITCH_PDI is not the identity that is certified"
        )


def _check_fwid(report: NvidiaReport, chain: DeviceChain) -> None:
    """FWID is the firmware that the leaf is certified for. One that is missing is a fact for the policy."""
    fwid = None if report.fields is None else report.fields.fwid
    if fwid is not None and not compare_digest(fwid, chain.fwid):
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH, "FWID is not the firmware that the leaf is certified for"
        )
