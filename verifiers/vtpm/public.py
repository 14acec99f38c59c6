# SPDX-License-Identifier: Apache-2.0
"""The public part of an attestation key: TPMT_PUBLIC, TPM2B_PUBLIC or SubjectPublicKeyInfo -> a key.

Source: TCG TPM 2.0 Library, part 2 Structures: 12.2.4 (TPMT_PUBLIC), 8.3 (TPMA_OBJECT), 12.2.3.5 and 12.2.3.6
(parameters of RSA and ECC keys). All integers are big endian.

Rules: a key that says what it is must be a TPM's own restricted signing key: only such a one signs nothing but what the
TPM made. A bare SubjectPublicKeyInfo says nothing of that; whoever believes it has to know it otherwise. No byte is
skipped and none may follow. Whether the key is in any TPM at all cannot be seen from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from typing import TypeAlias

    AttestationKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

MAX_PUBLIC_BYTES: Final = 2048  # a key of 4096 bits has less than 600, in PEM 800

_RSA: Final = 0x0001
_ECC: Final = 0x0023
_NULL: Final = 0x0010
_NAME_ALGORITHMS: Final = (0x000B, 0x000C, 0x000D)
_MODULUS_BITS: Final = range(2048, 4096 + 1)
_EXPONENT: Final = 65537
_CURVES: Final[dict[int, ec.EllipticCurve]] = {
    0x0003: ec.SECP256R1(),
    0x0004: ec.SECP384R1(),
    0x0005: ec.SECP521R1(),
}
# TPMA_OBJECT
_REQUIRED: Final = {
    1: "fixedTPM",
    4: "fixedParent",
    5: "sensitiveDataOrigin",
    16: "restricted",
    18: "sign",
}
_FORBIDDEN: Final = {17: "decrypt"}
_PEM: Final = b"-----BEGIN PUBLIC KEY-----"
_DER: Final = 0x30  # SEQUENCE; TPMT_PUBLIC begins with 0x00, and so does a TPM2B


def read_attestation_key(data: bytes) -> AttestationKey:
    """The key in a file, in whichever of the forms.

    Raises:
        VerificationError: `too-large`, `malformed`; `unsupported-format` for a key of another kind or size, or one that
            is no restricted signing key of a TPM.
    """
    if len(data) > MAX_PUBLIC_BYTES:
        raise VerificationError(
            Reason.TOO_LARGE, f"attestation key: {len(data)} bytes, at most {MAX_PUBLIC_BYTES}"
        )
    if data[:1] == bytes([_DER]) or data.lstrip().startswith(_PEM):
        return _bare(data)
    return _tpmt_public(data)


def is_public(data: bytes) -> bool:
    """Whether a file is such a key; a broken one is none."""
    try:
        read_attestation_key(data)
    except VerificationError as error:
        return error.reason is Reason.UNSUPPORTED_FORMAT
    return True


def _bare(data: bytes) -> AttestationKey:
    try:
        pem = data.lstrip().startswith(_PEM)
        key = load_pem_public_key(data) if pem else load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _odd(str(error)) from error
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return _rsa(numbers.n, numbers.e)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(
        key.curve, tuple(map(type, _CURVES.values()))
    ):
        return key
    raise _unsupported("it is neither RSA nor on P-256, P-384 or P-521")


def _tpmt_public(data: bytes) -> AttestationKey:
    cursor = Cursor(data)
    kind = _number(cursor, 2, "type")
    if kind == len(data) - 2:  # TPM2B_PUBLIC: the length stands before
        kind = _number(cursor, 2, "type")
    if kind not in {_RSA, _ECC}:
        raise _odd(f"no public area begins with {kind:#06x}")
    name = _number(cursor, 2, "nameAlg")
    attributes = _number(cursor, 4, "objectAttributes")
    _sized(cursor, "authPolicy")
    key = _rsa_area(cursor) if kind == _RSA else _ecc_area(cursor)
    cursor.nothing_left("TPMT_PUBLIC")
    if name not in _NAME_ALGORITHMS:
        raise _unsupported(f"its name is by the hash {name:#06x}")
    _demand_restricted(attributes)
    return key


def _demand_restricted(attributes: int) -> None:
    lacking = [name for bit, name in _REQUIRED.items() if not attributes >> bit & 1]
    excess = [name for bit, name in _FORBIDDEN.items() if attributes >> bit & 1]
    if lacking or excess:
        said = [*(f"not {name}" for name in lacking), *excess]
        raise _unsupported(f"it is no restricted signing key of a TPM: {', '.join(said)}")


def _rsa_area(cursor: Cursor) -> rsa.RSAPublicKey:
    _demand_no_cipher(cursor)
    _scheme(cursor, "scheme")
    bits = _number(cursor, 2, "keyBits")
    exponent = _number(cursor, 4, "exponent") or _EXPONENT
    n = int.from_bytes(_sized(cursor, "modulus"), "big")
    if n.bit_length() != bits:
        raise _odd(f"a modulus of {n.bit_length()} bits, {bits} are announced")
    return _rsa(n, exponent)


def _ecc_area(cursor: Cursor) -> ec.EllipticCurvePublicKey:
    _demand_no_cipher(cursor)
    _scheme(cursor, "scheme")
    curve = _CURVES.get(identifier := _number(cursor, 2, "curveID"))
    _scheme(cursor, "kdf")
    x, y = (int.from_bytes(_sized(cursor, name), "big") for name in ("x", "y"))
    if curve is None:
        raise _unsupported(f"curve {identifier:#06x}; P-256, P-384 and P-521 are known")
    try:
        return ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    except ValueError as error:
        raise _odd("its point is not on its curve") from error


def _demand_no_cipher(cursor: Cursor) -> None:
    """A key that signs has no cipher; one that has is of another kind, and of another layout."""
    cipher = _number(cursor, 2, "symmetric")
    if cipher != _NULL:
        raise _unsupported(f"it has a cipher, {cipher:#06x}: it is no signing key")


def _scheme(cursor: Cursor, field: str) -> None:
    """TPMT_RSA_SCHEME, TPMT_ECC_SCHEME or TPMT_KDF_SCHEME; all that are met have one hash behind, or are null."""
    if _number(cursor, 2, field) != _NULL:
        _number(cursor, 2, f"{field} hash")


def _rsa(n: int, exponent: int) -> rsa.RSAPublicKey:
    if exponent != _EXPONENT or n.bit_length() not in _MODULUS_BITS or n % 2 == 0:
        raise _unsupported("RSA, but not of 2048 to 4096 bits with the exponent 65537")
    return rsa.RSAPublicNumbers(exponent, n).public_key()


def _number(cursor: Cursor, size: int, field: str) -> int:
    return int.from_bytes(cursor.take(size, field), "big")


def _sized(cursor: Cursor, field: str) -> bytes:
    return cursor.take(_number(cursor, 2, field), field)


def _odd(detail: str) -> VerificationError:
    return VerificationError(Reason.MALFORMED, f"attestation key: {detail}")


def _unsupported(detail: str) -> VerificationError:
    return VerificationError(Reason.UNSUPPORTED_FORMAT, f"attestation key: {detail}")
