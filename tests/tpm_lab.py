# SPDX-License-Identifier: Apache-2.0
"""A workbench for tests of the vTPM verifier: quotes and HCL reports of our own making, every field adjustable."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from struct import pack
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from verifiers.vtpm.claims import PcrBank

ALGORITHMS = {PcrBank.SHA256: 0x000B, PcrBank.SHA384: 0x000C, PcrBank.SHA512: 0x000D}
HASHES: dict[PcrBank, hashes.HashAlgorithm] = {
    PcrBank.SHA256: hashes.SHA256(),
    PcrBank.SHA384: hashes.SHA384(),
    PcrBank.SHA512: hashes.SHA512(),
}
ALL = ((PcrBank.SHA256, tuple(range(24))),)


@lru_cache(maxsize=8)
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key of each size, made once."""
    return rsa.generate_private_key(65537, bits)


def sized(data: bytes) -> bytes:
    """A TPM2B."""
    return pack(">H", len(data)) + data


def selection(*banks: tuple[int, tuple[int, ...]]) -> bytes:
    """TPML_PCR_SELECTION of (algorithm, numbers)."""
    entries = b"".join(
        pack(">HB", algorithm, 3) + sum(1 << n for n in numbers).to_bytes(3, "little")
        for algorithm, numbers in banks
    )
    return pack(">I", len(banks)) + entries


def pcr(bank: PcrBank, number: int) -> bytes:
    """A value of its own for every PCR."""
    return hashlib.new(bank, f"{bank} {number}".encode()).digest()


@dataclass(frozen=True)
class Quote:
    """A quote to be made. Bytes where a test wants to write nonsense."""

    banks: tuple[tuple[PcrBank, tuple[int, ...]], ...] = ALL
    digest: PcrBank = PcrBank.SHA256
    magic: bytes = b"\xffTCG"
    kind: int = 0x8018
    signer: bytes = b"\x00\x0b" + bytes(range(32))
    extra: bytes = b"x" * 32
    clock: int = 0x0102030405060708
    resets: int = 0x11121314
    restarts: int = 0x21222324
    safe: int = 1
    firmware: int = 0x3132333435363738
    selected: bytes | None = None
    pcr_digest: bytes | None = None
    trailing: bytes = b""

    def but(self, **changes: Any) -> Quote:  # noqa: ANN401 - a field of any type
        """The same with other fields."""
        return replace(self, **changes)

    @property
    def pcrs(self) -> bytes:
        return b"".join(pcr(bank, number) for bank, numbers in self.banks for number in numbers)

    @property
    def attest(self) -> bytes:
        selected = self.selected
        if selected is None:
            selected = selection(*((ALGORITHMS[bank], numbers) for bank, numbers in self.banks))
        digest = self.pcr_digest
        if digest is None:
            digest = hashlib.new(self.digest, self.pcrs).digest()
        clock = pack(">QIIB", self.clock, self.resets, self.restarts, self.safe)
        head = self.magic + pack(">H", self.kind) + sized(self.signer) + sized(self.extra)
        tail = pack(">Q", self.firmware) + selected + sized(digest)
        return head + clock + tail + self.trailing


