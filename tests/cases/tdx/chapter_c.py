# SPDX-License-Identifier: Apache-2.0
"""Lines 61 to 80: what Intel's own tests are about, in own words."""

from __future__ import annotations

from dataclasses import replace

from simulator import pki
from simulator.collateral import level, platform_tcb
from simulator.pki import Entity, Key, pem
from tests.tdx_lab import NOW, SECOND, Case, Lab, edited, expired, identified, quoted, stated, svn
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


def two_levels(lab: Lab) -> None:
    """UpToDate for the lab's SVNs; below it a level with a lower component and a lower PCESVN."""
    upper = level(platform_tcb((4, 4), 11, ()), "2025-08-13", "UpToDate")
    lower = level(platform_tcb((3, 4), 10, ()), "2024-03-13", "OutOfDate", "INTEL-SA-1")
    lab.info(tcbLevels=[upper, lower])


def relaunch(launch: str, current: str, version: int, expect: TcbStatus) -> Case:
    """Two platform levels of these statuses: launched on the lower one, running on the upper one now."""

    def make(lab: Lab) -> None:
        upper = level(platform_tcb((), 0, (0, 0, 4)), "2025-08-13", current)
        lower = level(platform_tcb((), 0, (0, 0, 3)), "2024-03-13", launch)
        lab.info(tcbLevels=[upper, lower])
        lab.quote(
            version=5,
            body_type=3,
            tee_tcb_svn=svn(11, version, 3),
            tee_tcb_svn2=svn(11, version, 4),
        )

    return Case(78, f"launched {launch}, now {current}, module {version}", expect, make)


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
    Case(70, "root of another key", Reason.UNTRUSTED_ROOT, lambda lab: stranger_on_top(lab)),
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

STATEMENTS = (
    Case(73, "TCB info version 2", Reason.ENDORSEMENT_MISMATCH, stated(version=2)),
    Case(73, "TCB type 1", Reason.ENDORSEMENT_MISMATCH, stated(tcbType=1)),
    Case(73, "TCB type as a bool", Reason.ENDORSEMENT_MISMATCH, stated(tcbType=False)),
    Case(73, "TCB info for another technology", Reason.ENDORSEMENT_MISMATCH, stated(id="TDX2")),
    Case(74, "MRSIGNERSEAM", Reason.TDX_MODULE_MISMATCH, quoted(mrsigner_seam=b"\1" * 48)),
    Case(
        74,
        "MRSIGNERSEAM of module version 0",
        Reason.TDX_MODULE_MISMATCH,
        quoted(mrsigner_seam=b"\1" * 48, tee_tcb_svn=svn(5, 0, 4)),
    ),
    Case(74, "SEAMATTRIBUTES not zero", Reason.TDX_MODULE_MISMATCH, quoted(seam_attributes=1)),
    Case(
        74,
        "SEAMATTRIBUTES not zero where the mask would forgive it",
        Reason.TDX_MODULE_MISMATCH,
        lambda lab: (lab.quote(seam_attributes=1), lab.module(attributesMask="00" * 8)),
    ),
    Case(
        74,
        "SEAMATTRIBUTES zero where Intel states others",
        Reason.TDX_MODULE_MISMATCH,
        lambda lab: lab.module(attributes="01" + "00" * 7),
    ),
    Case(
        75,
        "TDX module version that Intel does not know",
        Reason.TDX_MODULE_MISMATCH,
        quoted(tee_tcb_svn=svn(9, 7, 4)),
    ),
    Case(
        75,
        "module version 0 where Intel states none",
        Reason.TDX_MODULE_MISMATCH,
        lambda lab: (lab.quote(tee_tcb_svn=svn(5, 0, 4)), lab.intel.tcb_info.pop("tdxModule")),
    ),
    Case(
        75,
        "module ISVSVN below every level",
        Reason.TCB_NOT_SUPPORTED,
        quoted(tee_tcb_svn=svn(1, 1, 4)),
    ),
    Case(
        76, "PCESVN alone is lower", OUT_OF_DATE, lambda lab: (two_levels(lab), lab.sgx(pcesvn=10))
    ),
    Case(
        76,
        "one component alone is lower",
        OUT_OF_DATE,
        lambda lab: (two_levels(lab), lab.sgx(components=(3, 4))),
    ),
    Case(76, "neither is lower", UP_TO_DATE, two_levels),
    Case(
        76,
        "PCESVN reaches no level: not supported, which is not OutOfDate",
        Reason.TCB_NOT_SUPPORTED,
        lambda lab: (two_levels(lab), lab.sgx(pcesvn=9)),
    ),
    Case(77, "module OutOfDate", OUT_OF_DATE, quoted(tee_tcb_svn=OLD_MODULE)),
    *(
        Case(
            77,
            f"{platform} with a module OutOfDate",
            expect,
            lambda lab, platform=platform: (
                lab.level(tcbStatus=platform),
                lab.quote(tee_tcb_svn=OLD_MODULE),
            ),
        )
        for platform, expect in (
            ("SWHardeningNeeded", OUT_OF_DATE),
            ("ConfigurationNeeded", TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED),
            ("ConfigurationAndSWHardeningNeeded", TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED),
            ("OutOfDateConfigurationNeeded", TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED),
            ("Revoked", Reason.TCB_REVOKED),
        )
    ),
    *(
        relaunch("OutOfDate", "UpToDate", version, TcbStatus.TD_RELAUNCH_ADVISED)
        for version in (0, 1)
    ),
    *(
        relaunch("OutOfDate", "SWHardeningNeeded", version, TcbStatus.TD_RELAUNCH_ADVISED)
        for version in (0, 1)
    ),
    *(
        relaunch(launch, current, version, TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED)
        for version in (0, 1)
        for launch, current in (
            ("OutOfDate", "ConfigurationNeeded"),
            ("OutOfDateConfigurationNeeded", "UpToDate"),
        )
    ),
    relaunch("OutOfDate", "OutOfDate", 1, OUT_OF_DATE),
    relaunch("UpToDate", "OutOfDate", 1, UP_TO_DATE),
    Case(79, "QE ISVSVN below every level", Reason.TCB_NOT_SUPPORTED, quoted(qe_isvsvn=0)),
    Case(79, "QE ISVSVN on a revoked level", Reason.TCB_REVOKED, quoted(qe_isvsvn=1)),
    Case(79, "no QE level", Reason.TCB_NOT_SUPPORTED, identified(tcbLevels=[])),
    Case(
        80,
        "120 advisories are all kept",
        UP_TO_DATE,
        lambda lab: lab.level(advisoryIDs=ADVISORIES),
        lambda claims: list(claims.tcb.advisory_ids) == ADVISORIES,
    ),
)

CASES = (*QUOTES, *CHAINS, *STATEMENTS)


def other_ca(lab: Lab, subject: bytes) -> None:
    """An intermediate that Intel's root certified under another name."""
    lab.platform.ca.alter(subject=subject)
    lab.platform.pck.alter(issuer=subject)


def two_names() -> bytes:
    """A subject with the right common name and a second one."""
    one, other = (pki.name(text)[2:] for text in ("Intel SGX PCK Certificate", "Another"))
    return pki.der.sequence(one + other)


def stranger_on_top(lab: Lab) -> None:
    """The whole chain under a root of the same name and another key."""
    root = replace(
        lab.intel.root,
        signer=STRANGER,
        key=STRANGER,
        spec=replace(lab.intel.root.spec, spki=STRANGER.spki),
    )
    lab.chain(lab.platform.pck, replace(lab.platform.ca, signer=STRANGER), root)
