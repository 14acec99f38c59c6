# SPDX-License-Identifier: Apache-2.0
"""Messages of go-tpm-tools give the pieces in them, and reports of CPUs byte for byte as they were signed."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.cli import foreign, gotpm, inspect, protobuf, rebuilt
from tests import proto_lab, tdx_vectors, vtpm_vectors
from tests.fuzz.test_verifier_parsers import mutated
from tests.proto_lab import message, varint
from tests.snp_lab import SnpLab
from tests.tdx_lab import Lab
from tests.tpm_lab import Quote, rsa_area, rsa_key, rsassa
from tests.unit.ca.cli import snp_cases
from verifiers import registry
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.evidence import LOG_KINDS
from verifiers.files import identify
from verifiers.google import GoogleCvm
from verifiers.snp.evidence import SnpEvidence
from verifiers.vtpm.claims import PcrBank

KEY: Final = rsa_key()
AREA: Final = rsa_area(KEY.public_key())
LOG, CEL = b"\0a log", b"\0another"
SHA1, SHA256, SHA384, SHA512 = 0x0004, 0x000B, 0x000C, 0x000D
BANKS: Final = {SHA256: PcrBank.SHA256, SHA384: PcrBank.SHA384, SHA512: PcrBank.SHA512}


def made(bank: int = SHA256) -> Quote:
    return Quote(banks=((BANKS[bank], (0, 4, 7)),))


def values(quote: Quote) -> list[tuple[int, bytes]]:
    ((_, numbers),) = quote.banks
    size = len(quote.pcrs) // len(numbers)
    return [(number, quote.pcrs[at * size : (at + 1) * size]) for at, number in enumerate(numbers)]


def encoded(bank: int = SHA256) -> bytes:
    quote = made(bank)
    return proto_lab.quote(quote.attest, rsassa(KEY, quote.attest), values(quote)[::-1], bank)


def of_sha1() -> bytes:
    quote = made().but(selected=bytes.fromhex("00000001000403910000"))
    return proto_lab.quote(quote.attest, rsassa(KEY, quote.attest), values(quote), SHA1)


QUOTE: Final = made()
PARTS: Final = [QUOTE.attest, rsassa(KEY, QUOTE.attest), QUOTE.pcrs]
WHOLE: Final = message((1, AREA), (2, of_sha1()), (2, encoded()), (3, LOG), (4, b""), (5, CEL))


def fault(data: bytes) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        foreign.unpack([data])
    return caught.value


def test_what_is_in_a_message() -> None:
    found = foreign.unpack([WHOLE])
    assert list(found.files) == [*PARTS, LOG, CEL, AREA]
    (note,) = found.notes
    assert "the quote over sha256 is taken, not PCR bank: hash algorithm 0x0004" in note
    assert foreign.unpack([message((2, encoded()))]).notes == ()


def test_certificates_of_the_key_come_leaf_first() -> None:
    data = message((2, encoded()), (6, b"leaf"), (7, b"authority"), (7, b"root"))
    assert foreign.unpack([data]).files[-3:] == (b"leaf", b"authority", b"root")


@pytest.mark.parametrize(
    ("banks", "taken"),
    [((SHA384, SHA256), SHA256), ((SHA384, SHA512), SHA512), ((SHA384,), SHA384)],
)
def test_of_several_banks_one_is_taken(banks: tuple[int, ...], taken: int) -> None:
    found = foreign.unpack([message((1, AREA), *((2, encoded(bank)) for bank in banks))])
    assert found.files[0] == made(taken).attest
    assert found.files[2] == made(taken).pcrs
    assert len(found.notes) == (len(banks) > 1)


def test_what_stands_beside_the_message_too_is_one_piece() -> None:
    beside = [LOG, AREA]
    for files in ([WHOLE, *beside], [*beside, WHOLE], [WHOLE, WHOLE]):
        found = foreign.unpack(files)
        assert sorted(found.files) == sorted([*PARTS, LOG, CEL, AREA])


TWO_BANKS = Quote(banks=((PcrBank.SHA256, (0,)), (PcrBank.SHA384, (0,))))
REFUSED = {
    "no quote": (message((1, AREA + b"\xffTCG")), Reason.UNSUPPORTED_FORMAT),
    "SHA-1 alone": (message((1, AREA), (2, of_sha1())), Reason.UNSUPPORTED_FORMAT),
    "two of a bank": (message((2, encoded()), (2, encoded())), Reason.MALFORMED),
    "a quote over two banks": (
        message((2, proto_lab.quote(TWO_BANKS.attest, b"s", [], SHA256))),
        Reason.MALFORMED,
    ),
    "a quote cut short": (
        message((2, proto_lab.quote(QUOTE.attest[:-1], b"s", [], SHA256))),
        Reason.MALFORMED,
    ),
    "a PCR too few": (
        message((2, proto_lab.quote(QUOTE.attest, b"s", values(QUOTE)[:-1], SHA256))),
        Reason.MALFORMED,
    ),
    "a PCR twice": (
        message((2, proto_lab.quote(QUOTE.attest, b"s", values(QUOTE) * 2, SHA256))),
        Reason.MALFORMED,
    ),
    "too many quotes": (message((2, encoded()), *[(2, of_sha1())] * 16), Reason.MALFORMED),
    "too many certificates": (message((2, encoded()), *[(7, b"above")] * 9), Reason.MALFORMED),
    "the log twice": (message((2, encoded()), (3, LOG), (3, CEL)), Reason.MALFORMED),
    "a number for a log": (message((2, encoded()), (3, 7)), Reason.MALFORMED),
    "a number for a quote": (message((2, encoded()), (2, 7)), Reason.MALFORMED),
    "cut short": (WHOLE[:-1], Reason.MALFORMED),
    "a field without a number": (WHOLE + b"\x02\x00", Reason.MALFORMED),
    "a group": (WHOLE + b"\x53", Reason.MALFORMED),
    "a number without end": (WHOLE + varint(10 << 3) + b"\xff" * 10, Reason.MALFORMED),
    "a number of eleven bytes": (
        WHOLE + varint(10 << 3) + b"\x80" * 10 + b"\x50\x01",
        Reason.MALFORMED,
    ),
    "a number of 65 bits": (WHOLE + varint(10 << 3) + varint(1 << 64), Reason.MALFORMED),
    "too many fields": (WHOLE + b"\x50\x01" * 1024, Reason.TOO_LARGE),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    data, reason = REFUSED[name]
    assert gotpm.is_attestation(data)
    assert fault(data).reason is reason


def test_fields_of_later_versions_are_skipped() -> None:
    later = b"\x50\x01" + b"\x59" + bytes(8) + b"\x65" + bytes(4) + message((13, b"more"))
    assert foreign.unpack([WHOLE + later]) == foreign.unpack([WHOLE])


def test_as_many_quotes_and_certificates_as_there_may_be() -> None:
    data = message((2, encoded()), *[(2, of_sha1())] * 15, *[(7, b"above")] * 8)
    assert foreign.unpack([data]).files[-1] == b"above"


def test_as_many_fields_as_there_may_be() -> None:
    most = b"\x50\x01" * protobuf.MAX_FIELDS
    assert len(protobuf.parse(most, "any").fields[10]) == protobuf.MAX_FIELDS


def test_the_text_form_is_told_from_others() -> None:
    error = fault(b'ak_pub: "\\000\\001"\nquotes: {\n')
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert "binarypb" in error.detail


# reports of CPUs


@pytest.mark.parametrize("name", snp_cases.names())
def test_a_real_report_comes_out_as_it_was_signed(name: str) -> None:
    case = snp_cases.load(name)
    report = case.report.read_bytes()
    vek, chain = (path.read_bytes() for path in case.certificates)
    field = 6 if case.certificates[0].name == "vlek.der" else 1
    data = message(
        (1, AREA), (2, encoded()), (8, proto_lab.snp_attestation(report, (field, vek), (2, chain)))
    )
    found = foreign.unpack([data, report])
    assert list(found.files) == [*PARTS, report] or set(found.files) >= {report, vek, chain}
    assert found.files.count(report) == 1
    assert AREA not in found.files  # a bare key says nothing beside it
    rebuilt_report = foreign.unpack([data]).files[0]
    now = datetime.fromisoformat(case.expected["at"])
    judged = inspect.verify_bytes([rebuilt_report, vek], None, now)
    wanted = inspect.verify_bytes([report, vek], None, now)
    assert (judged.verdict, judged.claims) == (wanted.verdict, wanted.claims)
    if case.expect["verdict"] == "verified":
        assert judged.verdict is Verdict.VERIFIED


def test_a_confidential_vm_of_google_with_its_tpm() -> None:
    """CPU, TPM and the certificate of its key from one message, as an attester's evidence."""
    report = snp_cases.load("milan-v3-google").report.read_bytes()
    vtpm_vectors.load_gce()
    shielded = (tdx_vectors.ROOT / "vtpm" / vtpm_vectors.GCE / "attestation.pb").read_bytes()
    data = shielded + message((8, proto_lab.snp_attestation(report)))
    parsed = registry.parse(
        [
            one
            for one in identify(foreign.unpack([data]).files).evidence
            if one.kind not in LOG_KINDS
        ]
    )
    assert isinstance(parsed, GoogleCvm)
    assert isinstance(parsed.cpu, SnpEvidence)
    assert parsed.cpu.report.raw == report
    (certificate,) = protobuf.parse(shielded, "attest").repeated(6, 1)
    assert parsed.ak_certificate == certificate
    assert parsed.tpm.attest.extra_data == bytes.fromhex("9009")