def bare(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
    """As Azure's tools give it."""
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def rsassa(key: rsa.RSAPrivateKey, data: bytes, bank: PcrBank = PcrBank.SHA256) -> bytes:
    """TPMT_SIGNATURE."""
    value = key.sign(data, padding.PKCS1v15(), HASHES[bank])
    return pack(">HH", 0x0014, ALGORITHMS[bank]) + sized(value)


def ecdsa(key: ec.EllipticCurvePrivateKey, data: bytes, bank: PcrBank = PcrBank.SHA256) -> bytes:
    """TPMT_SIGNATURE; r and s as long as the curve's order."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(HASHES[bank])))
    size = (key.curve.key_size + 7) // 8
    numbers = sized(r.to_bytes(size, "big")) + sized(s.to_bytes(size, "big"))
    return pack(">HH", 0x0018, ALGORITHMS[bank]) + numbers


RESTRICTED = 0x50072  # fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign


def rsa_area(key: rsa.RSAPublicKey | None = None, **changes: Any) -> bytes:  # noqa: ANN401 - a field of any type
    """TPMT_PUBLIC."""
    n = (key or rsa_key().public_key()).public_numbers().n
    said: dict[str, Any] = {
        "kind": 0x0001,
        "name": 0x000B,
        "attributes": RESTRICTED,
        "policy": b"",
        "cipher": pack(">H", 0x0010),
        "scheme": pack(">HH", 0x0014, 0x000B),
        "bits": n.bit_length(),
        "exponent": 0,
        "n": n.to_bytes((n.bit_length() + 7) // 8, "big"),
        "trailing": b"",
    } | changes
    head = pack(">HHI", said["kind"], said["name"], said["attributes"]) + sized(said["policy"])
    parameters = said["cipher"] + said["scheme"] + pack(">HI", said["bits"], said["exponent"])
    area: bytes = head + parameters + sized(said["n"]) + said["trailing"]
    return area


def ecc_area(key: ec.EllipticCurvePublicKey, curve: int, **changes: Any) -> bytes:  # noqa: ANN401 - as above
    numbers, size = key.public_numbers(), (key.curve.key_size + 7) // 8
    said: dict[str, Any] = {
        "scheme": pack(">HH", 0x0018, 0x000B),
        "kdf": pack(">H", 0x0010),
        "x": numbers.x.to_bytes(size, "big"),
        "y": numbers.y.to_bytes(size, "big"),
        "attributes": RESTRICTED,
    } | changes
    head = pack(">HHIHH", 0x0023, 0x000B, said["attributes"], 0, 0x0010)
    middle = said["scheme"] + pack(">H", curve) + said["kdf"]
    area: bytes = head + middle + sized(said["x"]) + sized(said["y"])
    return area


def base64url(number: int) -> str:
    """As in a JWK."""
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(key: rsa.RSAPublicKey, kid: str = "HCLAkPub", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A key as the paravisor writes it."""
    numbers = key.public_numbers()
    n, e = base64url(numbers.n), base64url(numbers.e)
    return {"kid": kid, "key_ops": ["sign"], "kty": "RSA", "e": e, "n": n} | changes


@dataclass(frozen=True)
class Hcl:
    """An HCL report to be made."""

    signature: bytes = b"HCLA"
    version: int = 2
    request: int = 2
    status: int = 0
    reserved: bytes = bytes(12)
    hw_report: bytes = bytes(range(256)) * 4 + bytes(160)
    data_version: int = 1
    kind: int = 2
    hash_type: int = 1
    runtime: bytes = b"{}"
    size: int = 0  # more than the right one
    data_size: int = 0
    variable: int = 0
    trailing: bytes = field(default=bytes(100))

    def but(self, **changes: Any) -> Hcl:  # noqa: ANN401 - a field of any type
        """The same with other fields."""
        return replace(self, **changes)

    @property
    def data(self) -> bytes:
        length = len(self.runtime)
        head = pack(
            "<4sIIII12s",
            self.signature,
            self.version,
            1236 + length + self.size,
            self.request,
            self.status,
            self.reserved,
        )
        middle = pack(
            "<IIIII",
            20 + length + self.data_size,
            self.data_version,
            self.kind,
            self.hash_type,
            length + self.variable,
        )
        return head + self.hw_report + middle + self.runtime + self.trailing


def runtime(**changes: Any) -> bytes:  # noqa: ANN401 - JSON
    """Runtime data with a key of ours; a member given as None is left out."""
    members = {
        "keys": [jwk(rsa_key().public_key()), jwk(rsa_key(3072).public_key(), "HCLEkPub")],
        "vm-configuration": {
            "console-enabled": True,
            "secure-boot": True,
            "tpm-enabled": True,
            "tpm-persisted": False,
            "vmUniqueId": "7DF7B373-B947-4AAA-96E5-C358F2A03D20",
        },
        "user-data": "AB" * 64,
    }
    whole = {name: value for name, value in (members | changes).items() if value is not None}
    return json.dumps(whole, separators=(",", ":")).encode()
