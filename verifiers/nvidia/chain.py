# SPDX-License-Identifier: Apache-2.0
"""The certificates of a device: exactly five, from the key that signs reports up to the pinned Device Identity CA.

L5 the attestation key, made on the device for one firmware (FWID); L4 the device, fused; L3 who provisioned it; L2 its
family; L1 the root. L4 sets no path length, so that only the number of certificates keeps a key of firmware from
certifying others. Names of all levels must be of one family. Revocation is judged elsewhere. Source: TCG DICE
Attestation Architecture (CompositeDeviceID, DiceTcbInfo); the names as NVIDIA's devices bear them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from verifiers import der
from verifiers.certificate import KEY_USAGE, Certificate
from verifiers.chain import split_pem, verify_chain
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import MEASUREMENT_BYTES, Family
from verifiers.nvidia.report import Shape

if TYPE_CHECKING:
    from verifiers.anchors import Anchor

MAX_CHAIN_BYTES: Final = 16 * 1024
CHAIN_LENGTH: Final = 5

_DIGITAL_SIGNATURE: Final = bytes.fromhex("03020780")  # KeyUsage with this bit alone
_KEY_CERT_SIGN: Final = bytes.fromhex("03020204")
_SERIAL_NUMBER: Final = bytes.fromhex("0603550405")  # 2.5.4.5, the whole element
_SERIAL: Final = re.compile(rb"[0-9A-F]{18}")
_MODEL: Final = re.compile(r"([A-Z0-9_]+) [A-Z][0-9]{2} ([A-Z]+) BROM")
_PROVISIONER: Final = re.compile(r"NVIDIA ([A-Z0-9_]+) Provisioner ICA [0-9]+")
_ROOT_NAME: Final = "NVIDIA Device Identity CA"

_COMPOSITE_DEVICE_ID: Final = bytes.fromhex("678105050401")  # 2.23.133.5.4.1: Hopper, LS10
_DICE_TCB_INFO: Final = bytes.fromhex("67810505040101")  # 2.23.133.5.4.1.1: Blackwell and later
_FWIDS: Final = 0xA6  # [6] of DiceTcbInfo
_SHA384: Final = bytes.fromhex("608648016503040202")


class _Names(NamedTuple):
    """What a family's certificates are named for, and which report its key signs."""

    family: Family
    shape: Shape
    provisioner: str
    identity: str


_NAMES: Final = {
    ("GH100", "GSP"): _Names(Family.GH100, Shape.GPU, "GH100", "GH100"),
    ("GB100", "GSP"): _Names(Family.GB100, Shape.GPU, "GB100", "GB100"),
    ("GB100", "FSP"): _Names(Family.GB100, Shape.FSP, "GB100", "GB100"),
    ("GB20X", "GSP"): _Names(Family.GB202, Shape.GPU, "GB202", "GB20X"),
    ("LS_10", "FSP"): _Names(Family.LS10, Shape.SWITCH, "LS_10", "GH100"),
}


@dataclass(frozen=True, slots=True)
class DeviceChain:
    """An authenticated chain. Dates and revocation are not looked at.

    Attributes:
        certificates: L5, L4, L3, L2, L1.
        shape: of the reports that its key signs.
        model: common name of L4. serial: serialNumber in the subject of L4, 18 upper-case hexadecimal digits.
        fwid: 48 bytes, of the firmware that L5 was made for.
    """

    certificates: tuple[Certificate, ...]
    family: Family
    shape: Shape
    model: str
    serial: str
    fwid: bytes

    @property
    def leaf(self) -> Certificate:
        """L5, whose key signs reports."""
        return self.certificates[0]

    @property
    def pdi(self) -> bytes:
        """The 8 bytes by which other devices of the machine name this one: the serial without its first byte."""
        return bytes.fromhex(self.serial)[1:]


