# SPDX-License-Identifier: Apache-2.0
"""`Device` of AttestationInfo: one device as a certificate lists it. The module stands in `ca.issuance.extension`.

The words of version 1 are closed lists, held here and not taken from a verifier: certificates outlive its versions. The
encoder looks at sizes, the decoder at words too. Whether devices, binding level and handles go together is judged
where all three are at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cryptography.hazmat import asn1

from attestca_client.protocol import HandleKind, handle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ca.issuance.request import Device

GPU = "gpu"
KINDS = frozenset({GPU, "switch"})
MODES = frozenset({"spt", "mpt", "ppcie"})
APPRAISERS = frozenset({"local", "nras", "both"})
_MAX_TEXT = 32


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """One device as the certificate lists it.

    Attributes:
        kind: "gpu" or "switch". model: of its certificate. report_sha256: 32 bytes.
        handle: its handle of kind "chip", 32 bytes; None where the policy withholds it.
        driver: of a GPU. vbios: of a switch its BIOS. mode: of a GPU that says it, "spt", "mpt" or "ppcie".
        appraised_by: "local", "nras" or "both".
    """

    kind: str
    model: str
    report_sha256: bytes
    handle: bytes | None
    driver: str | None
    vbios: str
    mode: str | None
    appraised_by: str


@asn1.sequence
class Encoded:
    """`Device` of the module. The sizes of its optional members are not the library's to check: see `_fits`."""

    kind: Annotated[str, asn1.Size(min=1, max=32)]
    model: Annotated[str, asn1.Size(min=1, max=64)]
    report_sha256: Annotated[bytes, asn1.Size(min=32, max=32)]
    handle: Annotated[bytes | None, asn1.Explicit(0)]
    driver: Annotated[str | None, asn1.Explicit(1)]
    vbios: Annotated[str, asn1.Size(min=1, max=32)]
    mode: Annotated[str | None, asn1.Explicit(2)]
    appraised_by: Annotated[str, asn1.Size(min=1, max=32)]


def of(device: Device) -> ListedDevice:
    """What the certificate says of a verified device."""
    return ListedDevice(
        kind=device.kind,
        model=device.model,
        report_sha256=device.evidence_sha256,
        handle=None if device.chip_id is None else handle(HandleKind.CHIP, device.chip_id),
        driver=device.driver,
        vbios=device.vbios,
        mode=device.mode,
        appraised_by=device.appraised_by,
    )


def encoded(device: ListedDevice) -> Encoded:
    """For the encoder. Raises ValueError for an optional member of another size than the module has."""
    if not _fits(device):
        raise ValueError("invalid size of a member of a device")
    return Encoded(
        kind=device.kind,
        model=device.model,
        report_sha256=device.report_sha256,
        handle=device.handle,
        driver=device.driver,
        vbios=device.vbios,
        mode=device.mode,
        appraised_by=device.appraised_by,
    )


def decoded(raw: Encoded) -> ListedDevice:
    """As the decoder found it; `is_device` says whether it is one."""
    return ListedDevice(
        kind=raw.kind,
        model=raw.model,
        report_sha256=raw.report_sha256,
        handle=raw.handle,
        driver=raw.driver,
        vbios=raw.vbios,
        mode=raw.mode,
        appraised_by=raw.appraised_by,
    )


def is_device(device: ListedDevice) -> bool:
    """Whether sizes and words are those of the module, and a switch says nothing that GPUs alone say."""
    gpu = device.kind == GPU
    return (
        _fits(device)
        and device.kind in KINDS
        and device.appraised_by in APPRAISERS
        and (device.driver is not None) is gpu
        and (device.mode is None or (gpu and device.mode in MODES))
    )


def chips(devices: Iterable[ListedDevice]) -> set[tuple[str, bytes]]:
    """The handles that devices name, as `handles` has them."""
    return {(HandleKind.CHIP.value, one.handle) for one in devices if one.handle is not None}


def _fits(device: ListedDevice) -> bool:
    """Sizes of the optional members."""
    texts = (text for text in (device.driver, device.mode) if text is not None)
    sized = device.handle is None or len(device.handle) == 32
    return sized and all(1 <= len(text) <= _MAX_TEXT for text in texts)
