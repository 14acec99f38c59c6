# SPDX-License-Identifier: Apache-2.0
"""Files of other tools, unpacked to the raw pieces that `verifiers.files.identify` tells apart.

Containers are JSON evidence (`ca.cli.evidence_json`) and the messages of go-tpm-tools (`ca.cli.gotpm`). All other files
stay as they are. What is in a container and beside it as well is one piece, and so is a part of a piece that stands in
a file of its own: a report beside the HCL report that holds it, or the report_data that was asked for. Collateral is
set apart. Text and JSON that hold no evidence are left out, and that is said; if nothing else is there, it is an error.
Nothing is believed more because of how it came. Pure.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ca.cli import evidence_json, gotpm
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.files import log_pieces
from verifiers.evidence import CPU_KINDS, EvidenceKind
from verifiers.nvidia.files import are_of_devices
from verifiers.snp.files import kind_of
from verifiers.snp.report import REPORT_BYTES
from verifiers.tdx.quote import names_tdx
from verifiers.vtpm.hcl import SIGNATURE as HCL_SIGNATURE
from verifiers.vtpm.public import read_attestation_key

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PIECES: Final = 256  # of all files together
_HEAD: Final = 4096
_HCL_HEADER: Final = 32  # bytes before the report in an HCL report
_REPORT_DATA_BYTES: Final = 64
_REPORT_DATA_V4, _REPORT_DATA_V5 = 568, 574  # offsets in a TDX quote
_REPORT_DATA_SNP: Final = 0x50
_PLAIN: Final = re.compile(r"[\t\n\r\x20-\x7e\xa0-\U0010ffff]*")
_PROSE: Final = re.compile(r"[A-Za-z]+[,.:;]? [A-Za-z]+")
_ARMOUR: Final = re.compile(r"\s*(?:-----BEGIN|[<\[])")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What files hold.

    Attributes:
        files: pieces, each as a file of its own, in the order given.
        each: the pieces of each file that was given, nothing for one that holds no evidence.
        bundles: JSON of collateral.
        notes: what was left out, in words for people.
    """

    files: tuple[bytes, ...]
    each: tuple[tuple[bytes, ...], ...]
    bundles: tuple[bytes, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Apart:
    """What stood among files beside evidence, as it is found."""

    bundles: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def unpack(files: Sequence[bytes]) -> Unpacked:
    """The pieces in files.

    Raises:
        VerificationError: `malformed`, `too-large`, `unsupported-format` for a container that cannot be read;
            `unsupported-format` where no file holds evidence.
    """
    apart = _Apart()
    each = [_unpack_one(data, apart) for data in files]
    pieces = [piece for found in each for piece in found]
    if len(pieces) > MAX_PIECES:
        raise VerificationError(
            Reason.TOO_LARGE, f"{len(pieces)} pieces of evidence, at most {MAX_PIECES}"
        )
    if files and not pieces:
        said = apart.notes or ["collateral alone: the evidence that it is for is missing"]
        raise VerificationError(Reason.UNSUPPORTED_FORMAT, "; ".join(said))
    kept = _without_bare_key(_once(files, each))
    return Unpacked(tuple(kept), tuple(map(tuple, each)), tuple(apart.bundles), tuple(apart.notes))


def _unpack_one(data: bytes, apart: _Apart) -> list[bytes]:
    if gotpm.is_attestation(data):
        pieces, notes = gotpm.pieces(data)
        apart.notes += notes
        return pieces
    if gotpm.is_text(data):
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT,
            "an attestation of go-tpm-tools as text: let gotpm write it with --format binarypb",
        )
    return [data] if log_pieces(data) else _unpack_text(data, apart)


def _unpack_text(data: bytes, apart: _Apart) -> list[bytes]:
    """JSON, and what is no evidence at all; any other file stays as it is."""
    of_devices = are_of_devices([data])
    document = None if of_devices and b'"kind"' not in data else evidence_json.read_object(data)
    if document is None:
        if of_devices or not _is_prose(data):
            return [data]
        apart.notes.append("a file of text holds no evidence, and is left out")
    elif (pieces := evidence_json.pieces(document)) is not None:
        return pieces
    elif of_devices:
        return [data]
    elif evidence_json.is_collateral(document):
        apart.bundles.append(data)
    else:
        members = ", ".join(ascii(name[:32]) for name in sorted(document)[:8])
        apart.notes.append(f"JSON of no form that is known here is left out (members: {members})")
    return []


def _once(files: Sequence[bytes], each: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The pieces without those of a container that stand elsewhere too, and what is a part of another piece.

    A file given twice stays twice: whoever names two machines' files is told.
    """
    held = {part for pieces in each for piece in pieces for part in _held(piece)}
    seen = {data for data, pieces in zip(files, each, strict=True) if data in pieces}
    kept: list[bytes] = []
    for data, pieces in zip(files, each, strict=True):
        for piece in pieces:
            if piece not in held and (piece is data or piece not in seen):
                kept.append(piece)
            seen.add(piece)
    return kept


def _held(piece: bytes) -> tuple[bytes, ...]:
    """Parts of a piece that tools write to files of their own: the report of an HCL report; report_data."""
    if piece.startswith(HCL_SIGNATURE):
        return (piece[_HCL_HEADER : _HCL_HEADER + REPORT_BYTES],)
    if names_tdx(piece):
        start = _REPORT_DATA_V5 if piece[:2] == b"\x05\0" else _REPORT_DATA_V4
        return (piece[start : start + _REPORT_DATA_BYTES],)
    if len(piece) == REPORT_BYTES and kind_of(piece) is EvidenceKind.SNP_REPORT:
        return (piece[_REPORT_DATA_SNP : _REPORT_DATA_SNP + _REPORT_DATA_BYTES],)
    return ()


def _without_bare_key(files: list[bytes]) -> list[bytes]:
    """Beside a CPU's evidence a key says nothing: what ties one to a platform is runtime data, or a certificate."""
    if not any(names_tdx(data) or kind_of(data) in CPU_KINDS for data in files):
        return files
    return [data for data in files if not _is_key(data)]


def _is_key(data: bytes) -> bool:
    try:
        read_attestation_key(data)
    except VerificationError:
        return False
    return True


def _is_prose(data: bytes) -> bool:
    """Whether a file is text for people: printable, of words, and in no armour that evidence comes in."""
    try:
        head = codecs.getincrementaldecoder("utf-8")().decode(data[:_HEAD])
    except UnicodeDecodeError:
        return False
    return bool(_PLAIN.fullmatch(head) and _PROSE.search(head) and not _ARMOUR.match(head))