@pytest.mark.parametrize("name", tdx_vectors.names("tdx4-"))
def test_a_real_quote_comes_out_as_it_was_signed(name: str) -> None:
    vector = tdx_vectors.load(name)
    data = message((1, AREA), (2, encoded()), (9, proto_lab.tdx_quote(vector.quote)))
    assert foreign.unpack([data]).files == (vector.quote, *PARTS)


SNP: Final = SnpLab.create().report_bytes()
TD: Final = Lab.create().exhibit().quote


def test_a_changed_field_is_no_longer_what_was_signed() -> None:
    case = snp_cases.load("milan-v3-google")
    report = bytearray(case.report.read_bytes())
    report[0x90] ^= 1  # the measurement
    message_ = protobuf.parse(proto_lab.snp_report(bytes(report)), "report")
    changed = rebuilt.snp_report(message_)
    now = datetime.fromisoformat(case.expected["at"])
    vek = case.certificates[0].read_bytes()
    assert inspect.verify_bytes([changed, vek], None, now).reason is Reason.SIGNATURE


def of_cpu(field: int, body: bytes) -> bytes:
    return message((2, encoded()), (field, body))


ALL_BYTES: Final = [(number, bytes(size)) for _, number, size in rebuilt._BYTES]
NO_REPORTS = {
    "cut short": proto_lab.snp_report(SNP)[:-1],
    "a field of another length": message((1, 2), *((n, v) for n, v in ALL_BYTES[1:]), (4, b"x")),
    "bytes twice": proto_lab.snp_report(SNP) + message((4, bytes(16))),
    "a number twice": message((1, 2), (21, 1), (21, 1), *ALL_BYTES),
    "bytes for a number": message((1, b"2"), *ALL_BYTES),
    "a build of two bytes": message((1, 2), (21, 256), *ALL_BYTES),
    "a family of two bytes": message((1, 3), (29, 0x0FF00F00), *ALL_BYTES),
    "nothing": b"",
}


