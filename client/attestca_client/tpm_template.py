# SPDX-License-Identifier: Apache-2.0
"""A template of a TPM's key (TPMT_PUBLIC) -> the options that make tpm2-tools create the primary key of it.

A TPM makes the same key of the same template each time, so the template must come through to the bit: the tool writes
down what it has sent (`--template-data`), and whoever uses this compares. What cannot be said in options (an exponent
that is written out, a policy) is refused here or shows there.

Source: TCG TPM 2.0 Library, part 2 Structures: 12.2.4 (TPMT_PUBLIC), 12.2.3.5 and 12.2.3.6 (parameters of RSA and ECC
keys); tpm2-tss, tss2_tpm2_types.h, for the form of the file with `unique`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

RSA, ECC = 0x0001, 0x0023
NULL = b"\x00\x10"
HASHES = {0x000B: "sha256", 0x000C: "sha384", 0x000D: "sha512"}
SCHEMES = {(RSA, 0x0014): "rsassa", (RSA, 0x0016): "rsapss", (ECC, 0x0018): "ecdsa"}
CURVES = {0x0003: 256, 0x0004: 384, 0x0005: 521}
MAX_TEMPLATE = 1024  # bytes; of a key of RSA 4096 it has 536
COORDINATE = 128  # bytes of the buffer in TPM2B_ECC_PARAMETER


@dataclass(frozen=True, slots=True)
class Template:
    """A signing key's.

    Attributes:
        raw: TPMT_PUBLIC.
        name_hash, algorithm, attributes: of `tpm2_createprimary` the options -g, -G and -a.
        unique: the file of its option -u, TPMU_PUBLIC_ID as this machine lays it out in memory.
    """

    raw: bytes
    name_hash: str
    algorithm: str
    attributes: str
    unique: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Template:
        """Read TPMT_PUBLIC, to its last byte. Raises ValueError for what is none, or of another kind of key."""
        try:
            return _parse(raw)
        except (struct.error, KeyError) as error:
            raise ValueError(
                "no template of a signing key, or of a kind that is not known"
            ) from error


def _parse(raw: bytes) -> Template:
    kind, name_hash, attributes, policy = struct.unpack_from(">HHIH", raw)
    symmetric, scheme, scheme_hash = struct.unpack_from(">2sHH", raw, 10)
    signs = f"{SCHEMES[kind, scheme]}-{HASHES[scheme_hash]}"
    if policy or symmetric != NULL:
        raise KeyError(policy, symmetric)
    size, unique = _rsa(raw[16:]) if kind == RSA else _ecc(raw[16:])
    return Template(raw, HASHES[name_hash], f"{size}:{signs}:null", f"{attributes:#x}", unique)


def _rsa(rest: bytes) -> tuple[str, bytes]:
    """The size of the key, and the file. Raises struct.error, KeyError."""
    bits, exponent, length = struct.unpack_from(">HIH", rest)
    if exponent or len(rest) != 8 + length:
        raise KeyError(exponent, length)
    return f"rsa{bits}", _buffer(rest[8:])


def _ecc(rest: bytes) -> tuple[str, bytes]:
    """The curve, and the file. Raises struct.error, KeyError."""
    curve, derivation, x_length = struct.unpack_from(">H2sH", rest)
    end = 6 + x_length
    (y_length,) = struct.unpack_from(">H", rest, end)
    x, y = rest[6:end], rest[end + 2 :]
    if derivation != NULL or len(y) != y_length or max(x_length, y_length) > COORDINATE:
        raise KeyError(derivation, x_length, y_length)
    return f"ecc{CURVES[curve]}", _buffer(x).ljust(2 + COORDINATE, b"\0") + _buffer(y)


def _buffer(data: bytes) -> bytes:
    """A TPM2B in memory, as far as it counts."""
    return struct.pack("=H", len(data)) + data
