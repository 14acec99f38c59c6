# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers as Go's guest libraries fill them, encoded here without the reader that the tests are of.

The messages are those of google/go-tpm-tools (attest, tpm), google/go-sev-guest (sevsnp) and google/go-tdx-guest (tdx).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Field: TypeAlias = tuple[int, int | bytes]


def varint(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F)
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def message(*fields: Field) -> bytes:
    """Numbers and bytes; as in proto3, a number that is 0 and bytes of no length are left out."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value) if value else b""
        elif value:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def quote(attest: bytes, signature: bytes, pcrs: Iterable[tuple[int, bytes]], bank: int) -> bytes:
    """tpm.Quote; `bank`: the TPM's number of its hash."""
    entries = [(2, message((1, number), (2, value))) for number, value in pcrs]
    return message((1, attest), (2, signature), (3, message((1, bank), *entries)))


def snp_report(report: bytes) -> bytes:
    """sevsnp.Report of an ATTESTATION_REPORT."""
    version, svn, policy, family, image, vmpl, algorithm, current, platform, signer = (
        struct.unpack_from("<IIQ16s16sIIQQI", report)
    )
    data, measured, host, id_key, author, report_id, agent, reported = struct.unpack_from(
        "<64s48s32s48s48s32s32sQ", report, 0x50
    )
    chip, committed, *builds, launch = struct.unpack_from("<64sQBBBxBBBxQ", report, 0x1A0)
    mitigations = struct.unpack_from("<QQ", report, 0x1F8)
    numbers = [version, svn, policy, family, image, vmpl, algorithm, current, platform, signer]
    rest = [data, measured, host, id_key, author, report_id, agent, reported, chip, committed]
    values = [*numbers, *rest, *builds, launch, report[0x2A0:]]
    extended = [eax(*report[0x188:0x18B]) if version >= 3 else 0, *mitigations]
    return message(*enumerate([*values, *extended], 1))


def eax(family: int, model: int, stepping: int) -> int:
    """CPUID function 1, EAX, of families that are written with their extension, as those of SEV-SNP are."""
    return (family - 0xF) << 20 | model >> 4 << 16 | 0xF << 8 | (model & 0xF) << 4 | stepping


def snp_attestation(report: bytes, *chain: Field) -> bytes:
    """sevsnp.Attestation; `chain`: fields of its CertificateChain (1 VCEK, 6 VLEK, 2 ASK, 3 ARK)."""
    return message((1, snp_report(report)), (2, message(*chain)))


def tdx_quote(raw: bytes) -> bytes:
    """tdx.QuoteV4 of a quote of version 4."""
    version, key_type, tee, pce, qe, vendor, user = struct.unpack_from("<HHI2s2s16s20s", raw)
    header = message(
        (1, version), (2, key_type), (3, tee), (4, qe), (5, pce), (6, vendor), (7, user)
    )
    parts = struct.unpack_from("<16s48s48s8s8s8s48s48s48s48s192s64s", raw, 48)
    rtmrs = [(11, parts[10][start : start + 48]) for start in range(0, 192, 48)]
    body = message(*enumerate(parts[:10], 1), *rtmrs, (12, parts[11]))
    (size,) = struct.unpack_from("<I", raw, 632)
    signed = tdx_signed(raw[636 : 636 + size])
    return message((1, header), (2, body), (3, size), (4, signed), (5, raw[636 + size :]))


def tdx_signed(data: bytes) -> bytes:
    """tdx.Ecdsa256BitQuoteV4AuthData."""
    outer_type, outer_size = struct.unpack_from("<HI", data, 128)
    inner = data[134:]
    enclave = message(*enumerate(struct.unpack_from("<16sI28s16s32s32s32s96sHH60s64s", inner), 1))
    (auth_size,) = struct.unpack_from("<H", inner, 448)
    auth = message((1, auth_size), (2, inner[450 : 450 + auth_size]))
    chain_type, chain_size = struct.unpack_from("<HI", inner, 450 + auth_size)
    chain = message((1, chain_type), (2, chain_size), (3, inner[456 + auth_size :]))
    certified = message((1, enclave), (2, inner[384:448]), (3, auth), (4, chain))
    certification = message((1, outer_type), (2, outer_size), (3, certified))
    return message((1, data[:64]), (2, data[64:128]), (3, certification))
