# SPDX-License-Identifier: Apache-2.0
"""Lines 61 to 72: what Intel's own tests say of quotes and chains, in own words."""

from __future__ import annotations

from dataclasses import replace

from simulator import der, pki
from simulator.pki import Entity, Key, pem
from tests.tdx_lab import (
    NOW,
    SECOND,
    Case,
    Lab,
    edited,
    expired,
    quoted,
    stated,
    svn,
)
from verifiers.errors import Reason
from verifiers.tcb import TcbStatus

UP_TO_DATE = TcbStatus.UP_TO_DATE
OUT_OF_DATE = TcbStatus.OUT_OF_DATE
STRANGER = Key.derive(b"chapter c", "stranger")
OLD_MODULE = svn(10, 1, 4)  # OutOfDate in the lab's TDX_01
ADVISORIES = [f"INTEL-SA-{number:05}" for number in range(120)]
PAST = NOW - SECOND


def root_of_another_name(lab: Lab) -> Entity:
    root = lab.intel.root
    other = pki.name("Intel SGX Other Root CA")
    return replace(root, spec=replace(root.spec, subject=other, issuer=other))


def swapped_lists(lab: Lab) -> None:
    """The other CA's list with its right chain."""
    intel = lab.intel
    lab.edit(
        pck_crl=intel.processor_crl.der.hex(),
        pck_crl_issuer_chain=pem(intel.processor_ca.der, intel.root.der),
    )


def stranger_on_top(lab: Lab) -> None:
    """The whole chain under a root of the same name and another key."""
    root = replace(
        lab.intel.root,
        signer=STRANGER,
        key=STRANGER,
        spec=replace(lab.intel.root.spec, spki=STRANGER.spki),
    )
    lab.chain(lab.platform.pck, replace(lab.platform.ca, signer=STRANGER), root)


QUOTES = (
    Case(61, "48 bytes", Reason.MALFORMED, lambda lab: lab.patch(lambda quote: quote[:48])),
    Case(61, "635 bytes", Reason.MALFORMED, lambda lab: lab.patch(lambda quote: quote[:635])),
    Case(
        61,
        "more signature data announced than left",
        Reason.MALFORMED,
        quoted(signature_data_length=1 << 20),
    ),
    Case(
        61,
        "fewer signature data announced than its content",
        Reason.MALFORMED,
        quoted(signature_data_length=600),
    ),
    Case(61, "no signature data", Reason.MALFORMED, quoted(signature_data_length=0)),
    Case(62, "QE auth data too big", Reason.MALFORMED, quoted(qe_auth_data_length=0xFFFF)),
    Case(62, "QE auth data too small", Reason.UNSUPPORTED_FORMAT, quoted(qe_auth_data_length=31)),
    Case(62, "chain longer than what holds it", Reason.MALFORMED, quoted(inner_length=0xFFFFFFFF)),
    Case(62, "chain shorter than what holds it", Reason.MALFORMED, quoted(inner_length=100)),
    Case(62, "outer data too small", Reason.MALFORMED, quoted(outer_length=1)),
    Case(62, "outer data too big", Reason.MALFORMED, quoted(outer_length=1 << 31)),
    *(
        Case(63, f"outer type {kind}", Reason.UNSUPPORTED_FORMAT, quoted(outer_type=kind))
        for kind in (1, 5, 7)
    ),
    *(
        Case(63, f"inner type {kind}", Reason.UNSUPPORTED_FORMAT, quoted(inner_type=kind))
        for kind in (0, 1, 2, 3, 4, 6, 7)
    ),
    Case(
        64,
        "TDX header, enclave report, version 5",
        Reason.MALFORMED,
        quoted(version=5, body_type=1, tee_type=0x81),
    ),
    Case(
        64,
        "TDX header, enclave report, version 4",
        Reason.MALFORMED,
        quoted(body_type=1, tee_type=0x81),
    ),
    Case(64, "SGX header, TD report", Reason.UNSUPPORTED_TEE, quoted(tee_type=0)),
    Case(
        64,
        "SGX header, TD report, version 5",
        Reason.UNSUPPORTED_TEE,
        quoted(version=5, tee_type=0),
    ),
    Case(65, "QE vendor", Reason.UNSUPPORTED_FORMAT, quoted(vendor_id=bytes(16))),
    *(
        Case(65, f"TEE type {kind:#x}", Reason.UNSUPPORTED_TEE, quoted(tee_type=kind))
        for kind in (1, 0x80, 0x82, 0x81000000)
    ),
)

