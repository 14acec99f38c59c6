# SPDX-License-Identifier: Apache-2.0
"""Devices of a fake NVIDIA: five certificates and the key that signs reports, each part settable before it is signed.

Certificates are made by the library, reports byte by byte (`simulator.nvidia.reports`); none of it by what is tested.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

from simulator import der
from simulator.nvidia.certificates import CA, USAGES, Party, Terms, key, raw
from simulator.pki import ECDSA_SHA384, pem

if TYPE_CHECKING:
    from simulator.nvidia.reports import Written

COMPOSITE_DEVICE_ID = "2.23.133.5.4.1"
DICE_TCB_INFO = "2.23.133.5.4.1.1"
SHA384_OID = "2.16.840.1.101.3.4.2.2"
FWID = b"F" * 48

DEVICE_CA = Terms(ca=True, usage=("key_cert_sign",))
Extensions = tuple[tuple[str, bytes], ...]


def fwid(value: bytes = FWID, algorithm: str = SHA384_OID) -> bytes:
    """FWID of DICE: an algorithm and a hash."""
    return der.sequence(der.oid(algorithm), der.octet_string(value))


def composite_device_id(*parts: bytes, version: int = 1) -> tuple[str, bytes]:
    """The extension of Hopper and LS10."""
    spki = key("device id").public_key()
    encoded = spki.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return COMPOSITE_DEVICE_ID, der.sequence(der.integer(version), encoded, *(parts or (fwid(),)))


def tcb_info(*fwids: bytes) -> tuple[str, bytes]:
    """The extension of Blackwell; the second firmware id is of nothing."""
    listed = fwids or (fwid(), fwid(bytes(48)))
    return DICE_TCB_INFO, der.sequence(
        der.implicit(0, b"NVIDIA"),
        der.implicit(1, b"GB100 A01 GSP"),
        der.tlv(0xA6, b"".join(listed)),
    )


@dataclass(frozen=True)
class Level:
    """One certificate of a device chain, before it is signed.

    Attributes:
        serial_name: serialNumber in the subject. number: of the certificate.
        issuer: whom it names instead of the level above. signer: label of the key that signs it instead.
    """

    common_name: str
    terms: Terms = CA
    serial_name: str | None = None
    number: int = 0
    extensions: Extensions = ()
    issuer: str | None = None
    signer: str | None = None


@lru_cache(maxsize=1024)
def certify(level: Level, by: Party | None) -> Party:
    """The certificate; self-signed if nobody issues it."""
    own = key(level.terms.key or f"{level.common_name} {level.serial_name}")
    subject = _subject(level.common_name, level.serial_name)
    issuer = by.certificate.subject if by else subject
    number = level.number or int.from_bytes(
        hashlib.sha256(repr(level).encode()).digest()[:16], "big"
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer if level.issuer is None else _subject(level.issuer, None))
        .public_key(own.public_key())
        .serial_number(number)
        .not_valid_before(level.terms.not_before)
        .not_valid_after(level.terms.not_after)
        .add_extension(
            x509.KeyUsage(**{bit: bit in level.terms.usage for bit in USAGES}),
            critical=True,
        )
    )
    if level.terms.ca:
        limits = x509.BasicConstraints(ca=True, path_length=level.terms.path_length)
        builder = builder.add_extension(limits, critical=True)
    for oid, value in level.extensions:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(ObjectIdentifier(oid), value), critical=False
        )
    signer = key(level.signer) if level.signer else (by.key if by else own)
    return Party(builder.sign(signer, SHA384(), ecdsa_deterministic=True), own)


def signed_tbs(tbs: bytes, by: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate of this content, whatever it is."""
    signature = by.sign(tbs, ec.ECDSA(SHA384(), deterministic_signing=True))
    return der.sequence(tbs, ECDSA_SHA384, der.bit_string(signature))


def _subject(common_name: str, serial_name: str | None) -> x509.Name:
    attributes = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "NVIDIA Corporation"),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    if serial_name is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_name))
    return x509.Name(attributes)


ROOT = Level("NVIDIA Device Identity CA")


@dataclass(frozen=True)
class Device:
    """A device with its certificates: `levels` from the leaf to the root."""

    levels: tuple[Level, ...]

    @property
    def parties(self) -> tuple[Party, ...]:
        """Certificates and keys, leaf first."""
        found: list[Party] = []
        for level in reversed(self.levels):
            found.append(certify(level, found[-1] if found else None))
        return tuple(reversed(found))

    @property
    def chain_pem(self) -> bytes:
        """The certificates as a device gives them."""
        return pem(*(party.der for party in self.parties)).encode()

    @property
    def pdi(self) -> bytes:
        """The 8 bytes by which other devices of a machine name this one."""
        return bytes.fromhex(self.levels[1].serial_name or "")[1:]

    def sign(self, written: Written) -> bytes:
        """The report, signed by the leaf."""
        data = written.but(end=b"").encoded()
        return data + raw(self.parties[0].key, data)

    def having(self, place: int, **changes: Any) -> Device:  # noqa: ANN401 - of a Level
        """The same with another certificate at this place, 0 being the leaf."""
        levels = list(self.levels)
        levels[place] = replace(levels[place], **changes)
        return Device(tuple(levels))

    def on_terms(self, place: int, **changes: Any) -> Device:  # noqa: ANN401 - of Terms
        """The same with other terms of the certificate at this place."""
        return self.having(place, terms=replace(self.levels[place].terms, **changes))


def device(
    number: int = 0,
    chip: str = "GH100",
    *,
    engine: str = "GSP",
    provisioner: str | None = None,
    identity: str | None = None,
    extension: tuple[str, bytes] | None = None,
) -> Device:
    """A device of the fake NVIDIA; `number` makes another board of it."""
    prefix = "50" if chip == "LS_10" else "41"
    board = hashlib.sha256(f"{chip} {number}".encode()).hexdigest()[:16].upper()
    serial = f"{prefix}{board}"
    model = f"{chip} A01 {engine}"
    leaf = Level(
        f"{model} FMC LF",
        Terms(),
        serial_name=hashlib.sha1(serial.encode()).hexdigest().upper(),  # noqa: S324 - a name
        extensions=(extension or composite_device_id(),),
    )
    return Device(
        (
            leaf,
            Level(f"{model} BROM", DEVICE_CA, serial_name=serial),
            Level(f"NVIDIA {provisioner or chip} Provisioner ICA 1"),
            Level(f"NVIDIA {identity or chip} Identity"),
            ROOT,
        )
    )


def blackwell(number: int = 0) -> Device:
    """A B200."""
    return device(number, "GB100", extension=tcb_info())


def workstation(number: int = 0) -> Device:
    """An RTX PRO 6000."""
    return device(number, "GB20X", provisioner="GB202", extension=tcb_info())


def switch(number: int = 0) -> Device:
    """An NVSwitch."""
    return device(number, "LS_10", engine="FSP", identity="GH100")


def fsp(number: int = 0) -> Device:
    """The second responder of a B200."""
    return device(number, "GB100", engine="FSP", extension=tcb_info())
