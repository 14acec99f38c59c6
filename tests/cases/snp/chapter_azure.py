# SPDX-License-Identifier: Apache-2.0
"""Lines 49 and 52 to 60, what is the verifier's: what the evidence binds, Azure's envelope, tables, the clock."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from simulator import azure, snp_report
from simulator.snp_report import ENTRY_BYTES, table_entry
from simulator.vtpm import SHA1, SHA256, SHA384, tpmt_signature
from tests.cases.snp.case import (
    CHAIN,
    FORMAT,
    MALFORMED,
    SIGNATURE,
    VERIFIED,
    Case,
    both,
    reported,
)
from tests.snp_lab import BINDING, NOW
from verifiers.errors import Reason
from verifiers.evidence import Binding, EvidenceKind, Provider

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tests.cases.snp.case import Alteration
    from tests.snp_lab import Edit, SnpLab
    from verifiers.snp.claims import SnpClaims

UNBOUND, INCOMPLETE = Reason.BINDING_MISMATCH, Reason.INCOMPLETE
RIGHT, EXTRA = BINDING.report_data, BINDING.tpm_extra
ALL = tuple(range(24))


def asked(report_data: bytes, tpm_extra: bytes = EXTRA) -> Alteration:
    """The binding that is demanded; what the evidence carries stays right."""

    def make(lab: SnpLab) -> None:
        if lab.cvm is None:
            lab.report(report_data=RIGHT)
        else:
            lab.azure(extra_data=EXTRA)
        lab.binding = Binding(report_data, tpm_extra, bytes(32))

    return make


def on_azure(**quote: Any) -> Alteration:  # noqa: ANN401 - as FakeTpm.quote has them
    return lambda lab: lab.azure(**quote)


def said(change: Callable[[dict[str, Any]], Any]) -> Alteration:
    """Other runtime data, which the report vouches for."""

    def make(lab: SnpLab) -> None:
        data = lab.azure().runtime_data()
        changed = change(data)
        lab.runtime_data = data if changed is None else changed

    return make


def hcl(**fields: int | bytes) -> Alteration:
    """Other fields of the two headers of the HCL report."""

    def make(lab: SnpLab) -> None:
        lab.azure()
        lab.hcl_options.update(fields)

    return make


def sent(kind: EvidenceKind, edit: Edit) -> Alteration:
    """Another piece than the right one, or none, on Azure."""

    def make(lab: SnpLab) -> None:
        lab.azure()
        lab.piece(kind, edit)

    return make


def with_user_data(digits: str) -> Alteration:
    return said(lambda data: data.update({"user-data": digits}))


def shows_user_data(claims: SnpClaims) -> object:
    return claims.hcl is not None and claims.hcl.user_data == b"\xab" * 64


def rewritten(lab: SnpLab) -> None:
    """Runtime data with the same meaning and other bytes than the report vouches for."""
    cvm = lab.azure()
    data = cvm.runtime_data()
    report = lab.report_bytes(azure.report_data_of(data))
    spaced = json.dumps(data).encode()
    lab.piece(EvidenceKind.HCL_REPORT, azure.write(report, spaced))


def vouched(second_half: bytes) -> Alteration:
    """Other bytes behind the hash of the runtime data, signed by the firmware."""

    def make(lab: SnpLab) -> None:
        digest = hashlib.sha256(azure.json_text(lab.azure().runtime_data())).digest()
        lab.report(report_data=digest + second_half)

    return make


def by_another_key(which: str) -> Alteration:
    """The quote by the endorsement key, or by the attestation key of another VM."""

    def make(lab: SnpLab) -> None:
        tpm = lab.azure().tpm
        other = tpm.ek if which == "ek" else type(tpm).create("another").ak
        lab.azure(signer=other)

    return make


def quoted_numbers(*numbers: int) -> Callable[[SnpClaims], object]:
    def shown(claims: SnpClaims) -> bool:
        assert claims.tpm is not None
        return [claims.tpm.pcr(i) is not None for i in ALL] == [i in numbers for i in ALL]

    return shown


def replayed_elsewhere(lab: SnpLab) -> None:
    """The good values of PCRs 0 to 7 in the resettable PCR 16 and others, which alone are quoted."""
    tpm = lab.azure().tpm
    wanted = (16, 23)
    for good, free in enumerate(wanted):
        tpm.pcrs[free] = tpm.pcrs[good]
    lab.azure(selection=((SHA256, wanted),))


def swapped_values(pcrs: bytes) -> bytes:
    return pcrs[32:64] + pcrs[:32] + pcrs[64:]


def table(*entries: tuple[int, int], guid: Any = snp_report.VCEK) -> Alteration:  # noqa: ANN401 - a UUID
    """A certificate table with these (offset, length), where -1 stands for the right number."""

    def make(lab: SnpLab) -> None:
        leaf = lab.vek.der
        start = ENTRY_BYTES * (len(entries) + 1)
        numbers = (
            (start if offset < 0 else offset, len(leaf) if length < 0 else length)
            for offset, length in entries
        )
        head = b"".join(table_entry(guid, *each) for each in numbers)
        lab.certificates = head + bytes(ENTRY_BYTES) + leaf
        lab.offline = False

    return make


def given_table(change: Callable[[bytes], bytes]) -> Alteration:
    def make(lab: SnpLab) -> None:
        lab.certificates = change(lab.machine.certificate_table())
        lab.edit(vek=None)

    return make


def later(days: int) -> Alteration:
    return lambda lab: lab.later(days=days)


def judged_at(instant: datetime) -> Callable[[SnpClaims], object]:
    return lambda claims: claims.verified_at == instant


TPM_PIECES = (EvidenceKind.TPM_ATTEST, EvidenceKind.TPM_SIGNATURE, EvidenceKind.TPM_PCRS)


def ending(byte: bytes) -> Callable[[bytes], bytes]:
    """What fills up the index ends with this byte, not with zero."""
    return lambda hcl: hcl[:-1] + byte


BOUND = (
    Case(49, "the right 64 bytes", VERIFIED, lambda _: None, lambda c: c.bound),
    Case(49, "one bit of the last byte", UNBOUND, asked(RIGHT[:-1] + b"\x3e")),
    Case(49, "one bit of the first byte", UNBOUND, asked(b"\x01" + RIGHT[1:])),
    Case(49, "a prefix", UNBOUND, asked(RIGHT[:32])),
    Case(49, "a prefix with zeros behind it", UNBOUND, asked(RIGHT[:32] + bytes(32))),
    Case(49, "more than the report has", UNBOUND, asked(RIGHT + b"\0")),
    Case(49, "an empty binding is one", UNBOUND, asked(b"")),
    Case(
        49,
        "a digest padded with zeros is no binding of the digest",
        UNBOUND,
        both(asked(RIGHT[:32]), reported(report_data=RIGHT[:32] + bytes(32))),
    ),
    Case(
        49,
        "none asked for: the claims say so",
        VERIFIED,
        lambda lab: setattr(lab, "binding", None),
        lambda c: not c.bound,
    ),
    Case(
        49,
        "Azure's report_data is not compared with the binding",
        VERIFIED,
        on_azure(),
        lambda c: c.bound,
    ),
)

PARAVISOR = (
    Case(
        52,
        "the runtime data that the report names",
        VERIFIED,
        on_azure(),
        lambda c: c.provider is Provider.AZURE and c.hcl is not None and c.hcl.secure_boot is True,
    ),
    Case(52, "the same data written with spaces", SIGNATURE, rewritten),
    Case(
        52,
        "one member changed after the report was made",
        SIGNATURE,
        sent(
            EvidenceKind.HCL_REPORT,
            lambda right: right.replace(b'"secure-boot":true', b'"secure-boot":TRUE'),
        ),
    ),
    Case(52, "the last byte of the second half is not zero", SIGNATURE, vouched(bytes(31) + b"\1")),
    Case(52, "the second half repeats the first", SIGNATURE, vouched(b"\x11" * 32)),
    Case(
        52,
        "a report that vouches for nothing",
        SIGNATURE,
        both(on_azure(), reported(report_data=bytes(64))),
    ),
    *(
        Case(52, f"user data in {word} letters", VERIFIED, with_user_data(digits), shows_user_data)
        for word, digits in (("small", "ab" * 64), ("capital", "AB" * 64))
    ),
    Case(52, "real evidence of Azure", VERIFIED, lambda lab: lab.real("milan-v3-azure-hcl")),
)

QUOTES = (
    Case(53, "a good quote", VERIFIED, on_azure(), quoted_numbers(*ALL)),
    Case(53, "signed by the endorsement key", SIGNATURE, by_another_key("ek")),
    Case(53, "signed by another VM", SIGNATURE, by_another_key("other")),
    Case(
        53,
        "one bit of the quote",
        SIGNATURE,
        sent(EvidenceKind.TPM_ATTEST, lambda a: a[:-1] + bytes((a[-1] ^ 1,))),
    ),
    Case(
        53,
        "one bit of the signature",
        SIGNATURE,
        sent(EvidenceKind.TPM_SIGNATURE, lambda s: s[:-1] + bytes((s[-1] ^ 1,))),
    ),
    Case(53, "one bit of a PCR", SIGNATURE, sent(EvidenceKind.TPM_PCRS, lambda p: b"\0" + p[1:])),
    Case(53, "two PCRs swapped", SIGNATURE, sent(EvidenceKind.TPM_PCRS, swapped_values)),
    Case(53, "another PCR digest, signed", SIGNATURE, on_azure(pcr_digest=bytes(32))),
    Case(53, "no PCR digest, signed", SIGNATURE, on_azure(pcr_digest=b"")),
    Case(53, "another nonce", UNBOUND, on_azure(extra_data=bytes(32))),
    Case(
        53,
        "nine PCRs are named as the quote numbers them",
        VERIFIED,
        on_azure(selection=((SHA256, (0, 4, 7, 9, 11)),)),
        quoted_numbers(0, 4, 7, 9, 11),
    ),
    Case(
        53,
        "good values in resettable PCRs are not read as PCR 0 and 1",
        VERIFIED,
        replayed_elsewhere,
        quoted_numbers(16, 23),
    ),
    Case(
        53, "fewer values than selected", MALFORMED, sent(EvidenceKind.TPM_PCRS, lambda p: p[:-32])
    ),
    Case(
        53,
        "more values than selected",
        MALFORMED,
        sent(EvidenceKind.TPM_PCRS, lambda p: p + bytes(32)),
    ),
    Case(53, "a quote of no PCR names none", VERIFIED, on_azure(selection=()), quoted_numbers()),
    Case(
        53,
        "the SHA-1 bank",
        FORMAT,
        both(
            lambda lab: lab.azure().tpm.banks.update({SHA1: [bytes(20)] * 24}),
            on_azure(selection=((SHA1, ALL),)),
        ),
    ),
    Case(53, "not made by a TPM", MALFORMED, on_azure(magic=0xFF544348)),
    Case(53, "another attestation than a quote", FORMAT, on_azure(kind=0x8017)),
    Case(53, "TPMT_SIGNATURE", VERIFIED, sent(EvidenceKind.TPM_SIGNATURE, tpmt_signature)),
    Case(
        53,
        "TPMT_SIGNATURE of SHA-1",
        FORMAT,
        sent(EvidenceKind.TPM_SIGNATURE, lambda s: tpmt_signature(s, digest=SHA1)),
    ),
    Case(
        53,
        "TPMT_SIGNATURE that says SHA-384",
        SIGNATURE,
        sent(EvidenceKind.TPM_SIGNATURE, lambda s: tpmt_signature(s, digest=SHA384)),
    ),
    Case(53, "no attestation key", MALFORMED, said(lambda data: data["keys"].pop(0) and None)),
    Case(
        53,
        "two attestation keys",
        MALFORMED,
        said(lambda data: data["keys"].append(data["keys"][0])),
    ),
    Case(
        53,
        "no quote, though a binding is asked for",
        INCOMPLETE,
        both(*(sent(kind, None) for kind in TPM_PIECES)),
    ),
    Case(53, "no signature of the quote", Reason.EVIDENCE, sent(EvidenceKind.TPM_SIGNATURE, None)),
    Case(
        53,
        "a quote without any report",
        Reason.AK_NOT_BOUND,
        sent(EvidenceKind.HCL_REPORT, None),
    ),
    Case(54, "extraData of 31 bytes", UNBOUND, on_azure(extra_data=EXTRA[:31])),
    Case(54, "no extraData", UNBOUND, on_azure(extra_data=b"")),
    Case(54, "extraData with a zero behind it", UNBOUND, on_azure(extra_data=EXTRA + b"\0")),
    Case(
        54, "extraData padded to 64 bytes", MALFORMED, on_azure(extra_data=EXTRA.ljust(67, b"\0"))
    ),
    Case(54, "an empty expectation", UNBOUND, both(on_azure(), asked(RIGHT, b""))),
    Case(
        54, "the first 64 bytes, which is the report's binding", UNBOUND, on_azure(extra_data=RIGHT)
    ),
)

LENGTHS = (
    *(
        Case(55, f"HCL: {name} {value:#x}", MALFORMED, hcl(**{name: value}))
        for name, value in (
            ("report_size", 0),
            ("report_size", 0xFFFFFFFF),
            ("data_size", 0),
            ("data_size", 0xFFFFFFFF),
            ("variable_size", 0),
            ("variable_size", 0xFFFFFFFF),
        )
    ),
    *(
        Case(55, f"HCL: {name} {value:#x}", FORMAT, hcl(**{name: value}))
        for name, value in (
            ("hcl_version", 0),
            ("hcl_version", 3),
            ("report_type", 3),
            ("hash_type", 2),
            ("data_version", 2),
            ("request_type", 1),
        )
    ),
    Case(55, "HCL: a report of TDX without its quote", Reason.INCOMPLETE, hcl(report_type=4)),
    *(
        Case(
            55,
            f"HCL: {byte.decode()} behind it",
            MALFORMED,
            sent(EvidenceKind.HCL_REPORT, ending(byte)),
        )
        for byte in (b"0", b"X", b" ")
    ),
    Case(
        55,
        "HCL: a byte right behind it",
        MALFORMED,
        sent(EvidenceKind.HCL_REPORT, lambda r: r.rstrip(b"\0") + b"\1"),
    ),
    Case(55, "HCL: cut", MALFORMED, sent(EvidenceKind.HCL_REPORT, lambda r: r[:1216])),
    Case(55, "HCL: no bytes", MALFORMED, sent(EvidenceKind.HCL_REPORT, b"")),
    Case(55, "a table as hosts write it", VERIFIED, given_table(bytes)),
    Case(55, "a table: offset behind the end", MALFORMED, table((0xFFFFFFFF, -1))),
    Case(55, "a table: length behind the end", MALFORMED, table((-1, 0xFFFFFFFF))),
    Case(55, "a table: offset and length wrap around", MALFORMED, table((0xFFFFFFF0, 0x20))),
    Case(55, "a table: one byte too long", MALFORMED, table((-1, 64 * 1024))),
    Case(55, "a table: an entry of no bytes", CHAIN, table((-1, 0))),
    Case(55, "a table: the entry covers the table", CHAIN, table((0, 48))),
    Case(55, "a table without an end", MALFORMED, given_table(lambda t: t[: ENTRY_BYTES * 2])),
    Case(55, "a table cut in an entry", MALFORMED, given_table(lambda t: t[: ENTRY_BYTES + 20])),
    Case(
        55, "a table of zeros holds no certificate", INCOMPLETE, given_table(lambda _: bytes(4096))
    ),
)

CLOCK = (
    *(
        Case(
            60,
            f"judged {days} days later: the instant is on record",
            VERIFIED,
            later(days),
            judged_at(NOW + timedelta(days=days)),
        )
        for days in (0, 30)
    ),
    Case(59, "serial number 0, as every real leaf", VERIFIED, lambda lab: lab.vek.alter(serial=0)),
    Case(59, "another serial number", VERIFIED, lambda lab: lab.vek.alter(serial=1 << 64)),
    Case(59, "a negative serial number", CHAIN, lambda lab: lab.vek.alter(serial=-1)),
    Case(59, "a real leaf", VERIFIED, lambda lab: lab.real("genoa-v3-baremetal")),
)

CASES = (*BOUND, *PARAVISOR, *QUOTES, *LENGTHS, *CLOCK)
