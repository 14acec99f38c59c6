# SPDX-License-Identifier: Apache-2.0
"""Lines 111 to 118: what only a service that issues certificates meets; here, what the verifier gives it."""

from __future__ import annotations

from datetime import timedelta

from simulator.intel import FakeIntel
from tests.tdx_lab import NOW, Case, Lab, quoted, shown
from verifiers.errors import Reason
from verifiers.tcb import TcbStatus

UP_TO_DATE = TcbStatus.UP_TO_DATE
BINDING = bytes(range(64))
END = NOW + timedelta(days=29)  # of all statements and CRLs of the lab but the root's


def bound(lab: Lab, report_data: bytes, binding: bytes = BINDING) -> None:
    lab.binding = binding
    lab.quote(report_data=report_data)


def with_advisories_of(lab: Lab, number: int) -> None:
    """Two evaluations of one instant that disagree: from 20 on the platform's level is OutOfDate."""
    lab.info(tcbEvaluationDataNumber=number)
    lab.level(tcbStatus="OutOfDate" if number >= 20 else "UpToDate")


def all_under_another_root(lab: Lab) -> None:
    """Genuine in itself, the same names, another root: Intel's pre-production systems look so."""
    other = FakeIntel.create(NOW, seed=b"pre-production")
    lab.platform = other.platform()
    lab.root_der = lab.intel.root_der
    lab.intel = other


CASES = (
    Case(
        111,
        "evidence made for another nonce",
        Reason.BINDING_MISMATCH,
        lambda lab: bound(lab, bytes(64)),
    ),
    Case(
        111,
        "evidence made for this nonce",
        UP_TO_DATE,
        lambda lab: bound(lab, BINDING),
        lambda claims: claims.bound,
    ),
    Case(
        111,
        "nothing asked: the claims say so",
        UP_TO_DATE,
        quoted(report_data=BINDING),
        lambda claims: not claims.bound,
    ),
    Case(
        112,
        "one bit of report_data",
        Reason.BINDING_MISMATCH,
        lambda lab: bound(lab, BINDING[:-1] + b"\0"),
    ),
    Case(
        112,
        "a digest padded with zeros is no binding",
        Reason.BINDING_MISMATCH,
        lambda lab: bound(lab, BINDING[:32] + bytes(32)),
    ),
    Case(
        112,
        "a short binding is not padded",
        Reason.BINDING_MISMATCH,
        lambda lab: bound(lab, BINDING[:32] + bytes(32), BINDING[:32]),
    ),
    Case(
        112,
        "an empty binding is one",
        Reason.BINDING_MISMATCH,
        lambda lab: bound(lab, BINDING, b""),
    ),
    Case(
        113,
        "evaluation 19 still says UpToDate",
        UP_TO_DATE,
        lambda lab: with_advisories_of(lab, 19),
        lambda claims: claims.tcb.evaluation_data_number == 19,
    ),
    Case(
        113,
        "evaluation 20 says OutOfDate",
        TcbStatus.OUT_OF_DATE,
        lambda lab: with_advisories_of(lab, 20),
        lambda claims: claims.tcb.evaluation_data_number == 20,
    ),
    Case(
        113,
        "real quote, evaluation 19",
        UP_TO_DATE,
        shown("tdx4-b0c06f-eval19-uptodate"),
        lambda claims: claims.tcb.evaluation_data_number == 19,
    ),
    Case(
        113,
        "real quote, TCB info of evaluation 20 and QE identity of 19",
        TcbStatus.OUT_OF_DATE,
        shown("tdx4-b0c06f-eval20-outofdate"),
        lambda claims: claims.tcb.evaluation_data_number == 19,
    ),
    Case(
        114,
        "QE identity of an older evaluation",
        UP_TO_DATE,
        lambda lab: lab.identity(tcbEvaluationDataNumber=18),
        lambda claims: claims.tcb.evaluation_data_number == 18,
    ),
    Case(
        114,
        "TCB info of an older evaluation",
        UP_TO_DATE,
        lambda lab: lab.info(tcbEvaluationDataNumber=17),
        lambda claims: claims.tcb.evaluation_data_number == 17,
    ),
    Case(
        115,
        "collateral ends before all certificates",
        UP_TO_DATE,
        lambda _: None,
        lambda claims: claims.expires == END < claims.certificates_expire,
    ),
    Case(
        115,
        "QE identity ends first",
        UP_TO_DATE,
        lambda lab: lab.identity(nextUpdate="2026-10-26T00:00:00Z"),
        lambda claims: claims.expires.isoformat() == "2026-10-26T00:00:00+00:00",
    ),
    Case(
        115,
        "root CRL ends first",
        UP_TO_DATE,
        lambda lab: lab.intel.root_crl.alter(next_update=NOW + timedelta(hours=1)),
        lambda claims: claims.expires == NOW + timedelta(hours=1),
    ),
    Case(
        115,
        "PCK certificate ends first",
        UP_TO_DATE,
        lambda lab: lab.platform.pck.alter(not_after=NOW + timedelta(hours=1)),
        lambda claims: claims.expires == claims.certificates_expire == NOW + timedelta(hours=1),
    ),
    Case(
        115,
        "TCB signing certificate ends first",
        UP_TO_DATE,
        lambda lab: lab.intel.tcb_signing.alter(not_after=NOW + timedelta(hours=1)),
        lambda claims: claims.expires == claims.certificates_expire == NOW + timedelta(hours=1),
    ),
    Case(116, "pre-production root", Reason.UNTRUSTED_ROOT, all_under_another_root),
    Case(
        116,
        "real quote under the pre-production root",
        Reason.UNTRUSTED_ROOT,
        shown("tdx4-preprod-root-10806f07"),
    ),
    Case(
        117,
        "PPID and instance are shown for lists of platforms",
        UP_TO_DATE,
        lambda lab: lab.sgx(ppid=b"\7" * 16, platform_instance_id=b"\x08" * 16),
        lambda claims: (
            (claims.pck.ppid, claims.pck.platform_instance_id) == (b"\7" * 16, b"\x08" * 16)
        ),
    ),
    Case(118, "70 zero bytes follow", UP_TO_DATE, quoted(trailing=bytes(70))),
    Case(
        118,
        "real quote with zero bytes behind it",
        UP_TO_DATE,
        shown("tdx4-c0806f-trailing-zeros"),
    ),
    Case(118, "something else follows", Reason.TRAILING_BYTES, quoted(trailing=bytes(69) + b"\1")),
    Case(118, "one byte follows", Reason.TRAILING_BYTES, quoted(trailing=b"\xff")),
    Case(
        118,
        "bytes between the parts of the signature data",
        Reason.MALFORMED,
        quoted(after_outer=bytes(1)),
    ),
    Case(
        118,
        "bytes behind the chain inside the outer data",
        Reason.MALFORMED,
        quoted(after_inner=bytes(1)),
    ),
)
