# SPDX-License-Identifier: Apache-2.0
"""A TDX quote, well-formed and trusted by nobody: bytes -> `TdxQuote`.

Source: Intel TDX DCAP Quoting Library API, appendix 3 (quote v4, v5); `sgx_quote_4.h`, `sgx_quote_5.h`. All integers
are little endian. Rules: every length agrees with every other; nothing is padded or cut; only zero bytes may follow,
and they are trimmed before anything is hashed. Unknown versions, bodies, key types and certification data are refused,
not skipped. No cryptography here.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_BYTES, EvidenceKind
from verifiers.tdx.claims import QuoteHeader, TdReport10, TdReport15, TdReport15Ex

# Layouts: the order of fields is that of the dataclasses in verifiers.tdx.claims.
_HEADER: Final = Struct("<HHIHH16s20s")  # 48 bytes
_TD10: Final = Struct("<16s48s48s8s8s8s48s48s48s48s48s48s48s48s64s")  # 584
_TD15: Final = Struct("<16s48s")  # 64 more: 648
_TD15_EX: Final = Struct("<1s32s48s48s8s16s16s12s48s8s")  # 237 more: 885
# SGX report body: cpusvn 16, miscselect 4, reserved 28, attributes 16, mrenclave 32, reserved 32, mrsigner 32,
# reserved 96, isvprodid 2, isvsvn 2, reserved 60, report_data 64
_SGX_REPORT: Final = Struct("<16s4s28s16s32s32s32s96sHH60s64s")  # 384

_QE_VENDOR_INTEL: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_TEE_SGX: Final = 0x00
_TEE_TDX: Final = 0x81
_ECDSA_P256: Final = 2
_BODY_SGX: Final = 1
_BODY_SIZES: Final = {2: 584, 3: 648, 4: 885}
_CERTIFICATION_PCK_CHAIN: Final = 5
_CERTIFICATION_QE_REPORT: Final = 6


@dataclass(frozen=True, slots=True)
class SgxReport:
    """The quoting enclave's report (`sgx_report_body_t`, 384 bytes) as read; `raw` is what its signature covers."""

    raw: bytes  # 384
    cpusvn: bytes  # 16
    miscselect: bytes  # 4
    attributes: bytes  # 16
    mrenclave: bytes  # 32
    mrsigner: bytes  # 32
    isvprodid: int
    isvsvn: int
    report_data: bytes  # 64


@dataclass(frozen=True, slots=True)
class TdxQuote:
    """One quote, parsed.

    Attributes:
        raw: the quote without trailing zero bytes.
        signed: the bytes under `signature`: header, (v5: body type and size,) body.
        body_type: 2, 3 or 4; a v4 quote has 2.
        attestation_key: x || y, 64 bytes.
        pck_chain_pem: certification data of type 5 as it stands.
    """

    raw: bytes
    signed: bytes
    header: QuoteHeader
    body_type: int
    td: TdReport10
    td15: TdReport15 | None
    td15_ex: TdReport15Ex | None
    signature: bytes  # 64, r || s
    attestation_key: bytes  # 64, x || y
    qe_report: SgxReport
    qe_report_signature: bytes  # 64
    qe_auth_data: bytes
    pck_chain_pem: bytes


def parse_quote(data: bytes) -> TdxQuote:
    """Parse a quote of version 4 or 5.

    Raises:
        VerificationError: `too-large`, `malformed`, `trailing-bytes`, `unsupported-format`, `unsupported-tee`.
    """
    limit = MAX_BYTES[EvidenceKind.TDX_QUOTE]
    if len(data) > limit:
        raise VerificationError(Reason.TOO_LARGE, f"quote: {len(data)} bytes, at most {limit}")
    cursor = Cursor(data)
    header = _parse_header(cursor)
    body_type = _parse_body_type(cursor, header.version)
    body = cursor.take(_BODY_SIZES[body_type], "body")
    signed = data[: cursor.position]
    end = cursor.u32("signature data length") + cursor.position
    parts = Cursor(data, cursor.position, min(end, len(data)))
    if end > len(data):
        raise VerificationError(
            Reason.MALFORMED,
            f"signature data: {end - parts.position} bytes announced, {parts.remaining} left",
        )
    signature = parts.take(64, "signature")
    attestation_key = parts.take(64, "attestation key")
    qe_report, qe_signature, qe_auth_data, pck_chain = _parse_certification(parts)
    if data[end:].strip(b"\x00"):
        raise VerificationError(
            Reason.TRAILING_BYTES, f"{len(data) - end} bytes follow the quote, not all zero"
        )
    return TdxQuote(
        raw=data[:end],
        signed=signed,
        header=header,
        body_type=body_type,
        td=TdReport10(*_TD10.unpack_from(body)),
        td15=TdReport15(*_TD15.unpack_from(body, 584)) if body_type >= 3 else None,
        td15_ex=TdReport15Ex(*_TD15_EX.unpack_from(body, 648)) if body_type >= 4 else None,
        signature=signature,
        attestation_key=attestation_key,
        qe_report=qe_report,
        qe_report_signature=qe_signature,
        qe_auth_data=qe_auth_data,
        pck_chain_pem=pck_chain,
    )


