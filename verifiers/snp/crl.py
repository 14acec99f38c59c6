# SPDX-License-Identifier: Apache-2.0
"""AMD's revocation lists: each is signed by the ARK of a product line and lists ASKs and ASVKs.

Leaves cannot be revoked by serial number, for all of theirs are 0; floors on their TCB do that work. Authenticated
lists are remembered (`lru_cache`: exact bytes are the key, only successes are kept); dates are judged at every use.
Source: RFC 5280 section 5; AMD publication 57230.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from verifiers import der
from verifiers.certificate import FOREIGN, parse_extensions
from verifiers.errors import Reason, VerificationError
from verifiers.snp.pss import read_signed

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.amd import AmdAuthority

PEM_START: Final = b"-----BEGIN X509 CRL-----"

_NUMBER: Final = bytes.fromhex("551d14")  # content octets of the OID


@dataclass(frozen=True, slots=True)
class ArkCrl:
    """One list, signed by the ARK it was checked against. `serials`: the certificates that it revokes."""

    number: int
    this_update: datetime
    next_update: datetime
    serials: frozenset[int]


def crl_der(data: bytes) -> bytes:
    """A list as DER, from DER or PEM. Raises VerificationError (`crl-invalid`)."""
    if not data.lstrip().startswith(PEM_START):
        return data
    try:
        return x509.load_pem_x509_crl(data).public_bytes(Encoding.DER)
    except FOREIGN as error:
        raise VerificationError(Reason.CRL_INVALID, f"CRL: {error}") from error


@lru_cache(maxsize=256)
def verify_crl(data: bytes, ark: AmdAuthority) -> ArkCrl:
    """Authenticate a list. Raises VerificationError (`crl-invalid`)."""
    try:
        return _verify(data, ark)
    except FOREIGN as error:
        raise VerificationError(Reason.CRL_INVALID, f"CRL: {error}") from error


def _verify(data: bytes, ark: AmdAuthority) -> ArkCrl:
    signed = read_signed(data)
    match signed.fields:
        case ((der.INTEGER, b"\x01"), _, (der.SEQUENCE, ark.subject), *_) if signed.is_by(ark):
            pass  # version 2, algorithm, issuer
        case _:
            raise ValueError(f"not a version 2 CRL issued and signed by {ark.common_name}")
    crl = x509.load_der_x509_crl(data)
    if crl.next_update_utc is None:
        raise ValueError("nextUpdate is missing")
    return ArkCrl(
        number=_number(signed.fields[-1]),
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        serials=frozenset(entry.serial_number for entry in crl),
    )


def _number(last: tuple[int, bytes]) -> int:
    """The CRL number. No critical extension is understood, so that a list of a part of all certificates is refused."""
    tag, content = last
    found = parse_extensions(content, understood=frozenset()) if tag == der.CONTEXT_0 else {}
    if _NUMBER not in found:
        raise ValueError("CRL number is missing")
    return der.unsigned(der.only(found[_NUMBER], der.INTEGER))
