# SPDX-License-Identifier: Apache-2.0
"""Lines 89 to 110: faults that were shipped in real verifiers."""

from __future__ import annotations

import json

from simulator import der, pki
from tests.cases.tdx.chapter_a_collateral import only_level, resigned
from tests.tdx_lab import Case, Lab, both, edited, expired, quoted, shown, svn
from verifiers.errors import Reason
from verifiers.tcb import TcbStatus
from verifiers.tdx.claims import TdAttribute

UP_TO_DATE = TcbStatus.UP_TO_DATE
OUT_OF_DATE = TcbStatus.OUT_OF_DATE
SEPT = 1 << 28
REAL_OUT_OF_DATE = (
    "tdx4-00806f-azure-vtpm-septve-off",
    "tdx4-00806f-gcp-outofdate",
    "tdx4-00a06d08-module03-outofdate",
    "tdx4-50806f-aael-outofdate",
    "tdx4-90c06f-outofdate",
    "tdx4-b0c06f-2026-10-outofdate",
    "tdx4-b0c06f-eval20-outofdate",
)


def forged_enclave(lab: Lab) -> None:
    """Another enclave signs the quote, and an unsigned QE identity says that it is the right one."""
    lab.quote(qe_mrsigner=b"\1" * 32)
    lab.edit(
        qe_identity=lambda text: text.replace("DC9E2A7C", "01" * 4).replace("dc9e2a7c", "01" * 4)
    )


def deep_certificate(lab: Lab) -> None:
    """A PCK certificate whose SGX extension is nothing but nested SEQUENCEs."""
    nested = b""
    for _ in range(4000):
        nested = der.tlv(0x30, nested)
    lab.platform.pck.put(pki.Extension("1.2.840.113741.1.13.1", nested))


def reserialised(lab: Lab) -> None:
    lab.edit(tcb_info=lambda text: json.dumps(json.loads(text), sort_keys=True))


def oddly_written(lab: Lab) -> None:
    """White space and an order of members that no serialiser gives, but signed so."""
    members = dict(reversed(lab.intel.tcb_info.items()))
    resigned(lab, " " + json.dumps(members, indent=3) + "\n")


