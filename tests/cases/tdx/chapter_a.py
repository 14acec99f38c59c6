# SPDX-License-Identifier: Apache-2.0
"""Lines 1 to 46, what is about the quote: a suite of dcap-qvl in own words. SGX and types 2 to 4 are unsupported."""

from __future__ import annotations

from simulator.pki import Key
from tests.tdx_lab import Case, Lab, both, edited, identified, quoted
from verifiers.errors import Reason
from verifiers.tcb import TcbStatus
from verifiers.tdx.claims import TdAttribute

UP_TO_DATE = TcbStatus.UP_TO_DATE
SEPT = 1 << 28
ONES = (1).to_bytes(32, "big") * 2  # r = s = 1
TEXT = b"this is no quote, only some text that somebody sent instead of one"
QE_PROVISION_KEY = bytes.fromhex("3500000000000000e700000000000000")
QE_DEBUG = bytes.fromhex("1700000000000000e700000000000000")
SGX_DEBUG = bytes.fromhex("0700000000000000e700000000000000")


CASES = (
    Case(1, "SGX quote of version 3", Reason.UNSUPPORTED_TEE, quoted(version=3)),
    Case(2, "version 4", UP_TO_DATE, lambda _: None),
    Case(2, "version 5, TD 1.0", UP_TO_DATE, quoted(version=5)),
    Case(2, "version 5, TD 1.5", UP_TO_DATE, quoted(version=5, body_type=3)),
    Case(2, "version 5, TD 1.5ex", UP_TO_DATE, quoted(version=5, body_type=4)),
    Case(3, "SGX report in version 4", Reason.UNSUPPORTED_TEE, quoted(body_type=1)),
    Case(
        4,
        "version 5 with the signature data of version 3",
        Reason.UNSUPPORTED_FORMAT,
        quoted(version=5, auth_layout=3),
    ),
    Case(
        7,
        "debug is shown to the policy",
        UP_TO_DATE,
        quoted(td_attributes=SEPT | 1),
        lambda claims: TdAttribute.DEBUG in claims.attributes,
    ),
    Case(
        8,
        "SEPT_VE_DISABLE clear is shown to the policy",
        UP_TO_DATE,
        quoted(td_attributes=0),
        lambda claims: claims.attributes == frozenset(),
    ),
    Case(
        9,
        "reserved attributes are shown to the policy, which never accepts them",
        UP_TO_DATE,
        quoted(td_attributes=SEPT | 0b10 | 1 << 61),
        lambda claims: claims.reserved_attributes == 0b10 | 1 << 61,
    ),
    Case(
        10,
        "PKS",
        UP_TO_DATE,
        quoted(td_attributes=SEPT | 1 << 30),
        lambda claims: TdAttribute.PKS in claims.attributes and not claims.reserved_attributes,
    ),
    Case(
        11,
        "KL",
        UP_TO_DATE,
        quoted(td_attributes=SEPT | 1 << 31),
        lambda claims: TdAttribute.KL in claims.attributes and not claims.reserved_attributes,
    ),
    Case(
        12,
        "SGX report with DEBUG",
        Reason.UNSUPPORTED_TEE,
        quoted(version=3, attributes=SGX_DEBUG),
    ),
    Case(13, "no bytes", Reason.MALFORMED, lambda lab: lab.patch(lambda _: b"")),
    Case(13, "text", Reason.UNSUPPORTED_FORMAT, lambda lab: lab.patch(lambda _: TEXT)),
    Case(14, "cut by one byte", Reason.MALFORMED, lambda lab: lab.patch(lambda q: q[:-1])),
    Case(14, "cut in the body", Reason.MALFORMED, lambda lab: lab.patch(lambda q: q[:631])),
    *(
        Case(
            15,
            f"version {version}",
            Reason.UNSUPPORTED_FORMAT,
            quoted(version_field=version),
        )
        for version in (0, 1, 2, 6, 100, 0xFFFF)
    ),
    Case(15, "version 3", Reason.UNSUPPORTED_TEE, quoted(version_field=3)),
    *(
        Case(
            16,
            f"attestation key type {kind}",
            Reason.UNSUPPORTED_FORMAT,
            quoted(att_key_type=kind),
        )
        for kind in (0, 1, 3, 4, 0xFFFF)
    ),
    Case(
        28,
        "the QE report names another key",
        Reason.SIGNATURE,
        quoted(qe_report_data=bytes(64)),
    ),
    Case(
        28,
        "the QE report says more than the hash",
        Reason.SIGNATURE,
        lambda lab: lab.quote(qe_report_data=qe_report_data(lab) + bytes(31) + b"\1"),
    ),
    Case(29, "QE signature r = s = 1", Reason.SIGNATURE, quoted(qe_signature=ONES)),
    Case(
        29,
        "QE report signed by a stranger",
        Reason.SIGNATURE,
        quoted(pck_signer=Key.generate()),
    ),
    Case(30, "quote signature r = s = 1", Reason.SIGNATURE, quoted(signature=ONES)),
    Case(
        30,
        "quote signed by a stranger",
        Reason.SIGNATURE,
        quoted(signer=Key.generate()),
    ),
    Case(36, "QE MRSIGNER", Reason.QE_IDENTITY_MISMATCH, quoted(qe_mrsigner=bytes(32))),
    Case(37, "QE ISVPRODID", Reason.QE_IDENTITY_MISMATCH, quoted(qe_isvprodid=1)),
    Case(38, "QE MISCSELECT", Reason.QE_IDENTITY_MISMATCH, quoted(qe_miscselect=1)),
    Case(
        39,
        "QE ATTRIBUTES",
        Reason.QE_IDENTITY_MISMATCH,
        quoted(qe_attributes=QE_PROVISION_KEY),
    ),
    Case(
        40,
        "QE in debug mode though Intel's mask leaves that bit out",
        Reason.QE_IDENTITY_MISMATCH,
        both(quoted(qe_attributes=QE_DEBUG), identified(attributesMask="F9" + "FF" * 7 + "00" * 8)),
    ),
    Case(43, "QE level revoked", Reason.TCB_REVOKED, quoted(qe_isvsvn=1)),
    Case(
        44,
        "a chain beside the quote is not looked at",
        UP_TO_DATE,
        edited(pck_certificate_chain="no chain"),
    ),
    Case(
        45,
        "encrypted PPID with a chain beside it",
        Reason.UNSUPPORTED_FORMAT,
        both(
            quoted(inner_type=3),
            lambda lab: lab.edit(pck_certificate_chain=lab.platform.chain[:-1].decode()),
        ),
    ),
    Case(46, "encrypted PPID", Reason.UNSUPPORTED_FORMAT, quoted(inner_type=3)),
)


def qe_report_data(lab: Lab) -> bytes:
    """The right first half."""
    quote = lab.platform.quote()
    report = quote.index(lab.platform.attestation_key.point) + 64 + 6
    return quote[report + 320 : report + 352]