CHAINS = (
    Case(66, "PCE id", Reason.ENDORSEMENT_MISMATCH, stated(pceId="0001")),
    Case(
        67,
        "leaf of another name",
        Reason.CHAIN,
        lambda lab: lab.platform.pck.alter(subject=pki.name("Another Certificate")),
    ),
    Case(
        67,
        "intermediate of another name",
        Reason.CHAIN,
        lambda lab: other_ca(lab, pki.name("Intel SGX PCK Other CA")),
    ),
    Case(
        67,
        "root of another name",
        Reason.CHAIN,
        lambda lab: lab.chain(lab.platform.pck, lab.platform.ca, root_of_another_name(lab)),
    ),
    Case(
        67,
        "two common names",
        Reason.CHAIN,
        lambda lab: lab.platform.pck.alter(subject=two_names()),
    ),
    Case(
        68,
        "PCK CRL of the Processor CA for a Platform certificate",
        Reason.CRL_INVALID,
        swapped_lists,
    ),
    Case(
        69,
        "PCK revoked",
        Reason.CERTIFICATE_REVOKED,
        lambda lab: lab.intel.platform_crl.revoke(lab.platform.pck.spec.serial),
    ),
    Case(
        69,
        "intermediate revoked",
        Reason.CERTIFICATE_REVOKED,
        lambda lab: lab.intel.root_crl.revoke(lab.platform.ca.spec.serial),
    ),
    Case(
        69,
        "TCB signing revoked",
        Reason.CERTIFICATE_REVOKED,
        lambda lab: lab.intel.root_crl.revoke(lab.intel.tcb_signing.spec.serial),
    ),
    Case(
        70,
        "root signed by another key",
        Reason.CHAIN,
        lambda lab: lab.chain(
            lab.platform.pck, lab.platform.ca, replace(lab.intel.root, signer=STRANGER)
        ),
    ),
    Case(70, "root of another key", Reason.UNTRUSTED_ROOT, stranger_on_top),
    Case(
        71,
        "PCK CRL without authority key identifier",
        Reason.CRL_INVALID,
        lambda lab: lab.intel.platform_crl.drop(pki.AUTHORITY_KEY_IDENTIFIER),
    ),
    Case(
        71,
        "root CRL without authority key identifier",
        Reason.CRL_INVALID,
        lambda lab: lab.intel.root_crl.drop(pki.AUTHORITY_KEY_IDENTIFIER),
    ),
    Case(
        71,
        "PCK CRL without number",
        Reason.CRL_INVALID,
        lambda lab: lab.intel.platform_crl.drop(pki.CRL_NUMBER),
    ),
    Case(
        71,
        "PCK CRL that names another issuer",
        Reason.CRL_INVALID,
        lambda lab: lab.intel.platform_crl.alter(issuer=pki.name("Another CA")),
    ),
    Case(
        71,
        "PCK CRL that names another key",
        Reason.CRL_INVALID,
        lambda lab: lab.intel.platform_crl.put(pki.authority_key_identifier(bytes(20))),
    ),
    Case(
        71,
        "PCK CRL issuer chain without the root",
        Reason.CHAIN,
        lambda lab: lab.edit(pck_crl_issuer_chain=pem(lab.platform.ca.der)),
    ),
    Case(
        71,
        "PCK CRL issuer chain with the root twice",
        Reason.CHAIN,
        edited(pck_crl_issuer_chain=lambda text: text + text[text.rindex("-----BEGIN") :]),
    ),
    Case(
        72,
        "root expired",
        Reason.CERTIFICATE_EXPIRED,
        lambda lab: lab.intel.root.alter(not_after=PAST),
    ),
    Case(
        72,
        "intermediate expired",
        Reason.CERTIFICATE_EXPIRED,
        lambda lab: lab.platform.ca.alter(not_after=PAST),
    ),
    Case(
        72,
        "PCK expired",
        Reason.CERTIFICATE_EXPIRED,
        lambda lab: lab.platform.pck.alter(not_after=PAST),
    ),
    Case(
        72,
        "TCB signing expired",
        Reason.CERTIFICATE_EXPIRED,
        lambda lab: lab.intel.tcb_signing.alter(not_after=PAST),
    ),
    Case(
        72,
        "PCK of tomorrow",
        Reason.CERTIFICATE_NOT_YET_VALID,
        lambda lab: lab.platform.pck.alter(not_before=NOW + SECOND),
    ),
    Case(
        72,
        "a year and a day later, all collateral is past its next update",
        UP_TO_DATE,
        lambda lab: lab.later(days=366),
        expired("tcb_info", "qe_identity", "pck_crl", "root_ca_crl"),
    ),
)

CASES = (*QUOTES, *CHAINS)


def other_ca(lab: Lab, subject: bytes) -> None:
    """An intermediate that Intel's root certified under another name."""
    lab.platform.ca.alter(subject=subject)
    lab.platform.pck.alter(issuer=subject)


def two_names() -> bytes:
    """A subject with the right common name and a second one."""
    one, other = (pki.name(text)[2:] for text in ("Intel SGX PCK Certificate", "Another"))
    return der.sequence(one + other)
