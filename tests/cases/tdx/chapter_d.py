# SPDX-License-Identifier: Apache-2.0
"""Lines 81 to 88: what a relying party's conformance suite adds."""

from __future__ import annotations

from simulator.intel import FakeIntel
from simulator.machine import register
from simulator.pki import Key
from tests.cases.tdx.chapter_c_tcb import with_status
from tests.tdx_lab import NOW, Case, Lab, both, expired, identified, quoted, stated, svn
from verifiers.errors import Reason
from verifiers.tcb import TcbStatus

UP_TO_DATE = TcbStatus.UP_TO_DATE
STRANGER = Key.derive(b"chapter d", "stranger")
PINS = {
    "mr_td": register("pinned td"),
    "mr_seam": register("pinned module"),
    "rtmr3": register("pinned rtmr3"),
    "mr_config_id": register("pinned config"),
    "mr_owner": register("pinned owner"),
    "mr_owner_config": register("pinned owner config"),
    "report_data": bytes(range(64)),
    "xfam": (0x602E7).to_bytes(8, "little"),
    "td_attributes": (1 << 28).to_bytes(8, "little"),
    "tee_tcb_svn": svn(11, 1, 4),
}


def other_vendor(lab: Lab) -> None:
    lab.intel.tcb_info_signer = FakeIntel.create(NOW, seed=b"another vendor").tcb_signing


def foreign_statement(lab: Lab) -> None:
    """TCB info and its whole chain of another vendor, all in itself right."""
    other = FakeIntel.create(NOW, seed=b"another vendor").bundle()
    names = ("tcb_info", "tcb_info_signature", "tcb_info_issuer_chain")
    lab.edit(**{name: other[name] for name in names})


CASES = (
    Case(
        81,
        "the key in the quote is not the one that signed",
        Reason.SIGNATURE,
        quoted(attestation_key=STRANGER.point),
    ),
    Case(
        81,
        "the key in the quote is no point on the curve",
        Reason.SIGNATURE,
        quoted(attestation_key=b"\1" * 64),
    ),
    Case(
        81,
        "the binding is wrong though the QE report is signed",
        Reason.SIGNATURE,
        quoted(qe_report_data=b"\1" * 64),
    ),
    Case(
        81,
        "other QE auth data than the QE report names",
        Reason.SIGNATURE,
        lambda lab: lab.patch(lambda quote: quote.replace(lab.platform.qe_auth_data, bytes(32))),
    ),
    Case(
        82,
        "intermediate in a signed root CRL",
        Reason.CERTIFICATE_REVOKED,
        lambda lab: lab.intel.root_crl.revoke(lab.intel.platform_ca.spec.serial),
    ),
    Case(82, "TCB info of another vendor", Reason.UNTRUSTED_ROOT, foreign_statement),
    Case(
        82, "TCB signing certificate of another vendor under our root", Reason.CHAIN, other_vendor
    ),
    Case(
        83,
        "QE identity alone is expired",
        UP_TO_DATE,
        identified(nextUpdate="2026-10-25T11:59:59Z"),
        expired("qe_identity"),
    ),
    Case(
        83,
        "TCB info alone is expired",
        UP_TO_DATE,
        stated(nextUpdate="2026-10-25T11:59:59Z"),
        expired("tcb_info"),
    ),
    Case(
        84,
        "the evaluation number is shown to the policy",
        UP_TO_DATE,
        both(stated(tcbEvaluationDataNumber=17), identified(tcbEvaluationDataNumber=17)),
        lambda claims: claims.tcb.evaluation_data_number == 17,
    ),
    Case(
        85,
        "a signed QE identity of id TD_QE2",
        Reason.ENDORSEMENT_MISMATCH,
        identified(id="TD_QE2"),
    ),
    Case(
        85, "a signed QE identity of version 1", Reason.ENDORSEMENT_MISMATCH, identified(version=1)
    ),
    *(
        Case(
            86,
            f"status {status} is shown to the policy",
            status,
            with_status(str(status)),
        )
        for status in (
            TcbStatus.OUT_OF_DATE,
            TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
            TcbStatus.SW_HARDENING_NEEDED,
            TcbStatus.CONFIGURATION_NEEDED,
            TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
        )
    ),
    Case(
        87,
        "XFAM without x87 and SSE is shown to the policy",
        UP_TO_DATE,
        quoted(xfam=0x602E4),
        lambda claims: claims.td.xfam == (0x602E4).to_bytes(8, "little"),
    ),
    Case(
        87,
        "XFAM with an unknown feature is shown to the policy",
        UP_TO_DATE,
        quoted(xfam=1 << 63 | 3),
        lambda claims: claims.td.xfam == (1 << 63 | 3).to_bytes(8, "little"),
    ),
    Case(
        88,
        "everything that a policy may pin is shown as it was signed",
        UP_TO_DATE,
        quoted(**PINS),
        lambda claims: all(getattr(claims.td, name) == value for name, value in PINS.items()),
    ),
)