CASES = (
    Case(89, "forged QE with an unsigned QE identity", Reason.COLLATERAL_SIGNATURE, forged_enclave),
    Case(
        90,
        "platform OutOfDate with a module UpToDate",
        OUT_OF_DATE,
        lambda lab: lab.level(tcbStatus="OutOfDate"),
        lambda claims: claims.tcb.module_status == UP_TO_DATE,
    ),
    *(Case(90, f"real quote {name}", OUT_OF_DATE, shown(name)) for name in REAL_OUT_OF_DATE),
    Case(91, "PCESVN lower than the newest level's", OUT_OF_DATE, lambda lab: lab.sgx(pcesvn=10)),
    Case(91, "PCESVN higher than the newest level's", UP_TO_DATE, lambda lab: lab.sgx(pcesvn=12)),
    Case(
        92,
        "one component in every list",
        Reason.COLLATERAL_MALFORMED,
        lambda lab: [
            lab.intel.tcb_info["tcbLevels"][0]["tcb"][kind].__delitem__(slice(1, None))
            for kind in ("sgxtcbcomponents", "tdxtcbcomponents")
        ],
    ),
    Case(93, "module level revoked", Reason.TCB_REVOKED, quoted(tee_tcb_svn=svn(2, 1, 4))),
    Case(
        93,
        "from version 1 on the module's SVN is not compared with the platform level",
        UP_TO_DATE,
        both(lambda lab: only_level(lab, (), (12, 2, 4)), quoted(tee_tcb_svn=svn(11, 1, 4))),
    ),
    Case(
        93,
        "of version 0 it is",
        Reason.TCB_NOT_SUPPORTED,
        both(lambda lab: only_level(lab, (), (6, 0, 4)), quoted(tee_tcb_svn=svn(5, 0, 4))),
    ),
    Case(
        94,
        "vendor id",
        Reason.UNSUPPORTED_FORMAT,
        quoted(vendor_id=bytes.fromhex("939a7233f79c4ca9940a0db3957f0608")),
    ),
    Case(
        95,
        "levels in ascending order",
        UP_TO_DATE,
        lambda lab: lab.intel.tcb_info["tcbLevels"].reverse(),
    ),
    Case(
        95,
        "module levels in ascending order",
        UP_TO_DATE,
        lambda lab: lab.intel.tcb_info["tdxModuleIdentities"][1]["tcbLevels"].reverse(),
    ),
    Case(
        95,
        "QE levels in ascending order",
        UP_TO_DATE,
        lambda lab: lab.intel.qe_identity["tcbLevels"].reverse(),
    ),
    Case(96, "QE revoked", Reason.TCB_REVOKED, quoted(qe_isvsvn=1)),
    Case(
        96,
        "QE revoked and the quote not signed",
        Reason.SIGNATURE,
        quoted(qe_isvsvn=1, signature=bytes(64)),
    ),
    Case(
        97,
        "launched on an old TCB",
        TcbStatus.TD_RELAUNCH_ADVISED,
        quoted(version=5, body_type=3, tee_tcb_svn=svn(11, 1, 3)),
    ),
    Case(
        97,
        "launched on an old TCB and the QE is old",
        OUT_OF_DATE,
        quoted(version=5, body_type=3, tee_tcb_svn=svn(11, 1, 3), qe_isvsvn=3),
    ),
    Case(
        98,
        "genuine collateral, 60 days old",
        UP_TO_DATE,
        lambda lab: lab.later(days=60),
        expired("tcb_info", "qe_identity", "pck_crl"),
    ),
    Case(
        98,
        "genuine collateral of the future",
        Reason.COLLATERAL_NOT_YET_VALID,
        lambda lab: lab.later(days=-2),
    ),
    Case(
        99,
        "root CRL for the PCK CRL",
        Reason.CRL_INVALID,
        lambda lab: lab.edit(pck_crl=lab.intel.root_crl.der.hex()),
    ),
    Case(
        99,
        "PCK CRL for the root CRL",
        Reason.CRL_INVALID,
        lambda lab: lab.edit(root_ca_crl=lab.intel.platform_crl.der.hex()),
    ),
    Case(100, "no PCK CRL", Reason.INCOMPLETE, edited(pck_crl=None)),
    Case(100, "no root CRL", Reason.INCOMPLETE, edited(root_ca_crl=None)),
    Case(
        101,
        "expired collateral stands in the claims themselves",
        UP_TO_DATE,
        lambda lab: lab.later(days=30),
        lambda claims: bool(claims.expired_parts) and claims.expires < claims.verified_at,
    ),
    Case(
        102,
        "a platform under the Processor CA",
        UP_TO_DATE,
        lambda lab: setattr(lab, "platform", lab.intel.platform(ca="processor")),
        lambda claims: claims.pck.ca == "processor",
    ),
    Case(
        103,
        "a debug TD never looks like another",
        UP_TO_DATE,
        quoted(td_attributes=SEPT | 1),
        lambda claims: TdAttribute.DEBUG in claims.attributes,
    ),
    Case(
        104,
        "the PPID is the certificate's",
        UP_TO_DATE,
        lambda lab: lab.sgx(ppid=bytes(range(16))),
        lambda claims: claims.pck.ppid == bytes(range(16)) != claims.header.user_data[:16],
    ),
    Case(
        105,
        "platform OutOfDate and a wrong QE",
        Reason.QE_IDENTITY_MISMATCH,
        both(lambda lab: lab.level(tcbStatus="OutOfDate"), quoted(qe_mrsigner=bytes(32))),
    ),
    Case(
        105,
        "platform OutOfDate and a wrong module",
        Reason.TDX_MODULE_MISMATCH,
        both(lambda lab: lab.level(tcbStatus="OutOfDate"), quoted(mrsigner_seam=b"\1" * 48)),
    ),
    Case(
        106,
        "the largest length everywhere",
        Reason.MALFORMED,
        quoted(
            signature_data_length=0xFFFFFFFF,
            outer_length=0xFFFFFFFF,
            qe_auth_data_length=0xFFFF,
            inner_length=0xFFFFFFFF,
        ),
    ),
    Case(106, "nested DER", Reason.CHAIN, deep_certificate),
    Case(
        106,
        "nested JSON",
        Reason.COLLATERAL_MALFORMED,
        lambda lab: resigned(lab, '{"a":' * 100_000),
    ),
    Case(106, "a quote of 64 KiB and one byte", Reason.TOO_LARGE, quoted(trailing=bytes(1 << 16))),
    Case(
        108,
        "PERFMON",
        UP_TO_DATE,
        quoted(td_attributes=SEPT | 1 << 63),
        lambda claims: TdAttribute.PERFMON in claims.attributes and not claims.reserved_attributes,
    ),
    Case(
        108,
        "bit 39",
        UP_TO_DATE,
        quoted(td_attributes=SEPT | 1 << 39),
        lambda claims: claims.reserved_attributes == 1 << 39,
    ),
    Case(
        108,
        "MIGRATABLE, LASS and ICSSD",
        UP_TO_DATE,
        quoted(td_attributes=SEPT | 1 << 29 | 1 << 27 | 1 << 16),
        lambda claims: (
            {TdAttribute.MIGRATABLE, TdAttribute.LASS, TdAttribute.ICSSD} <= claims.attributes
            and not claims.reserved_attributes
        ),
    ),
    Case(109, "TCB info serialised anew", Reason.COLLATERAL_SIGNATURE, reserialised),
    Case(109, "TCB info that Intel would have written oddly", UP_TO_DATE, oddly_written),
    Case(110, "FMSPC in capitals", UP_TO_DATE, lambda lab: lab.info(fmspc=lab.intel.fmspc.upper())),
    Case(110, "module id in small letters", UP_TO_DATE, lambda lab: lab.module(id="tdx_01")),
)
