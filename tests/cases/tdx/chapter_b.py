# SPDX-License-Identifier: Apache-2.0
"""Lines 49 to 60: later tests of dcap-qvl, in own words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator import pki
from simulator.layouts import BODIES, offsets, size
from simulator.pki import Entity, Key, pem
from tests.tdx_lab import (
    NOW,
    SECOND,
    Case,
    Lab,
    both,
    edited,
    expired,
    flipped,
    quoted,
    svn,
)
from verifiers.errors import Reason
from verifiers.tcb import TcbStatus
from verifiers.tdx.claims import TdAttribute

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tdx_lab import Alteration
    from verifiers.tdx.claims import TdxClaims

UP_TO_DATE = TcbStatus.UP_TO_DATE
SEPT = 1 << 28
STRANGER = Key.derive(b"chapter b", "stranger")
TAIL = offsets(5, 4)

NEWER_BITS = {
    **{bit: TdAttribute(f"profiling-{bit}") for bit in range(4, 7)},
    16: TdAttribute.ICSSD,
    17: TdAttribute.SERVTD_EXT,
    **{bit: TdAttribute(f"bit-{bit}") for bit in range(18, 23)},
    27: TdAttribute.LASS,
    29: TdAttribute.MIGRATABLE,
    62: TdAttribute.TPA,
    63: TdAttribute.PERFMON,
}
NO_CA_BELOW = pki.basic_constraints(ca=True, path_len=0)
MUST_BE_ZERO = sum(
    1 << bit for bit in (*range(1, 4), *range(7, 16), *range(23, 27), *range(32, 62))
)


def issuers(*entities: Entity) -> str:
    return pem(*(entity.der for entity in entities))


def by_a_stranger(lab: Lab, *, listing: bool) -> None:
    lab.intel.platform_crl.signer = STRANGER
    if listing:
        lab.intel.platform_crl.revoke(lab.platform.pck.spec.serial)


def below_the_ca(lab: Lab) -> None:
    """One authority more than Intel has, below one whose path length is zero."""
    ca, key = lab.platform.ca, Key.derive(b"chapter b", "below")
    spec = replace(ca.spec, issuer=ca.spec.subject, subject=pki.name("Below"), spki=key.spki)
    below = Entity(spec=spec, signer=ca.key, key=key)
    lab.platform.pck.alter(issuer=below.spec.subject)
    lab.platform.pck.signer = key
    lab.chain(lab.platform.pck, below, ca, lab.intel.root)


def tail_flipped(at: int, bit: int) -> Alteration:
    """One bit of a quote with the longest body."""
    return both(quoted(version=5, body_type=4), lambda lab: lab.flip(at, bit))


def only_named(name: TdAttribute) -> Callable[[TdxClaims], bool]:
    return lambda claims: name in claims.attributes and not claims.reserved_attributes


def revoked_now(kind: int) -> tuple[Case, Case]:
    """The TCB that the TD runs on now, whatever it was at launch."""
    return (
        Case(
            59,
            f"current TCB revoked, body type {kind}",
            Reason.TCB_REVOKED,
            quoted(version=5, body_type=kind, tee_tcb_svn2=svn(2, 1, 4)),
        ),
        Case(
            59,
            f"current TCB below all levels, body type {kind}",
            Reason.TCB_NOT_SUPPORTED,
            quoted(version=5, body_type=kind, tee_tcb_svn2=svn(11, 1, 0)),
        ),
    )


LISTS = (
    Case(
        49,
        "empty PCK CRL of a stranger",
        Reason.CRL_INVALID,
        lambda lab: by_a_stranger(lab, listing=False),
    ),
    Case(
        49,
        "PCK CRL of a stranger",
        Reason.CRL_INVALID,
        lambda lab: by_a_stranger(lab, listing=True),
    ),
    Case(
        50,
        "one bit of the PCK CRL's signature",
        Reason.CRL_INVALID,
        lambda lab: setattr(lab.intel.platform_crl, "edit", lambda der: flipped(der, -1)),
    ),
    Case(
        50,
        "one bit of the root CRL's signature",
        Reason.CRL_INVALID,
        lambda lab: setattr(lab.intel.root_crl, "edit", lambda der: flipped(der, -1)),
    ),
    Case(51, "an empty PCK CRL", Reason.CRL_INVALID, edited(pck_crl="")),
    Case(51, "a root CRL of zeros", Reason.CRL_INVALID, edited(root_ca_crl="00" * 300)),
    Case(
        51,
        "a certificate for a CRL",
        Reason.CRL_INVALID,
        lambda lab: lab.edit(pck_crl=lab.platform.ca.der.hex()),
    ),
    Case(
        52, "PCK CRL issuer chain is garbage", Reason.CHAIN, edited(pck_crl_issuer_chain="garbage")
    ),
    Case(
        52,
        "Intel's chain, but of no CA",
        Reason.CHAIN,
        lambda lab: lab.edit(pck_crl_issuer_chain=issuers(lab.intel.tcb_signing, lab.intel.root)),
    ),
    Case(
        52,
        "Intel's chain, but of the other CA",
        Reason.CRL_INVALID,
        lambda lab: lab.edit(pck_crl_issuer_chain=issuers(lab.intel.processor_ca, lab.intel.root)),
    ),
    Case(
        52,
        "a CA that may not sign CRLs",
        Reason.CRL_INVALID,
        lambda lab: lab.intel.platform_ca.put(pki.key_usage(b"\x04")),
    ),
    Case(
        52,
        "a root that may not sign CRLs",
        Reason.CRL_INVALID,
        lambda lab: lab.intel.root.put(pki.key_usage(b"\x04")),
    ),
    Case(
        53,
        "PCK CRL of the future",
        Reason.COLLATERAL_NOT_YET_VALID,
        lambda lab: lab.intel.platform_crl.alter(this_update=NOW + SECOND),
    ),
    Case(
        53,
        "root CRL of the future",
        Reason.COLLATERAL_NOT_YET_VALID,
        lambda lab: lab.intel.root_crl.alter(this_update=NOW + SECOND),
    ),
    Case(
        53,
        "CRLs past their next update are shown to the policy",
        UP_TO_DATE,
        both(
            lambda lab: lab.intel.platform_crl.alter(next_update=NOW - SECOND),
            lambda lab: lab.intel.root_crl.alter(next_update=NOW - SECOND),
        ),
        expired("pck_crl", "root_ca_crl"),
    ),
    Case(
        55,
        "-1 in the CRL is not 255",
        UP_TO_DATE,
        both(
            lambda lab: lab.platform.pck.alter(serial=255),
            lambda lab: lab.intel.platform_crl.revoke(-1),
        ),
        lambda claims: claims.pck.serial_number == 255,
    ),
    Case(
        55,
        "255 in the CRL is 255",
        Reason.CERTIFICATE_REVOKED,
        both(
            lambda lab: lab.platform.pck.alter(serial=255),
            lambda lab: lab.intel.platform_crl.revoke(-1, 255),
        ),
    ),
    Case(
        55,
        "a certificate whose serial number is negative",
        Reason.CHAIN,
        lambda lab: lab.platform.pck.alter(serial=-1),
    ),
)

CHAINS = (
    Case(54, "path length of the root", Reason.CHAIN, lambda lab: lab.intel.root.put(NO_CA_BELOW)),
    Case(54, "path length of the PCK CA", Reason.CHAIN, below_the_ca),
    Case(
        54,
        "two signature algorithms",
        Reason.CHAIN,
        lambda lab: lab.platform.pck.alter(outer_algorithm=pki.ECDSA_SHA384),
    ),
    Case(
        54,
        "ecdsa-with-SHA384 said twice over a SHA-256 signature",
        Reason.CHAIN,
        lambda lab: lab.platform.pck.alter(algorithm=pki.ECDSA_SHA384),
    ),
    Case(
        58,
        "60 intermediates",
        Reason.CHAIN,
        lambda lab: lab.chain(lab.platform.pck, *[lab.platform.ca] * 60, lab.intel.root),
    ),
)

QUOTES = (
    *(
        Case(
            56,
            f"body size {right + by} of type {kind}",
            Reason.MALFORMED,
            quoted(version=5, body_type=kind, body_size=right + by),
        )
        for kind, right in ((2, size(BODIES[2])), (3, size(BODIES[3])), (4, size(BODIES[4])))
        for by in (-1, 1)
    ),
    *(
        Case(
            57,
            f"one bit of {name}",
            Reason.SIGNATURE,
            tail_flipped(TAIL[name].start, 1),
        )
        for name in (
            "tee_tcb_svn2",
            "mr_service_td",
            "vm_id",
            "td_id",
            "dev_info",
            "init_service_td_hash",
            "init_service_td_attributes",
        )
    ),
    *(
        Case(
            57,
            f"last bit of {name}",
            Reason.SIGNATURE,
            tail_flipped(TAIL[name].stop - 1, 0x80),
        )
        for name in (
            "init_cpu_svn",
            "init_tee_tcb_svn",
            "init_tee_fmspc",
            "cur_service_td_hash",
            "cur_service_td_attributes",
        )
    ),
    *revoked_now(3),
    *revoked_now(4),
    *(
        Case(
            60,
            f"attribute {name}",
            UP_TO_DATE,
            quoted(td_attributes=SEPT | 1 << bit),
            only_named(name),
        )
        for bit, name in NEWER_BITS.items()
    ),
    Case(
        60,
        "all bits that must be zero",
        UP_TO_DATE,
        quoted(td_attributes=SEPT | MUST_BE_ZERO),
        lambda claims: claims.reserved_attributes == MUST_BE_ZERO,
    ),
)

CASES = (*LISTS, *CHAINS, *QUOTES)
