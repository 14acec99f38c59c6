# SPDX-License-Identifier: Apache-2.0
"""What Google's host puts into a VM's vTPM: the templates of two attestation keys, and their certificates.

The templates have the sizes of real ones. The keys are made by the TPM's own command, with the template as it stands,
and not as the client makes them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator.google_certificates import Instance
from verifiers.vtpm.public import read_attestation_key

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.google import FakeGoogle
    from tests.unit.client.software_tpm import SoftwareTpm

RSA, ECC = ("0x01c10000", "0x01c10001"), ("0x01c10002", "0x01c10003")  # certificate, template
ATTRIBUTES = (
    0x00050072  # fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign
)
_NULL, _SHA256 = b"\x00\x10", b"\x00\x0b"


def rsa_template(unique: bytes = bytes(256), exponent: int = 0) -> bytes:
    """TPMT_PUBLIC of RSA 2048 that signs RSASSA with SHA-256, 280 bytes."""
    head = struct.pack(">HHIH", 0x0001, 0x000B, ATTRIBUTES, 0)
    parameters = _NULL + b"\x00\x14" + _SHA256 + struct.pack(">HI", 2048, exponent)
    return head + parameters + _sized(unique)


def ecc_template(x: bytes = bytes(32), y: bytes = bytes(32), curve: int = 3) -> bytes:
    """TPMT_PUBLIC of P-256 that signs ECDSA with SHA-256, 88 bytes."""
    head = struct.pack(">HHIH", 0x0023, 0x000B, ATTRIBUTES, 0)
    parameters = _NULL + b"\x00\x18" + _SHA256 + struct.pack(">H", curve) + _NULL
    return head + parameters + _sized(x) + _sized(y)


def provision(tpm: SoftwareTpm, google: FakeGoogle, slot: tuple[str, str], template: bytes) -> None:
    """Template and certificate of the key in this TPM that it gives, in their indices."""
    certificate, index = slot
    tpm.write(index, template)
    tpm.write(certificate, google.certify(primary(tpm, template), Instance()).der)


def primary(tpm: SoftwareTpm, template: bytes) -> bytes:
    """SubjectPublicKeyInfo of the primary key of a template in the endorsement hierarchy."""
    empty_password = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)
    no_secrets, nothing_else = b"\x00\x04" + bytes(4), bytes(2) + bytes(4)
    body = struct.pack(">I", 0x4000000B) + empty_password
    body += no_secrets + _sized(template) + nothing_else
    answer = tpm.send(struct.pack(">HII", 0x8002, 10 + len(body), 0x131) + body)
    (code,) = struct.unpack_from(">I", answer, 6)
    assert code == 0, hex(code)
    (size,) = struct.unpack_from(">H", answer, 18)
    tpm.tool("flushcontext", "-t")
    key = read_attestation_key(answer[20 : 20 + size])
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def product(folder: Path) -> Path:
    """What the firmware's tables say that the machine is."""
    file = folder / "product_name"
    file.write_bytes(b"Google Compute Engine\n")
    return file


def _sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data
