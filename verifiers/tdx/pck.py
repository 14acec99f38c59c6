# SPDX-License-Identifier: Apache-2.0
"""The PCK chain of a quote: certificates to the pinned root, and Intel's SGX extension in the leaf.

Source: Intel SGX PCK Certificate and CRL Profile Specification, section 1.3.5 (OID 1.2.840.113741.1.13.1).
Free of time and remembered by exact bytes; dates and revocation are judged in `verifiers.tdx.verify`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from verifiers import der
from verifiers.chain import split_pem, verify_chain
from verifiers.errors import Reason, VerificationError
from verifiers.tdx.claims import PckClaims

if TYPE_CHECKING:
    from datetime import datetime

    from verifiers.anchors import Anchor
    from verifiers.certificate import Certificate

ROOT_NAME: Final = frozenset({"Intel SGX Root CA"})
CA_KINDS: Final = {
    "Intel SGX PCK Platform CA": "platform",
    "Intel SGX PCK Processor CA": "processor",
}
_CHAIN_NAMES: Final = (frozenset({"Intel SGX PCK Certificate"}), frozenset(CA_KINDS), ROOT_NAME)

# Content octets of the extension's OID; its members' OIDs are one octet longer.
_ARC: Final = bytes.fromhex("2a864886f84d010d01")
_PPID, _TCB, _PCEID, _FMSPC, _SGX_TYPE, _INSTANCE, _CONFIGURATION = range(1, 8)
_COMPONENTS: Final = range(1, 17)
_PCESVN, _CPUSVN = 17, 18

# DER has one encoding of each number, so a table reads them: the SVNs of components, which have one byte.
_SVNS: Final = {
    bytes([der.INTEGER, 1, svn] if svn < 0x80 else [der.INTEGER, 2, 0, svn]): svn
    for svn in range(256)
}


@dataclass(frozen=True, slots=True)
class PckChain:
    """An authenticated PCK chain: leaf, Platform or Processor CA, root; and what Intel certified in the leaf."""

    certificates: tuple[Certificate, ...]  # 3
    claims: PckClaims
    not_after: datetime  # earliest of the three

    @property
    def leaf(self) -> Certificate:
        """The platform's own certificate."""
        return self.certificates[0]

    @property
    def issuer(self) -> Certificate:
        """The PCK Platform or Processor CA."""
        return self.certificates[1]


def verify_pck_chain(pem: bytes, anchor: Anchor) -> PckChain:
    """Authenticate the chain inside a quote.

    Args:
        pem: certification data of type 5: leaf, intermediate, root.
        anchor: the pinned Intel root.

    Raises:
        VerificationError: `chain`, `untrusted-root`.
    """
    return _verify_pck_chain(split_pem(pem, 3, "PCK chain"), anchor)


@lru_cache(maxsize=4096)
def _verify_pck_chain(ders: tuple[bytes, ...], anchor: Anchor) -> PckChain:
    """Remembered by certificates and not by their text, of which a sender can write any number."""
    certificates = verify_chain(ders, _CHAIN_NAMES, anchor)
    leaf, issuer, _ = certificates
    try:
        claims = _parse_sgx_extension(leaf, CA_KINDS[issuer.common_name])
    except (ValueError, LookupError) as error:
        raise VerificationError(
            Reason.CHAIN, f"SGX extension of the PCK certificate cannot be read: {error!r}"
        ) from error
    return PckChain(certificates, claims, min(one.not_after for one in certificates))


def _parse_sgx_extension(leaf: Certificate, ca: str) -> PckClaims:
    fields = _members(leaf.extensions[_ARC], _ARC)
    tcb = _members(fields[_TCB], _ARC + bytes([_TCB]))
    configuration = (
        _members(fields[_CONFIGURATION], _ARC + bytes([_CONFIGURATION]))
        if _CONFIGURATION in fields
        else {}
    )
    return PckClaims(
        ppid=_octets(fields[_PPID], 16),
        sgx_tcb_components=tuple([_SVNS[tcb[index]] for index in _COMPONENTS]),
        pcesvn=_pcesvn(tcb[_PCESVN]),
        cpusvn=_octets(tcb[_CPUSVN], 16),
        pceid=_octets(fields[_PCEID], 2),
        fmspc=_octets(fields[_FMSPC], 6),
        sgx_type=der.unsigned(der.only(fields[_SGX_TYPE], der.ENUMERATED)),
        platform_instance_id=_octets(fields[_INSTANCE], 16) if _INSTANCE in fields else None,
        dynamic_platform=_flag(configuration, 1),
        cached_keys=_flag(configuration, 2),
        smt_enabled=_flag(configuration, 3),
        ca=ca,
        serial_number=leaf.serial_number,
        not_after=leaf.not_after,
    )


def _members(data: bytes, arc: bytes) -> dict[int, bytes]:
    """SEQUENCE OF SEQUENCE { OID arc.n, value } -> n -> DER of the value. No member may stand twice."""
    oid = bytes([der.OID, len(arc) + 1]) + arc  # n follows, in one octet, and then the value
    at = len(oid)
    items = der.elements(der.only(data, der.SEQUENCE))
    members = {
        item[at]: item[at + 1 :]
        for tag, item in items
        if tag == der.SEQUENCE and item.startswith(oid)
    }
    if len(members) != len(items):
        raise ValueError("unknown or repeated member")
    return members


def _octets(value: bytes, length: int) -> bytes:
    if value[:2] != bytes([der.OCTET_STRING, length]) or len(value) != 2 + length:
        raise ValueError(f"not an OCTET STRING of {length} bytes")
    return value[2:]


def _pcesvn(value: bytes) -> int:
    number = der.unsigned(der.only(value, der.INTEGER))
    if number > 0xFFFF:
        raise ValueError(f"PCESVN {number} has more than 16 bits")
    return number


def _flag(configuration: dict[int, bytes], index: int) -> bool | None:
    if index not in configuration:
        return None
    return der.boolean(der.only(configuration[index], der.BOOLEAN))
