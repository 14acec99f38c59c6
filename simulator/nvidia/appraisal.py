# SPDX-License-Identifier: Apache-2.0
"""What the fake attestation service finds out about one device, by simple means: it made the device itself.

A fault that the real service answers with an error code is a `RefusedError`; everything else becomes claims. Codes and
messages are those of NVIDIA's service. Evidence of devices that this vendor has not made is of an invalid chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.x509 import ocsp
from lxml import etree

from simulator.nvidia import products
from simulator.nvidia.rims import SWID, document

if TYPE_CHECKING:
    from cryptography import x509

    from simulator.nvidia.certificates import Party
    from simulator.nvidia.hardware import NvidiaDevice
    from simulator.nvidia.rims import Manifest
    from simulator.nvidia.vendor import FakeNvidia

NONCE_NOT_MATCHING = (4010, "NONCE_NOT_MATCHING")
INVALID_CERTIFICATE_CHAIN = (4007, "INVALID_CERTIFICATE_CHAIN")
INVALID_EVIDENCE_SIGNATURE = (4013, "INVALID_EVIDENCE_SIGNATURE")

_NONCE = slice(4, 36)
_COUNT_AT = 41  # number of blocks, behind the request (37 bytes) and the header of the answer
_BLOCK_BYTES = 7 + 48
_SIGNATURE_BYTES = 96
_HASH = "{http://www.w3.org/2001/04/xmlenc#sha384}Hash"


class RefusedError(Exception):
    """The service does not appraise this device."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.details = {"code": code, "message": message, "description": message.replace("_", " ")}


@dataclass(frozen=True, slots=True)
class CertificateChain:
    """What a token says of a chain: the first end of a validity, and the worst status."""

    expires: str
    status: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Rim:
    """One manifest that the device needs; `chain` None where the service has none of this name."""

    chain: CertificateChain | None
    versions_match: bool


@dataclass(frozen=True, slots=True)
class Appraisal:
    """Of one device whose chain, signature and nonce are right.

    Attributes:
        rims: in the order of `NvidiaDevice.rim_ids`.
        mismatches: indexes of measurements that differ from their golden values.
    """

    device: NvidiaDevice
    driver: str | None
    vbios: str
    fwid_matches: bool
    chain: CertificateChain
    rims: tuple[Rim, ...]
    mismatches: tuple[int, ...]

    @property
    def succeeds(self) -> bool:
        """Whether the service calls it a success."""
        chains = (self.chain, *(one.chain for one in self.rims))
        return (
            self.fwid_matches
            and not self.mismatches
            and all(one is not None and one.status == "good" for one in chains)
            and all(one.versions_match for one in self.rims)
        )


def appraise(nvidia: FakeNvidia, report: bytes, chain_pem: bytes, nonce: bytes) -> Appraisal:
    """Appraise one device. Raises RefusedError; ValueError for what is no report of a GPU or switch."""
    device = next((one for one in nvidia.devices if one.chain == chain_pem), None)
    if device is None:
        raise RefusedError(*INVALID_CERTIFICATE_CHAIN)
    _check_signature(device.device.parties[0], report)
    if report[_NONCE] != nonce:
        raise RefusedError(*NONCE_NOT_MATCHING)
    measurements, fields = _parts(report)
    driver, vbios = _versions(device, fields)
    rim_ids = device.product.rim_ids(driver, vbios)
    manifests = [nvidia.manifests.get(rim_id) for rim_id in rim_ids]
    golden = {index: values for one in manifests if one for index, values in _golden(one).items()}
    return Appraisal(
        device=device,
        driver=driver,
        vbios=vbios,
        fwid_matches=products.FWID not in fields
        or any(fields[products.FWID] in value for _, value in device.device.levels[0].extensions),
        chain=_chain(nvidia, device.device.parties, 1),
        rims=tuple(
            Rim(_chain(nvidia, one.chain, 0), one.version in (driver, vbios))
            if one
            else Rim(None, versions_match=False)
            for one in manifests
        ),
        mismatches=tuple(
            index
            for index, values in golden.items()
            if values.isdisjoint(measurements[index : index + 1])
        ),
    )


def _check_signature(leaf: Party, report: bytes) -> None:
    signed, signature = report[:-_SIGNATURE_BYTES], report[-_SIGNATURE_BYTES:]
    r, s = (int.from_bytes(part, "big") for part in (signature[:48], signature[48:]))
    try:
        leaf.key.public_key().verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA384()))
    except InvalidSignature as error:
        raise RefusedError(*INVALID_EVIDENCE_SIGNATURE) from error


def _parts(report: bytes) -> tuple[list[bytes], dict[int, bytes]]:
    """Measurements and opaque fields of a report that this vendor's own device has signed."""
    count = report[_COUNT_AT]
    record = _COUNT_AT + 4
    blocks = [record + index * _BLOCK_BYTES for index in range(count)]
    at = record + count * _BLOCK_BYTES + 32
    size = int.from_bytes(report[at : at + 2], "little")
    opaque, fields = report[at + 2 : at + 2 + size], {}
    while opaque:
        number, length = (int.from_bytes(opaque[at : at + 2], "little") for at in (0, 2))
        fields[number], opaque = opaque[4 : 4 + length], opaque[4 + length :]
    return [report[start + 7 : start + _BLOCK_BYTES] for start in blocks], fields


def _versions(device: NvidiaDevice, fields: dict[int, bytes]) -> tuple[str | None, str]:
    """Driver and VBIOS, or None and the BIOS of a switch. Raises ValueError."""
    vbios = fields.get(products.VBIOS_VERSION)
    if vbios is None:
        raise ValueError("no VBIOS_VERSION")
    if device.product.is_switch:
        return None, vbios.decode("ascii")
    driver = fields.get(products.DRIVER_VERSION, b"").rstrip(b"\0").decode("ascii")
    return driver, ".".join(f"{byte:02X}" for byte in (*vbios[3::-1], vbios[4]))


def _golden(manifest: Manifest) -> dict[int, set[bytes]]:
    """Golden values by index."""
    root = etree.fromstring(document(manifest))
    return {
        int(one.get("index")): {
            bytes.fromhex(value) for name, value in one.attrib.items() if name.startswith(_HASH)
        }
        for one in root.iter(f"{{{SWID}}}Resource")
        if one.get("active") == "True"
    }


def _chain(nvidia: FakeNvidia, parties: tuple[Party, ...], first: int) -> CertificateChain:
    """What is said of a chain, asking OCSP from the certificate at `first` on."""
    asked = parties[first:]
    statuses = [nvidia.answer(about, issuer) for about, issuer in pairwise(asked)]
    bad = [one for one in statuses if one.status is not ocsp.OCSPCertStatus.GOOD]
    end = min(one.certificate.not_valid_after_utc for one in parties)
    return CertificateChain(
        expires=f"{end:%Y-%m-%dT%H:%M:%SZ}",
        status=bad[0].status.name.lower() if bad else "good",
        reason=_reason(bad[0].reason) if bad else None,
    )


def _reason(reason: x509.ReasonFlags | None) -> str | None:
    return None if reason is None else reason.value
