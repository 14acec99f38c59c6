# SPDX-License-Identifier: Apache-2.0
"""Lines 13 to 16, 21 and 22: the signature of the report, and the chain above it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from simulator import amd_certificates, der, pki
from simulator.amd_keys import PSS_SHA384, P384Key
from simulator.pki import Key, pem
from tests.cases.snp import case, vectors
from tests.cases.snp.case import (
    CHAIN,
    MISMATCH,
    SIGNATURE,
    VERIFIED,
    Case,
    beside,
    both,
    flipping,
    real,
    reported,
    turned,
    vlek,
)
from tests.cases.snp.signers import RSA_SHA384, Pkcs1, Pss, pss_algorithm
from verifiers.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.amd_certificates import Authority
    from simulator.pki import Signer
    from tests.cases.snp.case import Alteration
    from tests.snp_lab import SnpLab

UNTRUSTED = Reason.UNTRUSTED_ROOT
CRL_INVALID = Reason.CRL_INVALID
STRANGER = P384Key.derive(b"chapter of chains", "stranger")
NUMBER = der.sequence(der.sequence(der.integer(0)), PSS_SHA384, der.bit_string(bytes(512)))
SIGNED_FIELDS = {  # a byte of every kind of field that nothing but the signature protects
    "GUEST_SVN": 0x04,
    "FAMILY_ID": 0x10,
    "CURRENT_TCB": 0x3F,
    "PLATFORM_INFO": 0x40,
    "REPORT_DATA": 0x50,
    "MEASUREMENT": 0x90,
    "HOST_DATA": 0xC0,
    "ID_KEY_DIGEST": 0xE0,
    "REPORT_ID": 0x140,
    "REPORT_ID_MA": 0x160,
}


def carried(lab: SnpLab, *ders: bytes) -> None:
    """Certificates beside the report; of the collateral the CRL alone."""
    lab.certificates = pem(*ders).encode()
    lab.edit(vek=None)


def all_of_a_stranger(lab: SnpLab, *, sent: tuple[str, ...]) -> None:
    """Another AMD of the same names signed everything, and perhaps its authorities come along."""
    other = lab.stranger()
    theirs = other.machine(lab.machine.product.name, chip_id=lab.machine.chip_id)
    lab.report(signer=theirs.vek().key)
    lab.edit(vek=theirs.vek().der)
    if sent:
        chain = (getattr(theirs.line, role).der for role in sent)
        lab.certificates = pem(theirs.vek().der, *chain).encode()


def with_others(lab: SnpLab, pick: Callable[[SnpLab], tuple[bytes, ...]]) -> None:
    lab.certificates = pem(lab.vek.der, *pick(lab)).encode()


def sent(pick: Callable[[SnpLab], tuple[bytes, ...]]) -> Alteration:
    return lambda lab: with_others(lab, pick)


def beside_real(name: str, *files: str) -> Alteration:
    """A real report with its certificate and files of the roots beside it."""

    def certificates() -> bytes:
        return vectors.pem(vectors.load(name).vek, *(vectors.certificate(file) for file in files))

    return both(real(name), beside(certificates))


def pinned(*products: str) -> Alteration:
    """Other product lines among the anchors."""

    def make(lab: SnpLab) -> None:
        lab.pinned = products

    return make


def signed_by(role: str, *, named: str) -> Alteration:
    """The endorsement certificate by another authority of the same line, named by itself or as the right one."""

    def make(lab: SnpLab) -> None:
        authority: Authority = getattr(lab.line, role)
        lab.vek.signer = authority.key
        if named == "itself":
            lab.vek.alter(issuer=authority.spec.subject)

    return make


def of_the_line(product: str) -> Alteration:
    """The endorsement certificate by the ASK of another line, which is pinned too."""

    def make(lab: SnpLab) -> None:
        other = lab.amd.line(product)
        lab.pinned = (lab.machine.product.name, product)
        lab.vek.signer = other.ask.key
        lab.vek.alter(issuer=other.ask.spec.subject)

    return make


def crl_signed(by: Callable[[SnpLab], Signer], algorithm: bytes | None = None) -> Alteration:
    def make(lab: SnpLab) -> None:
        lab.line.vcek_crl.signer = by(lab)
        if algorithm is not None:
            lab.line.vcek_crl.alter(algorithm=algorithm)

    return make


def leaf_signed(by: Callable[[SnpLab], Signer], algorithm: bytes | None = None) -> Alteration:
    def make(lab: SnpLab) -> None:
        lab.vek.signer = by(lab)
        if algorithm is not None:
            lab.vek.alter(algorithm=algorithm)

    return make


def salted(salt: int) -> Alteration:
    """A certificate with so many bytes of salt in its signature, which says 48."""
    return leaf_signed(lambda lab: Pss(lab.line.ask.key, salt))


def named(common_name: str) -> Alteration:
    return lambda lab: lab.vek.alter(subject=amd_certificates.name(common_name))


def issuer_named(common_name: str) -> Alteration:
    return lambda lab: lab.vek.alter(issuer=amd_certificates.name(common_name))


REPORTS = (
    *(
        Case(13, f"one bit of {name}", SIGNATURE, flipping(at))
        for name, at in SIGNED_FIELDS.items()
    ),
    *(
        Case(13, f"real report, one bit of {name}", SIGNATURE, real(case.PLAIN, turned(at)))
        for name, at in SIGNED_FIELDS.items()
    ),
    Case(13, "signed by a stranger", SIGNATURE, reported(signer=STRANGER)),
    Case(
        13,
        "signed by the VCEK of a lower TCB, which the same chip has",
        SIGNATURE,
        lambda lab: lab.report(
            signer=lab.machine.vek(
                "vcek", replace(lab.machine.tcb, snp=lab.machine.tcb.snp - 1)
            ).key
        ),
    ),
)


AUTHORITIES = (
    Case(14, "all by an AMD that nobody pinned", CHAIN, partial(all_of_a_stranger, sent=())),
    Case(14, "its chain is sent along", CHAIN, partial(all_of_a_stranger, sent=("ask", "ark"))),
    Case(14, "its root is sent along", UNTRUSTED, partial(all_of_a_stranger, sent=("ark",))),
    Case(
        14,
        "a stranger's root of the same name beside a good report",
        UNTRUSTED,
        sent(lambda lab: (lab.line.ask.der, lab.stranger().line("Genoa").ark.der)),
    ),
    Case(
        14,
        "a stranger's ASK of the same name beside a good report",
        CHAIN,
        sent(lambda lab: (lab.stranger().line("Genoa").ask.der, lab.line.ark.der)),
    ),
    Case(
        14,
        "the pinned ones beside a good report",
        VERIFIED,
        sent(lambda lab: (lab.line.ask.der, lab.line.ark.der)),
    ),
    Case(
        14,
        "the pinned ones, root first",
        VERIFIED,
        sent(lambda lab: (lab.line.ark.der, lab.line.ask.der)),
    ),
    Case(
        14, "the root alone beside a good report", VERIFIED, sent(lambda lab: (lab.line.ark.der,))
    ),
    Case(14, "nothing beside it", VERIFIED, lambda lab: carried(lab, lab.vek.der)),
    Case(
        14, "real authorities", VERIFIED, beside_real(case.PLAIN, "milan_ask.pem", "milan_ark.pem")
    ),
    Case(
        14,
        "the revoked Genoa ASK, sent without a list",
        CHAIN,
        beside_real(case.GENOA, "genoa_ask_revoked_020001.pem", "genoa_ark.pem"),
    ),
    Case(15, "VCEK by the ASK of another line", MISMATCH, of_the_line("Milan")),
    Case(
        15,
        "CPU of Milan, VCEK of Genoa",
        MISMATCH,
        both(pinned("Genoa", "Milan"), reported(cpuid_family=0x19, cpuid_model=0x01)),
    ),
    Case(15, "a line without pinned authorities", UNTRUSTED, pinned("Milan")),
    Case(
        15,
        "the ARK of another line beside it",
        UNTRUSTED,
        sent(lambda lab: (lab.amd.line("Milan").ark.der,)),
    ),
    Case(
        15,
        "the ASK of another line beside it",
        CHAIN,
        sent(lambda lab: (lab.amd.line("Milan").ask.der,)),
    ),
    Case(
        15,
        "real: ARK of Genoa beside Milan",
        UNTRUSTED,
        beside_real(case.PLAIN, "milan_ask.pem", "genoa_ark.pem"),
    ),
    Case(15, "real: ASK of Genoa beside Milan", CHAIN, beside_real(case.PLAIN, "genoa_ask.pem")),
    Case(
        15,
        "real: the ASK twice, once as the root",
        CHAIN,
        beside_real(case.PLAIN, "milan_ask.pem", "milan_ask.pem"),
    ),
    Case(16, "VCEK signed by the ASVK, which it names", CHAIN, signed_by("asvk", named="itself")),
    Case(16, "VCEK signed by the ASVK under the ASK's name", CHAIN, signed_by("asvk", named="ASK")),
    Case(
        16,
        "VLEK signed by the ASK, which it names",
        CHAIN,
        both(vlek, signed_by("ask", named="itself")),
    ),
    Case(
        16,
        "VLEK signed by the ASK under the ASVK's name",
        CHAIN,
        both(vlek, signed_by("ask", named="ASVK")),
    ),
    Case(16, "VCEK signed by the ARK itself", CHAIN, signed_by("ark", named="itself")),
    Case(16, "ASVK beside a VCEK", CHAIN, sent(lambda lab: (lab.line.asvk.der, lab.line.ark.der))),
    Case(
        16,
        "ASK beside a VLEK",
        CHAIN,
        both(vlek, sent(lambda lab: (lab.line.ask.der, lab.line.ark.der))),
    ),
    Case(
        16,
        "ASVK beside a VLEK",
        VERIFIED,
        both(vlek, sent(lambda lab: (lab.line.asvk.der, lab.line.ark.der))),
    ),
    Case(
        16,
        "real: ASVK beside a VCEK",
        CHAIN,
        beside_real(case.PLAIN, "milan_asvk.pem", "milan_ark.pem"),
    ),
    Case(
        16,
        "real: ASK beside a VLEK",
        CHAIN,
        beside_real(case.VLEK, "milan_ask.pem", "milan_ark.pem"),
    ),
)


PARAMETERS = (
    *(
        Case(
            21,
            f"VCEK with {salt} bytes of salt",
            CHAIN,
            salted(salt),
        )
        for salt in (0, 32, 47, 49)
    ),
    Case(
        21,
        "VCEK that says 32 bytes of salt, and has them",
        CHAIN,
        leaf_signed(lambda lab: Pss(lab.line.ask.key, 32), pss_algorithm(salt=32)),
    ),
    Case(
        21,
        "VCEK with SHA-256",
        CHAIN,
        leaf_signed(
            lambda lab: Pss(lab.line.ask.key, 48, "sha256", "sha256"),
            pss_algorithm(48, "sha256", "sha256"),
        ),
    ),
    Case(
        21,
        "VCEK with MGF1 of SHA-256",
        CHAIN,
        leaf_signed(lambda lab: Pss(lab.line.ask.key, mgf="sha256"), pss_algorithm(mgf="sha256")),
    ),
    Case(
        21,
        "VCEK with PKCS1 v1.5",
        CHAIN,
        leaf_signed(lambda lab: Pkcs1(lab.line.ask.key), RSA_SHA384),
    ),
    Case(
        21,
        "VCEK with PKCS1 v1.5 that says PSS",
        CHAIN,
        leaf_signed(lambda lab: Pkcs1(lab.line.ask.key)),
    ),
    Case(
        21,
        "VCEK whose two algorithm fields differ",
        CHAIN,
        lambda lab: lab.vek.alter(outer_algorithm=pss_algorithm(salt=32)),
    ),
    Case(
        21,
        "CRL with 32 bytes of salt",
        CRL_INVALID,
        crl_signed(lambda lab: Pss(lab.line.ark.key, 32)),
    ),
    Case(
        21,
        "CRL that says 32 bytes of salt, and has them",
        CRL_INVALID,
        crl_signed(lambda lab: Pss(lab.line.ark.key, 32), pss_algorithm(salt=32)),
    ),
    Case(
        21,
        "P-256 key in the VCEK",
        CHAIN,
        lambda lab: lab.vek.alter(spki=Key.derive(b"p", "256").spki),
    ),
    Case(21, "RSA key in the VCEK", CHAIN, lambda lab: lab.vek.alter(spki=lab.line.ask.key.spki)),
    Case(
        21,
        "another P-384 key in the VCEK",
        SIGNATURE,
        lambda lab: lab.vek.alter(spki=STRANGER.spki),
    ),
    Case(21, "a VCEK of a number alone", CHAIN, lambda lab: lab.edit(vek=NUMBER)),
    Case(21, "a CRL of a number alone", CRL_INVALID, lambda lab: lab.edit(crl=NUMBER)),
    *(
        Case(22, f"leaf named {name!r}", CHAIN, named(name))
        for name in ("SEV-VCEK-Genoa", "sev-vcek", "SEV", "SEV-Genoa", "VCEK", "ARK-Genoa", "")
    ),
    Case(22, "a VCEK named as a VLEK", CHAIN, named("SEV-VLEK")),
    *(
        Case(22, f"issuer named {name!r}", CHAIN, issuer_named(name))
        for name in ("SEV-Genoa-B0", "sev-genoa", "SEV", "ARK-Genoa", "SEV-VCEK", "")
    ),
    Case(
        22,
        "a VCEK of a CA: extensions that nobody understands",
        CHAIN,
        lambda lab: lab.vek.put(pki.basic_constraints(ca=True)),
    ),
)


CASES = (*REPORTS, *AUTHORITIES, *PARAMETERS)
