# SPDX-License-Identifier: Apache-2.0
"""Lines 1 to 12: the bytes of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator import snp_report
from simulator.amd_keys import P384_ORDER, components, malleate
from simulator.snp import POLICY, SMT
from tests.cases.snp import case
from tests.cases.snp.case import (
    FORMAT,
    MALFORMED,
    MISMATCH,
    SIGNATURE,
    VERIFIED,
    Case,
    both,
    put,
    real,
    reported,
    turned,
    vlek,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cases.snp.case import Alteration
    from tests.snp_lab import SnpLab
    from verifiers.snp.claims import SnpClaims

VERSIONS = (2, 3, 4, 5)
CPUID = {2: ("cpuid_family", "cpuid_model", "cpuid_stepping"), 3: (), 4: (), 5: ()}
MITIGATIONS = ("launch_mit_vector", "current_mit_vector")
RESERVED = {  # name in the layout -> bytes
    "reserved1": 4,
    "reserved2": 21,
    "reserved3": 1,
    "reserved4": 1,
    "reserved5": 152,
    "reserved6": 368,
}
R_TAIL, S_TAIL = 0x2D0, 0x318
POLICY_AT, PLATFORM_INFO_AT, SIGNATURE_AT = 0x08, 0x40, 0x2A0
BIT_17 = 1 << 17


def cut(length: int) -> Callable[[bytes], bytes]:
    return lambda report: report[:length].ljust(length, b"\0")


def signature(r: int | None, s: int | None) -> Callable[[bytes], bytes]:
    """Other numbers; None keeps the right one."""

    def edit(right: bytes) -> bytes:
        numbers = [int.from_bytes(half, "little") for half in (right[:72], right[72:])]
        chosen = (
            given if given is not None else old for given, old in zip((r, s), numbers, strict=True)
        )
        return components(*chosen)

    return edit


def s_plus_n(right: bytes) -> bytes:
    s = int.from_bytes(right[72:], "little")
    return right[:72] + (s + P384_ORDER).to_bytes(72, "little")


def wrong_kind(signing_key: str) -> Alteration:
    """A report under one kind of key, with the certificate of the other kind in the collateral."""
    other = "vcek" if signing_key == "vlek" else "vlek"

    def make(lab: SnpLab) -> None:
        lab.report(signing_key=signing_key)
        lab.edit(vek=lab.machine.vek(other).der)

    return make


def under_guid(signing_key: str, guid: str) -> Alteration:
    """The certificate in a table, under a GUID of either kind; nothing else is at hand but the CRL."""

    def make(lab: SnpLab) -> None:
        lab.report(signing_key=signing_key)
        named = {"vcek": snp_report.VCEK, "vlek": snp_report.VLEK}[guid]
        lab.certificates = snp_report.certificate_table([(named, lab.vek.der)])
        lab.offline = False

    return make


def platform_is(number: int) -> Callable[[SnpClaims], object]:
    return lambda claims: claims.report.platform_info == number


def same_statement(lab: SnpLab) -> None:
    lab.report(signature=malleate)


LENGTHS = (
    *(
        Case(1, f"{length} bytes", MALFORMED, real(case.PLAIN, cut(length)))
        for length in (0, 1, 0x2A0, 0x330, 1183, 1185, 1184 * 2)
    ),
    Case(1, "a byte behind a report of the fake AMD", MALFORMED, reported(trailing=b"\0")),
)

FORMATS = (
    *(Case(2, f"version {version}", VERIFIED, reported(version=version)) for version in (3, 4, 5)),
    Case(2, "version 2, with the VCEK beside it", VERIFIED, reported(version=2), product="Milan"),
    *(
        Case(2, f"version {version}, signed", FORMAT, reported(version=version))
        for version in (0, 1, 6, 7, 0x100, 0xFFFFFFFF)
    ),
    *(
        Case(
            2,
            f"real report made version {version}",
            FORMAT,
            real(case.PLAIN, put(0, bytes((version,)))),
        )
        for version in (1, 6)
    ),
    Case(
        2, "real report of version 5", VERIFIED, real(case.GENOA), lambda c: c.report.version == 5
    ),
    Case(2, "real report made version 2", MALFORMED, real(case.PLAIN, put(0, b"\2"))),
    *(
        Case(3, f"SIGNATURE_ALGO {number}, signed", FORMAT, reported(signature_algo=number))
        for number in (0, 2, 0x101, 0xFFFFFFFF)
    ),
    Case(3, "real report with SIGNATURE_ALGO 2", FORMAT, real(case.PLAIN, put(0x34, b"\2"))),
)

UNSIGNED = (
    Case(4, "SIGNING_KEY none", SIGNATURE, reported(signing_key="none")),
    Case(4, "SIGNING_KEY none over a good signature", SIGNATURE, reported(flags=7 << 2)),
    *(
        Case(4, f"SIGNING_KEY {number}, signed", MALFORMED, reported(flags=number << 2))
        for number in range(2, 7)
    ),
    Case(4, "R = S = 0", SIGNATURE, reported(signature=bytes(144))),
    Case(4, "R = 0", SIGNATURE, reported(signature=signature(0, None))),
    Case(4, "S = 0", SIGNATURE, reported(signature=signature(None, 0))),
    Case(4, "R = S = 1", SIGNATURE, reported(signature=components(1, 1))),
    Case(4, "R = n", SIGNATURE, reported(signature=signature(P384_ORDER, None))),
    Case(4, "S = n", SIGNATURE, reported(signature=signature(None, P384_ORDER))),
    Case(4, "R of 384 ones", SIGNATURE, reported(signature=signature(2**384 - 1, None))),
    Case(
        4, "real report with R = S = 0", SIGNATURE, real(case.PLAIN, put(SIGNATURE_AT, bytes(144)))
    ),
    Case(5, "VLEK in the report, VCEK in the collateral", MISMATCH, wrong_kind("vlek")),
    Case(5, "VCEK in the report, VLEK in the collateral", MISMATCH, wrong_kind("vcek")),
    Case(
        5,
        "SIGNING_KEY says VLEK, signed with the VCEK that is at hand",
        MISMATCH,
        both(reported(flags=1 << 2), lambda lab: lab.edit(vek=lab.machine.vek("vcek").der)),
    ),
    Case(5, "a VCEK under the GUID of a VLEK", VERIFIED, under_guid("vcek", "vlek")),
    Case(5, "a VLEK under the GUID of a VCEK", VERIFIED, under_guid("vlek", "vcek")),
    Case(5, "real report that says VLEK", MISMATCH, real(case.PLAIN, turned(0x48, 1 << 2))),
    Case(5, "real report that says VCEK", MISMATCH, real(case.VLEK, turned(0x48, 1 << 2))),
    Case(6, "MASK_CHIP_KEY, signed", SIGNATURE, reported(mask_chip_key=True)),
    Case(
        6, "MASK_CHIP_KEY, unsigned", SIGNATURE, reported(mask_chip_key=True, signature=bytes(144))
    ),
    Case(6, "MASK_CHIP_KEY with a VLEK", SIGNATURE, both(vlek, reported(mask_chip_key=True))),
    Case(6, "real report with MASK_CHIP_KEY", SIGNATURE, real(case.PLAIN, turned(0x48, 1 << 1))),
)


def _reserved(version: int) -> tuple[Case, ...]:
    """First and last byte of every reserved range of one version, properly signed."""
    product = "Milan" if version == 2 else "Genoa"
    names: dict[str, int] = {**RESERVED, **dict.fromkeys(CPUID[version], 1)}
    if version < 5:
        names |= dict.fromkeys(MITIGATIONS, 8)
    found = []
    for name, size in names.items():
        for where, value in {
            "first": b"\1" + bytes(size - 1),
            "last": bytes(size - 1) + b"\x80",
        }.items():
            make = reported(version=version, **{name: value})
            why = f"version {version}: {where} byte of {name}"
            found.append(Case(7, why, MALFORMED, make, product=product))
    return tuple(found)


ZEROS = (
    *(each for version in VERSIONS for each in _reserved(version)),
    *(
        Case(7, f"reserved flag {bit}, signed", MALFORMED, reported(flags=1 << bit))
        for bit in (5, 8, 16, 31)
    ),
    Case(7, "bytes of R beyond 48", MALFORMED, lambda lab: lab.write(R_TAIL, b"\1")),
    Case(7, "last byte of R", MALFORMED, lambda lab: lab.write(R_TAIL + 23, b"\1")),
    Case(7, "bytes of S beyond 48", MALFORMED, lambda lab: lab.write(S_TAIL, b"\1")),
    Case(7, "last byte of S", MALFORMED, lambda lab: lab.write(S_TAIL + 23, b"\1")),
    Case(7, "S + n, which needs its 49th byte", MALFORMED, reported(signature=s_plus_n)),
    *(
        Case(
            7,
            f"reserved byte {at} of {name}, signed",
            MALFORMED,
            reported(**{name: bytes(at) + b"\1" + bytes(7 - at)}),
        )
        for name in ("committed_tcb", "current_tcb", "launch_tcb")
        for at in (2, 5)
    ),
    Case(
        7,
        "real report with a mitigation vector before version 5",
        MALFORMED,
        real(case.PLAIN, put(0x1F8, b"\x0b")),
    ),
    Case(
        7,
        "real report with a byte behind the signature",
        MALFORMED,
        real(case.PLAIN, put(0x330, b"\1")),
    ),
    Case(7, "real report with another last byte", MALFORMED, real(case.PLAIN, put(1183, b"\1"))),
    Case(
        8,
        "mitigation vectors of version 5",
        VERIFIED,
        reported(launch_mit_vector=2**64 - 1, current_mit_vector=0x3F),
        lambda c: (c.report.launch_mit_vector, c.report.current_mit_vector) == (2**64 - 1, 0x3F),
    ),
    Case(
        8,
        "real mitigation vectors",
        VERIFIED,
        real(case.GENOA),
        lambda c: (c.report.launch_mit_vector, c.report.current_mit_vector) == (0x0B, 0x0B),
    ),
    Case(
        8,
        "no vectors are claimed before version 5",
        VERIFIED,
        reported(version=4),
        lambda c: c.report.launch_mit_vector is None and c.report.current_mit_vector is None,
    ),
)

BITS = (
    *(
        Case(
            9,
            f"PLATFORM_INFO bit {bit}",
            VERIFIED,
            reported(platform_info=SMT | 1 << bit),
            platform_is(SMT | 1 << bit),
        )
        for bit in (6, 8, 9, 31, 32, 63)
    ),
    Case(
        9,
        "real report with bit 6",
        VERIFIED,
        real(case.TURIN),
        lambda c: c.report.platform_info == 0x65 and "bit-6" in c.platform,
    ),
    Case(10, "POLICY bit 17 clear", MALFORMED, reported(policy=POLICY ^ BIT_17)),
    *(
        Case(10, f"POLICY bit {bit}", MALFORMED, reported(policy=POLICY | 1 << bit))
        for bit in (26, 27, 32, 48, 63)
    ),
    Case(
        10,
        "POLICY bit 25 is PAGE_SWAP_DISABLE in version 5",
        VERIFIED,
        reported(policy=POLICY | 1 << 25),
        lambda c: "page-swap-disable" in c.guest_policy,
    ),
    *(
        Case(
            10,
            f"POLICY bit 25 in version {version}",
            MALFORMED,
            reported(version=version, policy=POLICY | 1 << 25),
        )
        for version in (3, 4)
    ),
    Case(
        10, "real report with bit 17 clear", MALFORMED, real(case.PLAIN, turned(POLICY_AT + 2, 2))
    ),
    Case(10, "real report with bit 63", MALFORMED, real(case.PLAIN, turned(POLICY_AT + 7, 0x80))),
    Case(
        11,
        "a bit without a name is signed too",
        SIGNATURE,
        lambda lab: lab.flip(PLATFORM_INFO_AT + 5),
    ),
    Case(
        11,
        "real report, a bit without a name turned over",
        SIGNATURE,
        real(case.PLAIN, turned(PLATFORM_INFO_AT + 7)),
    ),
    Case(
        11,
        "fields that a lossy reader would not write again",
        VERIFIED,
        reported(
            platform_info=2**64 - 1,
            guest_svn=2**32 - 1,
            family_id=b"\xff" * 16,
            vmpl=0xFFFFFFFF,
            host_data=b"\xfe" * 32,
        ),
    ),
    Case(12, "(r, n-s) is as good as (r, s)", VERIFIED, same_statement),
    Case(12, "(r, n-s) of a VLEK", VERIFIED, both(vlek, same_statement)),
)

CASES = (*LENGTHS, *FORMATS, *UNSIGNED, *ZEROS, *BITS)