def names_tdx(data: bytes) -> bool:
    """Whether bytes say that they are a quote of TDX, by the TEE type at 4; nothing is checked."""
    return data[4:8] == _TEE_TDX.to_bytes(4, "little")


def _parse_header(cursor: Cursor) -> QuoteHeader:
    header = QuoteHeader(*_HEADER.unpack(cursor.take(_HEADER.size, "header")))
    if header.version == 3:
        raise VerificationError(
            Reason.UNSUPPORTED_TEE, "quote version 3 is SGX; only TDX quotes are accepted"
        )
    if header.version not in (4, 5):
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"quote version {header.version}; 4 and 5 are known"
        )
    if header.tee_type != _TEE_TDX:
        name = "SGX" if header.tee_type == _TEE_SGX else "unknown"
        raise VerificationError(
            Reason.UNSUPPORTED_TEE, f"TEE type {header.tee_type:#x} ({name}); 0x81 is TDX"
        )
    if header.att_key_type != _ECDSA_P256:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT,
            f"attestation key type {header.att_key_type}; 2 is ECDSA P-256",
        )
    if header.vendor_id != _QE_VENDOR_INTEL:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"QE vendor {header.vendor_id.hex()} is not Intel's"
        )
    return header


def _parse_body_type(cursor: Cursor, version: int) -> int:
    """Version 4 has TD report 1.0 and says nothing of it; version 5 says type and size, both signed."""
    if version == 4:
        return 2
    body_type, size = cursor.u16("body type"), cursor.u32("body size")
    if body_type == _BODY_SGX:
        raise VerificationError(Reason.MALFORMED, "an SGX report body under the TEE type of TDX")
    if body_type not in _BODY_SIZES:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"quote body type {body_type}; 2, 3 and 4 are known"
        )
    if size != _BODY_SIZES[body_type]:
        raise VerificationError(
            Reason.MALFORMED,
            f"body size {size}; body type {body_type} has {_BODY_SIZES[body_type]}",
        )
    return body_type


def _parse_certification(parts: Cursor) -> tuple[SgxReport, bytes, bytes, bytes]:
    """The nested certification data: (QE report, its signature, QE authentication data, PCK chain)."""
    _expect_type(parts.u16("certification data type"), _CERTIFICATION_QE_REPORT, "outer")
    size = parts.u32("certification data length")
    if size != parts.remaining:
        raise VerificationError(
            Reason.MALFORMED,
            f"certification data: {size} bytes announced, {parts.remaining} there",
        )
    raw = parts.take(_SGX_REPORT.size, "QE report")
    signature = parts.take(64, "QE report signature")
    auth_data = parts.take(parts.u16("QE authentication data length"), "QE authentication data")
    _expect_type(parts.u16("inner certification data type"), _CERTIFICATION_PCK_CHAIN, "inner")
    chain = parts.take(parts.u32("PCK chain length"), "PCK chain")
    parts.nothing_left("certification data")
    return _parse_sgx_report(raw), signature, auth_data, chain


def _expect_type(found: int, wanted: int, which: str) -> None:
    if found != wanted:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"{which} certification data type {found}; {wanted} is known"
        )


def _parse_sgx_report(raw: bytes) -> SgxReport:
    cpusvn, misc, _, attributes, enclave, _, signer, _, product, svn, _, report_data = (
        _SGX_REPORT.unpack(raw)
    )
    return SgxReport(raw, cpusvn, misc, attributes, enclave, signer, product, svn, report_data)
