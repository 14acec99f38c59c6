# SPDX-License-Identifier: Apache-2.0
"""AMD's certificates as its real ones are: names, extensions and their order, serials, lifetimes, PSS parameters.

ARK (root) -> ASK -> VCEK and ARK -> ASVK -> VLEK, a hierarchy for each product line. Source: AMD publications 57230
(VCEK certificate and KDS interface) and 58369 (VLEK), and the real certificates. What a test wants otherwise it
changes on the `Authority`, `Vek` or `Crl` it gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from simulator import der, pki
from simulator.amd_keys import PSS_SHA384, PSS_SHA384_WITH_TRAILER
from simulator.pki import CertificateSpec, Crl, CrlSpec, Extension, Signed

if TYPE_CHECKING:
    from datetime import datetime

    from simulator.amd_keys import P384Key, RsaKey
    from simulator.products import Product, Tcb

ARC = "1.3.6.1.4.1.3704.1"
STRUCT_VERSION, PRODUCT_NAME, HWID, CSP_ID = (f"{ARC}.{arc}" for arc in (1, 2, 4, 5))
CRL_URL = "https://kdsintf.amd.com/{}/v1/{}/crl"
YEAR = timedelta(days=365)
INTERMEDIATE_USAGE = pki.key_usage(
    b"\x04", unused=1
)  # keyCertSign, with a zero bit that DER would leave out

_SPL_PARTS = {1: "bootloader", 2: "tee", 3: "snp", 8: "microcode", 9: "fmc"}


@dataclass(slots=True, kw_only=True)
class Authority(Signed[CertificateSpec]):
    """ARK, ASK or ASVK: its certificate and its key."""

    key: RsaKey


@dataclass(slots=True, kw_only=True)
class Vek(Signed[CertificateSpec]):
    """A VCEK or VLEK: its certificate and its key."""

    key: P384Key


def spl(arc: int) -> str:
    """The OID of one SPL extension: 1 boot loader, 2 TEE, 3 SNP, 8 microcode, 9 FMC; 4 to 7 are zero."""
    return f"{ARC}.3.{arc}"


def name(common_name: str) -> pki.Name:
    """A distinguished name of AMD's form, DER: OU, C, L, ST, O, CN."""
    attributes = (
        ("2.5.4.11", der.utf8_string("Engineering")),
        ("2.5.4.6", der.printable_string("US")),
        ("2.5.4.7", der.utf8_string("Santa Clara")),
        ("2.5.4.8", der.utf8_string("CA")),
        ("2.5.4.10", der.utf8_string("Advanced Micro Devices")),
        ("2.5.4.3", der.utf8_string(common_name)),
    )
    return der.sequence(*(der.set_of(der.sequence(der.oid(o), value)) for o, value in attributes))


def ark(now: datetime, product: Product, key: RsaKey) -> Authority:
    """The root of a product line: self-signed, valid 25 years."""
    return Authority(
        spec=_authority_spec(
            (f"ARK-{product.name}", f"ARK-{product.name}"),
            product.ark_serial,
            now - 5 * YEAR,
            key,
            (
                pki.key_usage(pki.CERT_SIGN_AND_CRL_SIGN),
                pki.subject_key_identifier(key.key_id),
                pki.basic_constraints(ca=True),
                pki.crl_distribution_point(CRL_URL.format("vcek", product.name)),
            ),
        ),
        signer=key,
        key=key,
    )


def ask(now: datetime, product: Product, root: Authority, key: RsaKey) -> Authority:
    """The signer of VCEKs."""
    names = (f"ARK-{product.name}", f"SEV-{product.name}")
    extensions = _intermediate_extensions(product, root, key, "vcek")
    spec = _authority_spec(names, product.ask_serial, now - 5 * YEAR, key, extensions)
    return Authority(spec=spec, signer=root.key, key=key)


def asvk(now: datetime, product: Product, root: Authority, key: RsaKey) -> Authority:
    """The signer of VLEKs."""
    names = (f"ARK-{product.name}", f"SEV-VLEK-{product.name}")
    extensions = _intermediate_extensions(product, root, key, "vlek")
    spec = _authority_spec(names, product.asvk_serial, now - 3 * YEAR, key, extensions)
    return Authority(spec=spec, signer=root.key, key=key)


def vcek(
    now: datetime, product: Product, issuer: Authority, key: P384Key, hwid: bytes, tcb: Tcb
) -> Vek:
    """The certificate of a chip at a TCB, valid 7 years. `hwid` stands in its extension without a DER tag."""
    extensions = (*_common(product, product.vcek_name, tcb), Extension(HWID, hwid))
    return _vek(now, issuer, key, "SEV-VCEK", 7 * YEAR, extensions)


def vlek(
    now: datetime, product: Product, issuer: Authority, key: P384Key, csp_id: str, tcb: Tcb
) -> Vek:
    """The certificate of a cloud provider at a TCB, valid one year."""
    extensions = (
        *_common(product, product.vlek_name, tcb),
        Extension(CSP_ID, der.ia5_string(csp_id)),
    )
    return _vek(now, issuer, key, "SEV-VLEK", YEAR, extensions)


def crl(root: Authority, this_update: datetime, number: int = 1) -> Crl:
    """An empty revocation list of an ARK, good for a year."""
    extensions = (pki.authority_key_identifier(root.key.key_id), pki.crl_number(number))
    spec = CrlSpec(
        root.spec.subject, this_update, this_update + YEAR, extensions, algorithm=PSS_SHA384
    )
    return Crl(spec=spec, signer=root.key)


def _authority_spec(
    names: tuple[str, str],
    serial: int,
    not_before: datetime,
    key: RsaKey,
    extensions: tuple[Extension, ...],
) -> CertificateSpec:
    issuer, subject = names
    return CertificateSpec(
        serial=serial,
        issuer=name(issuer),
        subject=name(subject),
        not_before=not_before,
        not_after=not_before + 25 * YEAR,
        spki=key.spki,
        extensions=extensions,
        algorithm=PSS_SHA384_WITH_TRAILER,
    )


def _intermediate_extensions(
    product: Product, root: Authority, key: RsaKey, kind: str
) -> tuple[Extension, ...]:
    return (
        pki.subject_key_identifier(key.key_id),
        pki.authority_key_identifier(root.key.key_id),
        pki.basic_constraints(ca=True, path_len=0),
        INTERMEDIATE_USAGE,
        pki.crl_distribution_point(CRL_URL.format(kind, product.name)),
    )


def _common(product: Product, product_name: str, tcb: Tcb) -> tuple[Extension, ...]:
    """The extensions that VCEK and VLEK share, in the order of the product line's real ones."""
    spls = ((arc, _SPL_PARTS.get(arc)) for arc in product.spl_order)
    return (
        Extension(STRUCT_VERSION, der.integer(product.struct_version)),
        Extension(PRODUCT_NAME, der.ia5_string(product_name)),
        *(
            Extension(spl(arc), der.integer(getattr(tcb, part) if part else 0))
            for arc, part in spls
        ),
    )


def _vek(
    now: datetime,
    issuer: Authority,
    key: P384Key,
    common_name: str,
    lifetime: timedelta,
    extensions: tuple[Extension, ...],
) -> Vek:
    not_before = now - timedelta(days=60)
    spec = CertificateSpec(
        serial=0,  # so in every real one
        issuer=issuer.spec.subject,
        subject=name(common_name),
        not_before=not_before,
        not_after=not_before + lifetime,
        spki=key.spki,
        extensions=extensions,
        algorithm=PSS_SHA384,
    )
    return Vek(spec=spec, signer=issuer.key, key=key)
