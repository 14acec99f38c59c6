# SPDX-License-Identifier: Apache-2.0
"""Evidence as JSON of other tools: one document -> the pieces in it, as they would stand in files of their own.

Known are, by their members (all others are skipped):
  - Azure's vTPM tooling and Confidential Containers for it: `tpm_quote` or `quote` {`message`, `signature`, `pcrs`},
    `hcl_report` or `report`, `vcek`, `td_quote`, `ak_public`;
  - Confidential Containers for a TPM: `quote` {bank: {`attest_body`, `attest_sig`, `pcrs`}}, `ak_pubkey`, `eventlog`;
  - Confidential Containers for TDX: `quote` (text), `cc_eventlog`;
  - what a client sends to an authority of ours: `evidence` [{`kind`, `data`}].
Bytes are a list of numbers, hexadecimal, base64 or base64url, padded or not; certificates and keys may be PEM. A text
that could be hexadecimal is: base64 of 32 bytes or more never has those digits alone, but by an attacker's choice, who
may as well write other bytes.

Rules: no member stands twice; nesting of at most 8; everything is bounded before it is decoded. Nothing is believed,
and no member says what a piece is: what comes out is told apart and judged as files are.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

from verifiers import jsontext
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_LOG_BYTES, EvidenceKind
from verifiers.nvidia.evidence import parse_piece

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from verifiers.jsontext import Json

MAX_BYTES: Final = 2 * MAX_LOG_BYTES + 1024 * 1024  # base64 of logs, and all else
_DEPTH: Final = 8
_MAX_PIECES: Final = 64
_MAX_PCRS: Final = 3 * 24
_OBJECT: Final = re.compile(rb"\s*\{\s*[\"}]")
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # characters that JSON cannot have
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}|[A-Za-z0-9_-]+={0,2}")
_PEM: Final = "-----BEGIN "
_BANKS: Final = (
    "SHA256",
    "SHA512",
    "SHA384",
)  # as TPM evidence names them; the first is what policies speak of
_COLLATERAL: Final = frozenset(
    {"tcb_info", "qe_identity", "root_ca_crl", "pck_crl", "vek", "crl", "google_root_crl"}
)
# (names of one member, of which at most one is there)
_PARTS: Final = (
    ("hcl_report", "report"),
    ("td_quote",),
    ("vcek",),
    ("ak_public", "ak_pubkey"),
    ("cc_eventlog", "eventlog"),
)


def read_object(data: bytes) -> dict[str, Json] | None:
    """The object that a file is; None if it begins as none, or is no text: a raw signature may begin with any byte.

    Raises:
        VerificationError: `too-large`, `malformed`.
    """
    if not _OBJECT.match(data) or _NO_TEXT.search(data, 0, MAX_BYTES + 1):
        return None
    if len(data) > MAX_BYTES:
        raise VerificationError(Reason.TOO_LARGE, f"JSON: {len(data)} bytes, at most {MAX_BYTES}")
    try:
        jsontext.check_depth(data, _DEPTH)
        return jsontext.parse(data)
    except ValueError as error:
        raise _odd(str(error)) from error


def is_collateral(document: Mapping[str, Json]) -> bool:
    """Whether it is a bundle of collateral, as `attestca collateral` prints it."""
    return not _COLLATERAL.isdisjoint(document)


def pieces(document: Mapping[str, Json]) -> list[bytes] | None:
    """The pieces in a document; None if it is none of those above.

    Raises:
        VerificationError: `malformed`, `too-large`; `unsupported-format` for pieces of a kind that is not known, and
            for TPM evidence over no bank that is believed.
    """
    if _is_request(document):
        return _of_request(document["evidence"])
    known = {name for names in _PARTS for name in names} | {"tpm_quote", "quote"}
    if known.isdisjoint(document):
        return None
    found = [
        decoded(document[name], name) for names in _PARTS for name in _at_most_one(document, names)
    ]
    for name in _at_most_one(document, ("tpm_quote", "quote")):
        found += _quote(document[name], name)
    return found


def decoded(value: Json, name: str) -> bytes:
    """The bytes that a member is. Raises VerificationError (`malformed`)."""
    if isinstance(value, list):
        return _numbers(value, name)
    if not isinstance(value, str) or not value or not value.isascii():
        raise _odd(f"{name}: bytes are wanted, as text or a list of numbers")
    if value.startswith(_PEM):
        return value.encode()
    if _HEX.fullmatch(value):
        return bytes.fromhex(value)
    if not _BASE64.fullmatch(value):
        raise _odd(f"{name}: neither hexadecimal nor base64")
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    padded = text + "=" * (-len(text) % 4)
    try:
        data = base64.b64decode(padded, validate=True)
    except ValueError as error:
        raise _odd(f"{name}: not base64") from error
    if base64.b64encode(data).decode() != padded or value not in _written(value, text, padded):
        raise _odd(f"{name}: not base64 in its one form")
    return data


def _written(value: str, text: str, padded: str) -> tuple[str, str]:
    """How base64 may stand there, with its padding or without, in the alphabet that it is in."""
    if "-" in value or "_" in value:
        text, padded = (one.replace("+", "-").replace("/", "_") for one in (text, padded))
    return text, padded


def _numbers(values: Sequence[Json], name: str) -> bytes:
    found = [value for value in values if type(value) is int and 0 <= value <= 0xFF]
    if len(found) != len(values) or not found:
        raise _odd(f"{name}: a list of something else than bytes")
    return bytes(found)


def _quote(value: Json, name: str) -> list[bytes]:
    """A TD's quote as text, or the parts of a TPM's: TPMS_ATTEST, signature, values in one."""
    if not isinstance(value, dict):
        return [decoded(value, name)]
    if "message" in value:
        return _tpm_quote(value, name, ("message", "signature"))
    banks = {bank.upper().replace("-", ""): quote for bank, quote in value.items()}
    taken = next((bank for bank in _BANKS if bank in banks), None)
    if taken is None:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"JSON evidence: {name}: no quote over {', '.join(_BANKS)}"
        )
    quote = banks[taken]
    if not isinstance(quote, dict):
        raise _odd(f"{name}: the quote over {taken} is no object")
    return _tpm_quote(quote, f"{name}.{taken}", ("attest_body", "attest_sig"))


def _tpm_quote(quote: Mapping[str, Json], name: str, members: tuple[str, str]) -> list[bytes]:
    pcrs = quote.get("pcrs")
    if not isinstance(pcrs, list) or not 0 < len(pcrs) <= _MAX_PCRS:
        raise _odd(f"{name}.pcrs: 1 to {_MAX_PCRS} values are wanted")
    values = [decoded(value, f"{name}.pcrs[{place}]") for place, value in enumerate(pcrs)]
    return [
        *(decoded(quote.get(member), f"{name}.{member}") for member in members),
        b"".join(values),
    ]


def _at_most_one(document: Mapping[str, Json], names: Sequence[str]) -> list[str]:
    """Which of these names of one member is there, and is not null."""
    found = [name for name in names if document.get(name) is not None]
    if len(found) > 1:
        raise _odd(f"{' and '.join(found)} are names of the same")
    return found


def _is_request(document: Mapping[str, Json]) -> bool:
    listed = document.get("evidence")
    return isinstance(listed, list) and any(
        isinstance(one, dict) and "kind" in one for one in listed
    )


def _of_request(listed: Json) -> list[bytes]:
    if not isinstance(listed, list) or len(listed) > _MAX_PIECES:
        raise _odd(f"evidence: at most {_MAX_PIECES} pieces")
    return [part for place, one in enumerate(listed) for part in _piece(one, f"evidence[{place}]")]


def _piece(value: Json, name: str) -> tuple[bytes, ...]:
    """One piece as a file, or two of a device."""
    if not isinstance(value, dict):
        raise _odd(f"{name}: no object")
    try:
        kind = EvidenceKind(str(value.get("kind")))
    except ValueError as error:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"JSON evidence: {name}: its kind is not known"
        ) from error
    data = decoded(value.get("data"), f"{name}.data")
    if kind is not EvidenceKind.NVIDIA_DEVICE:
        return (data,)
    device = parse_piece(data)
    return (device.report, device.chain_pem)


def _odd(detail: str) -> VerificationError:
    return VerificationError(Reason.MALFORMED, f"JSON evidence: {detail}")
