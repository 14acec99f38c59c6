# SPDX-License-Identifier: Apache-2.0
"""A TPM 2.0 quote: bytes -> `TpmsAttest`, and with its key, signature and PCR values -> `TpmClaims`.

Source: TCG TPM 2.0 Library, part 2 Structures: 10.12 (TPMS_ATTEST, TPMS_QUOTE_INFO, TPMS_CLOCK_INFO), 10.6
(TPML_PCR_SELECTION), 11.3 (TPMT_SIGNATURE); part 1, 17 (PCR digest). All integers are big endian.

Rules: no byte is skipped and none may follow. The numbers of PCRs come from the quote's own selection, for it alone is
signed: a list of values says nothing of what they are. Banks and signatures of SHA-1 are refused.
Not done here: whether the key is a TPM's restricted signing key (whoever gives the key has to know), and whether
extraData is what somebody asked for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from verifiers.cursor import Cursor
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import MAX_BYTES, EvidenceKind
from verifiers.vtpm.claims import PcrBank, TpmClaims

if TYPE_CHECKING:
    from collections.abc import Sequence

TPM_GENERATED: Final = (
    b"\xffTCG"  # no other signature of a restricted key covers bytes that begin so
)
_ST_ATTEST_QUOTE: Final = 0x8018
_RSASSA: Final = 0x0014
_ECDSA: Final = 0x0018
_SELECT_BYTES: Final = 3  # PCRs 0 to 23, as every PC client TPM has them
_MAX_DIGEST: Final = 64  # SHA-512
_MAX_NAME: Final = 2 + _MAX_DIGEST  # TPM2B_NAME, TPM2B_DATA: algorithm and digest

_BANKS: Final = {0x000B: PcrBank.SHA256, 0x000C: PcrBank.SHA384, 0x000D: PcrBank.SHA512}
_HASHES: Final[dict[PcrBank, hashes.HashAlgorithm]] = {
    PcrBank.SHA256: hashes.SHA256(),
    PcrBank.SHA384: hashes.SHA384(),
    PcrBank.SHA512: hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class TpmsAttest:
    """A quote, well-formed and trusted by nobody.

    Attributes:
        raw: all of it, which is what the signature covers.
        qualified_signer: at most 66 bytes. extra_data: at most 66. pcr_digest: at most 64.
        clock: milliseconds. firmware_version: 64 bits, in the maker's own way.
        selection: (bank, number) of every quoted PCR in the order in which their values were hashed.
    """

    raw: bytes
    qualified_signer: bytes
    extra_data: bytes
    clock: int
    reset_count: int
    restart_count: int
    safe: bool
    firmware_version: int
    selection: tuple[tuple[PcrBank, int], ...]
    pcr_digest: bytes


def parse_attest(data: bytes) -> TpmsAttest:
    """Parse a TPMS_ATTEST of a quote.

    Raises:
        VerificationError: `too-large`, `malformed`, `unsupported-format`.
    """
    limit = MAX_BYTES[EvidenceKind.TPM_ATTEST]
    if len(data) > limit:
        raise VerificationError(Reason.TOO_LARGE, f"TPM quote: {len(data)} bytes, at most {limit}")
    cursor = Cursor(data)
    _parse_head(cursor)
    attest = TpmsAttest(
        raw=data,
        qualified_signer=_sized(cursor, _MAX_NAME, "qualifiedSigner"),
        extra_data=_sized(cursor, _MAX_NAME, "extraData"),
        clock=_number(cursor, 8, "clock"),
        reset_count=_number(cursor, 4, "resetCount"),
        restart_count=_number(cursor, 4, "restartCount"),
        safe=_parse_yes_no(cursor, "safe"),
        firmware_version=_number(cursor, 8, "firmwareVersion"),
        selection=_parse_selection(cursor),
        pcr_digest=_sized(cursor, _MAX_DIGEST, "pcrDigest"),
    )
    cursor.nothing_left("TPM quote")
    return attest


def verify_quote(
    attest: TpmsAttest,
    signature: bytes,
    pcrs: bytes,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
) -> TpmClaims:
    """Verify a quote.

    Args:
        attest: the quote.
        signature: TPMT_SIGNATURE (RSASSA or ECDSA; SHA-256, SHA-384 or SHA-512), or as Azure's tools give it the bare
            RSASSA-PKCS1-v1_5 signature over SHA-256, which has exactly the key's length.
        pcrs: the values, one behind the other in the order of the quote's selection.
        key: the attestation key, of a size that the caller believes in.

    Raises:
        VerificationError: `signature` where signature or PCR digest does not hold, `malformed`, `unsupported-format`.
    """
    # 1 the values, cut as the quote numbers them
    values = cut_values(pcrs, attest.selection)
    # 2 the signature over the quote's own bytes
    algorithm = _verify_signature(attest.raw, signature, key)
    # 3 the digest of the values, by the hash of the signature
    if _digest(algorithm, pcrs) != attest.pcr_digest:
        raise VerificationError(
            Reason.SIGNATURE, "TPM quote: the PCR values do not have the digest that was signed"
        )
    return TpmClaims(
        pcrs=values,
        extra_data=attest.extra_data,
        qualified_signer=attest.qualified_signer,
        firmware_version=attest.firmware_version,
        clock=attest.clock,
        reset_count=attest.reset_count,
        restart_count=attest.restart_count,
        safe=attest.safe,
    )


def values_by_hash(attest: TpmsAttest, files: Sequence[bytes]) -> list[bytes]:
    """Which of these files are the quoted values: those that have the digest; if none has, those of their length."""
    digests = {data: {hashlib.new(bank, data).digest() for bank in PcrBank} for data in files}
    found = [data for data in files if attest.pcr_digest in digests[data]]
    length = sum(_HASHES[bank].digest_size for bank, _ in attest.selection)
    return found or [data for data in files if len(data) == length]


def _number(cursor: Cursor, size: int, field: str) -> int:
    return int.from_bytes(cursor.take(size, field), "big")


def _sized(cursor: Cursor, limit: int, field: str) -> bytes:
    """A TPM2B: a length of two bytes, then so many."""
    size = _number(cursor, 2, field)
    if size > limit:
        raise VerificationError(Reason.MALFORMED, f"{field}: {size} bytes, at most {limit}")
    return cursor.take(size, field)


def _parse_head(cursor: Cursor) -> None:
    if cursor.take(4, "magic") != TPM_GENERATED:
        raise VerificationError(Reason.MALFORMED, "TPM quote: the magic is not TPM_GENERATED_VALUE")
    kind = _number(cursor, 2, "type")
    if kind != _ST_ATTEST_QUOTE:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"TPM attestation of type {kind:#06x}; 0x8018 is a quote"
        )


def _parse_yes_no(cursor: Cursor, field: str) -> bool:
    value = _number(cursor, 1, field)
    if value > 1:
        raise VerificationError(Reason.MALFORMED, f"{field}: {value} is neither 0 nor 1")
    return value == 1


def _parse_selection(cursor: Cursor) -> tuple[tuple[PcrBank, int], ...]:
    """TPML_PCR_SELECTION. Each bank at most once, so that it never has more members than there are banks."""
    selected: dict[PcrBank, list[int]] = {}
    for _ in range(_number(cursor, 4, "pcrSelect count")):
        bank = _bank(_number(cursor, 2, "pcrSelect hash"), "PCR bank")
        if bank in selected:
            raise VerificationError(Reason.MALFORMED, f"pcrSelect: the bank {bank} stands twice")
        selected[bank] = _parse_bits(cursor)
    return tuple((bank, number) for bank, numbers in selected.items() for number in numbers)


def _parse_bits(cursor: Cursor) -> list[int]:
    size = _number(cursor, 1, "sizeofSelect")
    if size != _SELECT_BYTES:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT, f"pcrSelect: {size} bytes of bits; 3 are PCRs 0 to 23"
        )
    bits = int.from_bytes(cursor.take(size, "pcrSelect"), "little")
    return [number for number in range(8 * size) if bits >> number & 1]


def _bank(identifier: int, what: str) -> PcrBank:
    bank = _BANKS.get(identifier)
    if bank is None:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT,
            f"{what}: hash algorithm {identifier:#06x}; SHA-256, SHA-384 and SHA-512 are believed",
        )
    return bank


def cut_values(
    pcrs: bytes, selection: tuple[tuple[PcrBank, int], ...]
) -> tuple[tuple[PcrBank, int, bytes], ...]:
    """(bank, number, value) of every quoted PCR. Nothing is verified.

    Raises:
        VerificationError: `malformed` for values of another length than all of them have.
    """
    cursor = Cursor(pcrs)
    values = tuple(
        (bank, number, cursor.take(_HASHES[bank].digest_size, f"PCR {number} of {bank}"))
        for bank, number in selection
    )
    cursor.nothing_left("PCR values")
    return values


def _digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    hasher = hashes.Hash(algorithm)
    hasher.update(data)
    return hasher.finalize()


def _verify_signature(
    signed: bytes, signature: bytes, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
) -> hashes.HashAlgorithm:
    """Verify, and give the hash that was signed with."""
    try:
        if isinstance(key, rsa.RSAPublicKey):
            algorithm, value = _rsassa(signature, (key.key_size + 7) // 8)
            key.verify(value, signed, padding.PKCS1v15(), algorithm)
        else:
            algorithm, value = _ecdsa(signature, (key.curve.key_size + 7) // 8)
            key.verify(value, signed, ec.ECDSA(algorithm))
    except InvalidSignature:
        raise VerificationError(
            Reason.SIGNATURE, "TPM quote: the signature is not one of the attestation key"
        ) from None
    return algorithm


def _rsassa(signature: bytes, size: int) -> tuple[hashes.HashAlgorithm, bytes]:
    """Hash and value of either form. A TPMT_SIGNATURE of this key is 6 bytes longer than the key, so never bare."""
    if len(signature) == size:
        return hashes.SHA256(), signature
    cursor = Cursor(signature)
    algorithm = _parse_scheme(cursor, _RSASSA)
    value = _sized(cursor, size, "RSA signature")
    cursor.nothing_left("TPM signature")
    return algorithm, value  # a shorter value than the key verifies with no key


def _ecdsa(signature: bytes, size: int) -> tuple[hashes.HashAlgorithm, bytes]:
    cursor = Cursor(signature)
    algorithm = _parse_scheme(cursor, _ECDSA)
    r = int.from_bytes(_sized(cursor, size, "ECDSA r"), "big")
    s = int.from_bytes(_sized(cursor, size, "ECDSA s"), "big")
    cursor.nothing_left("TPM signature")
    return algorithm, encode_dss_signature(r, s)


def _parse_scheme(cursor: Cursor, wanted: int) -> hashes.HashAlgorithm:
    scheme = _number(cursor, 2, "signature scheme")
    if scheme != wanted:
        raise VerificationError(
            Reason.UNSUPPORTED_FORMAT,
            f"TPM signature: scheme {scheme:#06x}; a key of this kind signs with {wanted:#06x}",
        )
    return _HASHES[_bank(_number(cursor, 2, "signature hash"), "TPM signature")]
