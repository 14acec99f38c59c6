# SPDX-License-Identifier: Apache-2.0
"""What files of NVIDIA devices are, by their content; nothing is believed for it, every reader looks again.

Known are: a report; a chain in PEM; JSON of several devices, as NVIDIA's tools and its attestation service write it; a
reference manifest, as XML or in the JSON of the RIM service. OCSP answers are told by the caller. Any other technology
has a reader of its own: whether files are meant for this one is what `are_of_devices` says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from verifiers.chain import split_pem
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.evidence import NvidiaEvidence, parse_evidence_json

if TYPE_CHECKING:
    from collections.abc import Sequence

# A bare signature, as some evidence of CPUs has in a file of its own, may begin with anything: what a file is known by
# is long enough that none begins so by chance.
_GET_MEASUREMENTS: Final = bytes.fromhex("11e001ff")  # SPDM 1.1, all measurements, signed
_PEM: Final = b"-----BEGIN CERTIFICATE-----"
_XML: Final = re.compile(rb"\s*<[?!A-Za-z][\t\n\r -~]{14}")
_JSON: Final = re.compile(rb"\s*[\[{]")
_DEVICES: Final = (b'"evidence"', b'"evidence_list"')
_RIM: Final = b'"rim"'
_VENDOR: Final = b"NVIDIA"  # in the names of its certificates


class _Kind(Enum):
    """What a file is meant as."""

    REPORT = auto()
    CHAIN = auto()
    DEVICES = auto()
    RIM = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class DeviceFiles:
    """What files hold.

    Attributes:
        evidence: the devices of JSON files first, then reports with their chains.
        rims: manifests as received.
    """

    evidence: tuple[NvidiaEvidence, ...]
    rims: tuple[bytes, ...]


def are_of_devices(files: Sequence[bytes]) -> bool:
    """Whether any of these is something of NVIDIA's. A chain is if its certificates name the vendor."""
    kinds = [(_kind_of(data), data) for data in files]
    return any(
        kind is not _Kind.UNKNOWN and (kind is not _Kind.CHAIN or _names_nvidia(data))
        for kind, data in kinds
    )


def is_manifest(data: bytes) -> bool:
    """Whether a file is meant as a reference manifest."""
    return _kind_of(data) is _Kind.RIM


def read_files(files: Sequence[bytes]) -> DeviceFiles:
    """The devices and manifests in files of which one at least is of NVIDIA's.

    The first report goes with the first chain, and so on. Where there are more chains than reports, what is nothing
    else is meant as the reports that are missing, however damaged.

    Raises:
        VerificationError: `evidence` for files that are nothing of NVIDIA's, and for reports and chains that differ in
            number; what `parse_evidence_json` and `NvidiaEvidence` raise.
    """
    found: dict[_Kind, list[bytes]] = {kind: [] for kind in _Kind}
    for data in files:
        found[_kind_of(data)].append(data)
    reports, chains, unknown = found[_Kind.REPORT], found[_Kind.CHAIN], found[_Kind.UNKNOWN]
    if len(reports) + len(unknown) == len(chains):
        reports, unknown = _with_damaged(files), []
    if unknown:
        raise VerificationError(
            Reason.EVIDENCE,
            f"{len(unknown)} of the files hold nothing of NVIDIA's, nor say that they are a CPU's evidence",
        )
    if len(reports) != len(chains):
        raise VerificationError(
            Reason.EVIDENCE,
            f"every report has one certificate chain: got {len(reports)} and {len(chains)}",
        )
    listed = [device for text in found[_Kind.DEVICES] for device in parse_evidence_json(text)]
    pairs = [NvidiaEvidence(*pair) for pair in zip(reports, chains, strict=True)]
    return DeviceFiles((*listed, *pairs), tuple(found[_Kind.RIM]))


def _with_damaged(files: Sequence[bytes]) -> list[bytes]:
    """Reports, and what must be one, in the order of the files."""
    return [data for data in files if _kind_of(data) in {_Kind.REPORT, _Kind.UNKNOWN}]


def _kind_of(data: bytes) -> _Kind:
    if data.startswith(_GET_MEASUREMENTS):
        return _Kind.REPORT
    if data.lstrip().startswith(_PEM):
        return _Kind.CHAIN
    if _XML.match(data):
        return _Kind.RIM
    if _JSON.match(data):
        if any(name in data for name in _DEVICES):
            return _Kind.DEVICES
        if _RIM in data:
            return _Kind.RIM
    return _Kind.UNKNOWN


def _names_nvidia(chain: bytes) -> bool:
    try:
        return any(_VENDOR in der for der in split_pem(chain, None, "chain"))
    except VerificationError:
        return False