@pytest.mark.parametrize("name", NO_REPORTS)
def test_reports_that_are_none(name: str) -> None:
    assert fault(of_cpu(8, message((1, NO_REPORTS[name]), (2, b"")) or b"\x18\x01")).reason is (
        Reason.MALFORMED
    )


@pytest.mark.parametrize(
    "family", [(0x19, 0x11, 1), (0x1A, 0x02, 0), (0x0F, 0x00, 15), (0x6, 0x5, 4)]
)
def test_a_family_is_put_together(family: tuple[int, int, int]) -> None:
    base = family[0] << 8 | family[1] << 4 | family[2]
    number = proto_lab.eax(*family) if family[0] >= 0xF else base
    assert rebuilt._cpu(number) == bytes(family)


def test_quotes_that_are_none() -> None:
    body = proto_lab.tdx_quote(TD)
    header, quote_body = protobuf.parse(body, "").data(1), protobuf.parse(body, "").data(2)
    signed, size = protobuf.parse(body, "").data(4), len(TD) - 636
    at = quote_body.index(varint(11 << 3 | 2) + varint(48))
    shifted = message((11, TD[376:423]), (11, TD[423:472]))  # as many bytes in all
    uneven = quote_body[:at] + shifted + quote_body[at + 100 :]
    for changed in (
        message((1, header), (2, uneven), (3, size), (4, signed)),
        message((1, header), (2, quote_body), (3, 5), (4, signed)),
        message((1, header), (2, quote_body + message((11, bytes(48)))), (3, size), (4, signed)),
        message((1, header), (2, message((1, bytes(16)))), (3, size), (4, signed)),
        message((1, header + message((6, bytes(16)))), (2, quote_body)),
        b"",
    ):
        assert fault(of_cpu(9, changed) if changed else of_cpu(9, b"\x08\x00")).reason is (
            Reason.MALFORMED
        )


@settings(max_examples=300, deadline=None)
@given(
    mutated(WHOLE)
    | mutated(of_cpu(8, proto_lab.snp_attestation(SNP, (1, b"vcek"))))
    | mutated(of_cpu(9, proto_lab.tdx_quote(TD)))
    | st.binary(max_size=200).map(lambda data: b"\n\xffTCG" + data)
)
def test_whatever_comes(data: bytes) -> None:
    with suppress(VerificationError):
        found = foreign.unpack([data])
        assert sum(map(len, found.files)) <= len(data) + len(SNP)  # zeros of the report's reserved


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1) | st.binary())))
def test_the_reader_gives_what_was_written(fields: list[tuple[int, int | bytes]]) -> None:
    written = b"".join(
        varint(number << 3) + varint(value)
        if isinstance(value, int)
        else varint(number << 3 | 2) + varint(len(value)) + value
        for number, value in fields
    )
    found = protobuf.parse(written, "any").fields
    assert [(number, value) for number, all_ in found.items() for value in all_] == sorted(
        fields, key=lambda one: list(found).index(one[0])
    )
