# SPDX-License-Identifier: Apache-2.0
"""Evidence as go-tpm-tools writes it (`gotpm attest`, binary): the message attest.Attestation -> the pieces in it.

Source: google/go-tpm-tools proto/attest.proto and proto/tpm.proto. One quote is taken of those over several banks: that
of SHA-256, the bank that policies speak of, else of the strongest; SHA-1 is never. Which bank and which PCRs a quote is
over, its own signed selection says, not the message. Nothing is believed: what comes out is judged as files are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ca.cli import protobuf, rebuilt
from ca.cli.protobuf import malformed
from verifiers.errors import Reason, VerificationError
from verifiers.vtpm.attest import TPM_GENERATED, TpmsAttest, parse_attest
from verifiers.vtpm.claims import PcrBank

if TYPE_CHECKING:
    from ca.cli.protobuf import Message

_NAME: Final = "attest.Attestation"
_MARK: Final = re.compile(rb"[\n\x12]")  # field 1 or 2, bytes
_NEAR: Final = 1024  # the first quote stands behind the key
_TEXT: Final = re.compile(rb"\s*(?:ak_pub|quotes)\s*[:{]")
_MAX_QUOTES: Final = 16
_MAX_CERTIFICATES: Final = 8
_MAX_PCRS: Final = 24
_PREFERRED: Final = (PcrBank.SHA256, PcrBank.SHA512, PcrBank.SHA384)


def is_attestation(data: bytes) -> bool:
    """Whether a file is meant as such a message."""
    return bool(_MARK.match(data) and TPM_GENERATED in data[:_NEAR])


def is_text(data: bytes) -> bool:
    """Whether it is the text form of one, which is not read."""
    return bool(_TEXT.match(data))


def pieces(data: bytes) -> tuple[list[bytes], list[str]]:
    """The pieces of a message, and what of it is left out, in words.

    Raises:
        VerificationError: `malformed`, `too-large`; `unsupported-format` for a message without a quote over a bank
            that is believed.
    """
    message = protobuf.parse(data, _NAME)
    found, notes = _quote(message)
    found += filter(None, (message.data(3), message.data(5)))  # event logs
    of_cpu = _snp(message) if message.has(8) else _tdx(message) if message.has(9) else []
    key = [message.data(1), message.data(6), *message.repeated(7, _MAX_CERTIFICATES)]
    return [*of_cpu, *found, *filter(None, key)], notes


def _quote(message: Message) -> tuple[list[bytes], list[str]]:
    """TPMS_ATTEST, signature and values of the one quote, and a note of those that are left out."""
    quotes: dict[PcrBank, tuple[TpmsAttest, Message]] = {}
    others: list[str] = []
    for raw in message.repeated(2, _MAX_QUOTES):
        quote = protobuf.parse(raw, "tpm.Quote")
        try:
            attest = parse_attest(quote.data(1))
        except VerificationError as error:
            if error.reason is not Reason.UNSUPPORTED_FORMAT:
                raise
            others.append(error.detail)
            continue
        bank = _bank(attest)
        if bank in quotes:
            raise malformed(f"{_NAME}: two quotes over {bank}")
        quotes[bank] = (attest, quote)
    taken = next((bank for bank in _PREFERRED if bank in quotes), None)
    if taken is None:
        said = "; ".join(others) or "it has none"
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"{_NAME}: no quote over a bank that is believed: {said}"
        )
    others = [f"that over {bank}" for bank in quotes if bank is not taken] + others
    notes = [f"{_NAME}: the quote over {taken} is taken, not {', nor '.join(others)}"]
    attest, quote = quotes[taken]
    return [attest.raw, quote.data(2), _values(attest, quote)], notes if others else []


def _bank(attest: TpmsAttest) -> PcrBank:
    banks = {bank for bank, _ in attest.selection}
    if len(banks) != 1:
        raise malformed(f"{_NAME}: a quote over {len(banks)} banks")
    return banks.pop()


def _values(attest: TpmsAttest, quote: Message) -> bytes:
    """The values of tpm.PCRs, in the order of the quote's selection."""
    values: dict[int, bytes] = {}
    for raw in quote.message(3, "tpm.PCRs").repeated(2, _MAX_PCRS):
        entry = protobuf.parse(raw, "tpm.PCRs.pcrs")
        number = int.from_bytes(entry.number(1, 4), "little")
        if number in values:
            raise malformed(f"tpm.PCRs: PCR {number} stands twice")
        values[number] = entry.data(2)
    if values.keys() != {number for _, number in attest.selection}:
        raise malformed("tpm.PCRs: other PCRs than the quote is over")
    return b"".join(values[number] for _, number in attest.selection)


def _snp(message: Message) -> list[bytes]:
    """The report of a sevsnp.Attestation, and its certificates: VCEK, VLEK, ASK, ARK."""
    attestation = message.message(8, "sevsnp.Attestation")
    chain = attestation.message(2, "sevsnp.CertificateChain")
    certificates = [chain.data(field) for field in (1, 6, 2, 3)]
    report = rebuilt.snp_report(attestation.message(1, "sevsnp.Report"))
    return [report, *filter(None, certificates)]


def _tdx(message: Message) -> list[bytes]:
    return [rebuilt.tdx_quote(message.message(9, "tdx.QuoteV4"))]
