# SPDX-License-Identifier: Apache-2.0
"""Lines 29 to 31: product lines by CPUID, and certificates of cloud providers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator import amd_certificates, der
from simulator.amd_certificates import CSP_ID, HWID, PRODUCT_NAME
from simulator.pki import Extension
from simulator.snp import CSP
from tests.cases.snp import case
from tests.cases.snp.case import (
    CHAIN,
    MISMATCH,
    SIGNATURE,
    VERIFIED,
    Case,
    both,
    put,
    real,
    reported,
    vlek,
)
from tests.cases.snp.extensions import extension, moved, twice, without
from verifiers.errors import Reason
from verifiers.evidence import Product
from verifiers.snp.claims import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cases.snp.case import Alteration
    from tests.snp_lab import SnpLab
    from verifiers.snp.claims import SnpClaims

UNKNOWN, INCOMPLETE = Reason.PRODUCT_UNKNOWN, Reason.INCOMPLETE
CPUID_AT = 0x188


def is_of(product: Product) -> Callable[[SnpClaims], object]:
    return lambda claims: claims.product is product


def on(family: int, model: int, stepping: int = 0) -> Alteration:
    return reported(cpuid_family=family, cpuid_model=model, cpuid_stepping=stepping)


def version_2(lab: SnpLab) -> None:
    lab.report(version=2)


def unsent(lab: SnpLab) -> None:
    version_2(lab)
    lab.edit(vek=None)


MODELS = (
    *(
        Case(29, f"CPU {family:02x}-{model:02x}", UNKNOWN, on(family, model))
        for family, model in (
            (0x00, 0x00),
            (0x17, 0x31),
            (0x18, 0x01),
            (0x19, 0x20),
            (0x19, 0x9F),
            (0x19, 0xB0),
            (0x1A, 0x12),
            (0x1A, 0x50),
            (0x1A, 0x5F),
            (0x1A, 0x90),
            (0x1A, 0xA0),
            (0x1A, 0xC0),
            (0x1B, 0x02),
            (0xFF, 0xFF),
        )
    ),
    Case(29, "Turin made Venice", UNKNOWN, on(0x1A, 0x50), product="Turin"),
    *(
        Case(
            29,
            f"{product} with CPU {family:02x}-{model:02x}",
            VERIFIED,
            on(family, model),
            is_of(Product(product)),
            product=product,
        )
        for product, family, model in (
            ("Milan", 0x19, 0x00),
            ("Milan", 0x19, 0x0F),
            ("Genoa", 0x19, 0x10),
            ("Genoa", 0x19, 0x1F),
            ("Turin", 0x1A, 0x00),
            ("Turin", 0x1A, 0x11),
        )
    ),
    Case(
        29,
        "version 2: the product of the issuer",
        VERIFIED,
        version_2,
        is_of(Product.MILAN),
        product="Milan",
    ),
    Case(29, "version 2 without a certificate", INCOMPLETE, unsent, product="Milan"),
    Case(
        29,
        "version 2, issuer of no known line",
        UNKNOWN,
        both(version_2, lambda lab: lab.vek.alter(issuer=amd_certificates.name("SEV-Venice"))),
        product="Milan",
    ),
    Case(
        29,
        "productName of another line",
        MISMATCH,
        extension(PRODUCT_NAME, der.ia5_string("Milan-B0")),
    ),
    Case(
        29,
        "productName that begins like it",
        MISMATCH,
        extension(PRODUCT_NAME, der.ia5_string("GenoaX")),
    ),
    Case(
        29,
        "productName with a stepping",
        VERIFIED,
        extension(PRODUCT_NAME, der.ia5_string("Genoa-B1")),
    ),
    Case(
        29,
        "real Milan report made Genoa",
        Reason.ENDORSEMENT_MISMATCH,
        real(case.PLAIN, put(CPUID_AT + 1, b"\x11")),
    ),
    Case(29, "real Milan report made unknown", UNKNOWN, real(case.PLAIN, put(CPUID_AT, b"\xff"))),
    *(
        Case(
            30, f"model {model:02x} is Genoa's", VERIFIED, on(0x19, model, 2), is_of(Product.GENOA)
        )
        for model in (0xA0, 0xA5, 0xAF)
    ),
    Case(
        30,
        "real Bergamo or Siena",
        VERIFIED,
        real(case.BERGAMO),
        lambda c: c.product is Product.GENOA and c.cpu is not None and c.cpu.model == 0xA0,
    ),
    Case(
        31,
        "VLEK: kind and CSP_ID are shown to the policy",
        VERIFIED,
        vlek,
        lambda c: (c.vek.kind, c.vek.csp_id, c.vek.hwid) == (SigningKey.VLEK, CSP, None),
    ),
    Case(
        31,
        "a VLEK with an hwID too",
        CHAIN,
        both(vlek, lambda lab: lab.vek.put(Extension(HWID, lab.machine.chip_id))),
    ),
    Case(31, "a VLEK with an hwID instead", CHAIN, both(vlek, moved(CSP_ID, HWID))),
    Case(31, "a VLEK without CSP_ID", CHAIN, both(vlek, without(CSP_ID))),
    Case(31, "a VLEK with two", CHAIN, both(vlek, twice(CSP_ID))),
    Case(31, "CSP_ID as a UTF8String", CHAIN, both(vlek, extension(CSP_ID, der.utf8_string(CSP)))),
    Case(31, "CSP_ID that is not ASCII", CHAIN, both(vlek, extension(CSP_ID, b"\x16\x02\xc3\xa9"))),
    Case(31, "a VCEK with a CSP_ID", CHAIN, extension(CSP_ID, der.ia5_string(CSP))),
    Case(
        31,
        "a VLEK of another TCB",
        MISMATCH,
        both(
            vlek,
            lambda lab: lab.edit(vek=lab.machine.vek("vlek", replace(lab.machine.tcb, snp=1)).der),
        ),
    ),
    Case(
        31,
        "a VLEK of another provider",
        SIGNATURE,
        both(
            vlek, lambda lab: lab.edit(vek=lab.amd.vlek("Genoa", "CN=other", lab.machine.tcb).der)
        ),
    ),
    Case(
        31,
        "a report under a VLEK that is not at hand",
        INCOMPLETE,
        both(vlek, lambda lab: lab.edit(vek=None)),
    ),
    Case(
        31,
        "real VLEK",
        VERIFIED,
        real(case.VLEK),
        lambda c: (c.vek.csp_id, c.vek.hwid) == (CSP, None),
    ),
)


CASES = MODELS
