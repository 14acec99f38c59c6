# SPDX-License-Identifier: Apache-2.0
"""Lines 5 to 48, what is about the collateral: a generated suite of dcap-qvl, in own words."""

from __future__ import annotations

from tests.tdx_lab import Case, Lab, both, edited, expired, flipped, identified, quoted, stated, svn
from verifiers.errors import Reason
from verifiers.tcb import TcbStatus

UP_TO_DATE = TcbStatus.UP_TO_DATE


def only_level(lab: Lab, sgx: tuple[int, ...], tdx: tuple[int, ...] = ()) -> None:
    """One platform level, which starts with these SVNs."""
    level = lab.intel.tcb_info["tcbLevels"][0]
    for kind, svns in (("sgxtcbcomponents", sgx), ("tdxtcbcomponents", tdx)):
        for component, needed in zip(level["tcb"][kind], svn(*svns), strict=True):
            component["svn"] = needed
    lab.info(tcbLevels=[level])


def resigned(lab: Lab, statement: str) -> None:
    """TCB info that is signed, whatever it says."""
    text, signature = lab.intel.sign_tcb_info(statement)
    lab.edit(tcb_info=text, tcb_info_signature=signature)


def resigned_identity(lab: Lab, statement: str) -> None:
    """A QE identity that is signed, whatever it says."""
    text, signature = lab.intel.sign_qe_identity(statement)
    lab.edit(qe_identity=text, qe_identity_signature=signature)


CASES = (
    Case(
        5,
        "TCB info without TDX components",
        Reason.COLLATERAL_MALFORMED,
        lambda lab: lab.intel.tcb_info["tcbLevels"][0]["tcb"].pop("tdxtcbcomponents"),
    ),
    Case(
        5,
        "15 TDX components",
        Reason.COLLATERAL_MALFORMED,
        lambda lab: lab.intel.tcb_info["tcbLevels"][0]["tcb"]["tdxtcbcomponents"].pop(),
    ),
    Case(
        5,
        "17 SGX components",
        Reason.COLLATERAL_MALFORMED,
        lambda lab: lab.intel.tcb_info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"].append(
            {"svn": 0}
        ),
    ),
    Case(6, "QE identity of SGX", Reason.ENDORSEMENT_MISMATCH, identified(id="QE")),
    Case(6, "QE identity version 3", Reason.ENDORSEMENT_MISMATCH, identified(version=3)),
    Case(
        17,
        "TCB info past its next update is shown to the policy",
        UP_TO_DATE,
        stated(nextUpdate="2026-10-25T11:59:59Z"),
        expired("tcb_info"),
    ),
    Case(
        18,
        "TCB info of the future",
        Reason.COLLATERAL_NOT_YET_VALID,
        stated(issueDate="2026-10-25T12:00:01Z"),
    ),
    Case(19, "TCB info of SGX", Reason.ENDORSEMENT_MISMATCH, stated(id="SGX")),
    Case(
        20,
        "TCB info that is no JSON",
        Reason.COLLATERAL_MALFORMED,
        lambda lab: resigned(lab, "no JSON"),
    ),
    Case(
        20, "TCB info that is a list", Reason.COLLATERAL_MALFORMED, lambda lab: resigned(lab, "[]")
    ),
    Case(
        21,
        "SGX components 1, 3, 2 do not reach 1, 2, 3",
        Reason.TCB_NOT_SUPPORTED,
        both(lambda lab: only_level(lab, (1, 2, 3)), lambda lab: lab.sgx(components=(1, 3, 2))),
    ),
    Case(
        22,
        "TDX components 1, 3, 2 do not reach 1, 2, 3 (after the module's two)",
        Reason.TCB_NOT_SUPPORTED,
        both(
            lambda lab: only_level(lab, (), (0, 0, 1, 2, 3)),
            quoted(tee_tcb_svn=svn(11, 1, 1, 3, 2)),
        ),
    ),
    Case(
        23,
        "all components higher than asked",
        UP_TO_DATE,
        both(
            lambda lab: lab.sgx(components=(255,) * 16, pcesvn=0x7FFF),
            quoted(tee_tcb_svn=svn(255, 1, *[255] * 14)),
        ),
    ),
    Case(24, "no TCB signing certificate", Reason.CHAIN, edited(tcb_info_issuer_chain="")),
    Case(25, "TCB info chain is no PEM", Reason.CHAIN, edited(tcb_info_issuer_chain="no PEM")),
    Case(
        26,
        "TCB info signature",
        Reason.COLLATERAL_SIGNATURE,
        edited(tcb_info_signature=lambda text: flipped(bytes.fromhex(text), 5).hex()),
    ),
    Case(
        26,
        "a zero byte between r and s",
        Reason.COLLATERAL_SIGNATURE,
        edited(tcb_info_signature=lambda text: text[:64] + "00" + text[64:]),
    ),
    Case(
        26,
        "TCB info signature is short",
        Reason.COLLATERAL_SIGNATURE,
        edited(tcb_info_signature="00"),
    ),
    Case(27, "FMSPC", Reason.ENDORSEMENT_MISMATCH, stated(fmspc="00806f050000")),
    Case(
        31,
        "QE identity past its next update is shown to the policy",
        UP_TO_DATE,
        identified(nextUpdate="2026-10-25T11:59:59Z"),
        expired("qe_identity"),
    ),
    Case(
        32,
        "QE identity of the future",
        Reason.COLLATERAL_NOT_YET_VALID,
        identified(issueDate="2026-10-25T12:00:01Z"),
    ),
    Case(
        33,
        "QE identity that is no JSON",
        Reason.COLLATERAL_MALFORMED,
        lambda lab: resigned_identity(lab, "{"),
    ),
    Case(34, "no QE identity signer", Reason.CHAIN, edited(qe_identity_issuer_chain="")),
    Case(
        35,
        "QE identity signature",
        Reason.COLLATERAL_SIGNATURE,
        edited(qe_identity_signature="11" * 64),
    ),
    Case(41, "no platform level", Reason.TCB_NOT_SUPPORTED, stated(tcbLevels=[])),
    Case(
        42,
        "platform level revoked",
        Reason.TCB_REVOKED,
        lambda lab: lab.sgx(components=(1, 1, 0, 0, 1)),
    ),
    Case(
        47,
        "TCB info signed by a CA",
        Reason.CHAIN,
        lambda lab: setattr(lab.intel, "tcb_info_signer", lab.intel.platform_ca),
    ),
    Case(
        48,
        "QE identity signed by a CA",
        Reason.CHAIN,
        lambda lab: setattr(lab.intel, "qe_identity_signer", lab.intel.root),
    ),
)