def verify_device_chain(pem: bytes, root: Anchor) -> DeviceChain:
    """Authenticate a PEM chain, leaf first.

    Raises:
        VerificationError: `too-large`; `untrusted-root` for another root than the very one that is pinned; `chain`;
            `product-unknown` for a chain of NVIDIA's whose family is not known here.
    """
    if len(pem) > MAX_CHAIN_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"device chain: {len(pem)} bytes, at most {MAX_CHAIN_BYTES}"
        )
    ders = split_pem(pem, CHAIN_LENGTH, "device chain")
    if ders[-1] != root.certificate.der:
        raise VerificationError(
            Reason.UNTRUSTED_ROOT, f"the chain does not end in the pinned {_ROOT_NAME}"
        )
    certificates = verify_chain(ders, None, root)
    leaf, device = certificates[:2]
    _check_usage(leaf, _DIGITAL_SIGNATURE)
    _check_usage(device, _KEY_CERT_SIGN)
    names = _names(certificates)
    try:
        serial, fwid = _serial(device), _fwid(leaf)
    except ValueError as error:
        raise VerificationError(Reason.CHAIN, f"device chain: {error}") from error
    return DeviceChain(certificates, names.family, names.shape, device.common_name, serial, fwid)


def _check_usage(certificate: Certificate, usage: bytes) -> None:
    if certificate.extensions.get(KEY_USAGE) != usage:
        raise VerificationError(
            Reason.CHAIN, f"{certificate.common_name} is certified for another key usage"
        )


def _names(certificates: tuple[Certificate, ...]) -> _Names:
    """The family that all names are of."""
    leaf, device, provisioner, identity, _ = (one.common_name for one in certificates)
    model = _MODEL.fullmatch(device)
    if model is None or leaf != f"{device.removesuffix('BROM')}FMC LF":
        raise VerificationError(
            Reason.CHAIN, f"{leaf!r} and {device!r} are not the two certificates of one device"
        )
    names = _NAMES.get((model[1], model[2]))
    if names is None:
        raise VerificationError(Reason.PRODUCT_UNKNOWN, f"{device} is of no known family")
    by = _PROVISIONER.fullmatch(provisioner)
    if by is None or (by[1], identity) != (names.provisioner, f"NVIDIA {names.identity} Identity"):
        raise VerificationError(
            Reason.CHAIN, f"{device} is certified by another family: {provisioner}, {identity}"
        )
    return names


def _serial(device: Certificate) -> str:
    """The serialNumber in a subject. Raises ValueError."""
    found = [
        value
        for _, rdn in der.elements(device.subject)
        for tag, attribute in der.elements(rdn)
        if attribute.startswith(_SERIAL_NUMBER)
        for _, value in der.elements(attribute)[1:]
    ]
    if len(found) != 1 or not _SERIAL.fullmatch(found[0]):
        raise ValueError(f"{device.common_name} has no serial number of a device")
    return found[0].decode("ascii")


def _fwid(leaf: Certificate) -> bytes:
    """The hash of the firmware that the key was made for. Raises ValueError."""
    match leaf.extensions.get(_COMPOSITE_DEVICE_ID), leaf.extensions.get(_DICE_TCB_INFO):
        case bytes(value), None:
            fwid = _of_composite_device_id(value)
        case None, bytes(value):
            fwid = _of_tcb_info(value)
        case _:
            raise ValueError("not exactly one extension with a firmware id")
    match der.elements(fwid):
        case ((der.OID, oid), (der.OCTET_STRING, digest)) if (
            oid == _SHA384 and len(digest) == MEASUREMENT_BYTES
        ):
            return digest
        case _:
            raise ValueError("the firmware id is not a SHA-384")


def _of_composite_device_id(value: bytes) -> bytes:
    """SEQUENCE { version INTEGER (1), deviceID SubjectPublicKeyInfo, fwid FWID }."""
    match der.elements(der.only(value, der.SEQUENCE)):
        case ((der.INTEGER, b"\x01"), (der.SEQUENCE, _), (der.SEQUENCE, fwid)):
            return fwid
        case _:
            raise ValueError("not version 1 of CompositeDeviceID")


def _of_tcb_info(value: bytes) -> bytes:
    """The first of `fwids [6] SEQUENCE OF FWID`; a second is of what follows the firmware."""
    fwids = [item for tag, item in der.elements(der.only(value, der.SEQUENCE)) if tag == _FWIDS]
    match [der.elements(item) for item in fwids]:
        case [((der.SEQUENCE, fwid), *_)]:
            return fwid
        case _:
            raise ValueError("DiceTcbInfo without a firmware id")
