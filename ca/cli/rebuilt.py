# SPDX-License-Identifier: Apache-2.0
"""Reports and quotes that Go's guest libraries took apart into messages, put together again byte for byte.

Source: google/go-sev-guest proto/sevsnp.proto and AMD publication 56860 (ATTESTATION_REPORT); google/go-tdx-guest
proto/tdx.proto and Intel TDX DCAP Quoting Library API, appendix 3. Every field has the length that its structure gives
it. What a message does not carry is zero in the structure; where that was not so, or a field was changed, the signature
over the result does not verify: nothing is judged here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ca.cli.protobuf import malformed
from verifiers.snp.report import REPORT_BYTES

if TYPE_CHECKING:
    from ca.cli.protobuf import Message

_WITH_CPUID: Final = 3  # version of the report
_BASE_FAMILY: Final = 0xF

# Of ATTESTATION_REPORT: where a value stands, which field of the message it is, and its length in bytes.
_NUMBERS: Final = (
    (0x000, 1, 4),  # version
    (0x004, 2, 4),  # guest_svn
    (0x008, 3, 8),  # policy
    (0x030, 6, 4),  # vmpl
    (0x034, 7, 4),  # signature_algo
    (0x038, 8, 8),  # current_tcb
    (0x040, 9, 8),  # platform_info
    (0x048, 10, 4),  # signer_info
    (0x180, 18, 8),  # reported_tcb
    (0x1E0, 20, 8),  # committed_tcb
    (0x1E8, 21, 1),  # current build, minor, major
    (0x1E9, 22, 1),
    (0x1EA, 23, 1),
    (0x1EC, 24, 1),  # committed build, minor, major
    (0x1ED, 25, 1),
    (0x1EE, 26, 1),
    (0x1F0, 27, 8),  # launch_tcb
    (0x1F8, 30, 8),  # launch_mit_vector
    (0x200, 31, 8),  # current_mit_vector
)
_BYTES: Final = (
    (0x010, 4, 16),  # family_id
    (0x020, 5, 16),  # image_id
    (0x050, 11, 64),  # report_data
    (0x090, 12, 48),  # measurement
    (0x0C0, 13, 32),  # host_data
    (0x0E0, 14, 48),  # id_key_digest
    (0x110, 15, 48),  # author_key_digest
    (0x140, 16, 32),  # report_id
    (0x160, 17, 32),  # report_id_ma
    (0x1A0, 19, 64),  # chip_id
    (0x2A0, 28, 512),  # signature
)
# TDQuoteBody, in order: fields 1 to 10, then four of field 11, then 12
_TD_BODY: Final = (16, 48, 48, 8, 8, 8, 48, 48, 48, 48)
_RTMRS: Final = 4
_RTMR_BYTES: Final = 48


def snp_report(message: Message) -> bytes:
    """The 1184 bytes of a sevsnp.Report. Raises VerificationError (`malformed`)."""
    report = bytearray(REPORT_BYTES)
    for offset, field, size in _NUMBERS:
        report[offset : offset + size] = message.number(field, size)
    for offset, field, size in _BYTES:
        report[offset : offset + size] = message.data(field, size)
    if report[0] >= _WITH_CPUID:
        report[0x188:0x18B] = _cpu(int.from_bytes(message.number(29, 4), "little"))
    return bytes(report)


def _cpu(eax: int) -> bytes:
    """Family, model and stepping of CPUID function 1, EAX (AMD publication 55766: the extended parts count in 0xF)."""
    family, model = eax >> 8 & 0xF, eax >> 4 & 0xF
    if family == _BASE_FAMILY:
        family, model = family + (eax >> 20 & 0xFF), model | (eax >> 16 & 0xF) << 4
    if family > 0xFF:
        raise malformed(f"sevsnp.Report: CPUID {eax:#x} has a family of more than a byte")
    return bytes([family, model, eax & 0xF])


def tdx_quote(message: Message) -> bytes:
    """The bytes of a tdx.QuoteV4. Raises VerificationError (`malformed`)."""
    signed = message.message(4, "tdx signed_data")
    certification = signed.message(3, "tdx certification_data")
    inner = _qe_certification(certification.message(3, "tdx qe_report_certification_data"))
    outer = (
        signed.data(1, 64)
        + signed.data(2, 64)
        + certification.number(1, 2)
        + _sized(certification.number(2, 4), inner, "tdx certification_data")
    )
    return (
        _tdx_header(message.message(1, "tdx header"))
        + _td_body(message.message(2, "tdx td_quote_body"))
        + _sized(message.number(3, 4), outer, "tdx signed_data")
        + message.data(5)
    )


def _tdx_header(header: Message) -> bytes:
    return (
        header.number(1, 2)
        + header.number(2, 2)
        + header.number(3, 4)
        + header.data(5, 2)  # pce_svn stands before qe_svn, as that library reads it
        + header.data(4, 2)
        + header.data(6, 16)
        + header.data(7, 20)
    )


def _td_body(body: Message) -> bytes:
    rtmrs = body.repeated(11, _RTMRS)
    if [len(rtmr) for rtmr in rtmrs] != [_RTMR_BYTES] * _RTMRS:
        raise malformed(f"{body.name}: four RTMRs of {_RTMR_BYTES} bytes are wanted")
    before = b"".join(body.data(field, size) for field, size in enumerate(_TD_BODY, 1))
    return before + b"".join(rtmrs) + body.data(12, 64)


def _qe_certification(data: Message) -> bytes:
    auth = data.message(3, "tdx qe_auth_data")
    chain = data.message(4, "tdx pck_certificate_chain_data")
    return (
        _enclave_report(data.message(1, "tdx qe_report"))
        + data.data(2, 64)
        + _sized(auth.number(1, 2), auth.data(2), auth.name)
        + chain.number(1, 2)
        + _sized(chain.number(2, 4), chain.data(3), chain.name)
    )


def _enclave_report(report: Message) -> bytes:
    return (
        report.data(1, 16)
        + report.number(2, 4)
        + report.data(3, 28)
        + report.data(4, 16)
        + report.data(5, 32)
        + report.data(6, 32)
        + report.data(7, 32)
        + report.data(8, 96)
        + report.number(9, 2)
        + report.number(10, 2)
        + report.data(11, 60)
        + report.data(12, 64)
    )


def _sized(size: bytes, data: bytes, name: str) -> bytes:
    """A length, little endian, and so many bytes."""
    if int.from_bytes(size, "little") != len(data):
        raise malformed(f"{name}: another length than it says")
    return size + data
