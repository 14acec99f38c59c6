# SPDX-License-Identifier: Apache-2.0
"""What AMD signs with RSASSA-PSS, taken apart: certificates of chips and providers, and revocation lists.

The parameters are fixed: SHA-384, MGF1 with SHA-384, 48 bytes of salt. What a certificate says of them must be that
and is used for nothing else. Source: RFC 4055 section 3.1; RFC 5280 4.1.1.2 and 5.1.1.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from verifiers import der
from verifiers.amd import pss_signed

if TYPE_CHECKING:
    from verifiers.amd import AmdAuthority

# AlgorithmIdentifier content: id-RSASSA-PSS, [0] SHA-384 (NULL), [1] MGF1 of SHA-384 (NULL), [2] 48; some of AMD's
# certificates write the default trailer field [3] 1 as well.
_PARAMETERS: Final = (
    "a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d0609608648016503040202"
    "0500a203020130"
)
_PSS_OID: Final = "06092a864886f70d01010a"
_ALGORITHMS: Final = frozenset(
    {
        bytes.fromhex(f"{_PSS_OID}3034{_PARAMETERS}"),
        bytes.fromhex(f"{_PSS_OID}3039{_PARAMETERS}a303020101"),
    }
)


@dataclass(frozen=True, slots=True)
class PssSigned:
    """SIGNED { tbs, algorithm, signature }; nobody has checked the signature yet.

    `tbs` is what the signature covers, `fields` are its (tag, content) pairs.
    """

    tbs: bytes
    fields: tuple[tuple[int, bytes], ...]
    signature: bytes

    def is_by(self, authority: AmdAuthority) -> bool:
        """Whether the signature is the authority's."""
        return pss_signed(authority.public_key, self.signature, self.tbs)


def read_signed(data: bytes) -> PssSigned:
    """Take one apart whose two algorithm fields are the one above. Raises ValueError."""
    tbs, algorithm, signature = der.signed(data)
    fields = der.elements(der.only(tbs, der.SEQUENCE))
    inner = next((content for tag, content in fields if tag == der.SEQUENCE), b"")
    if algorithm not in _ALGORITHMS or inner != algorithm:
        raise ValueError(
            "signature algorithm is not RSASSA-PSS with SHA-384 and 48 bytes of salt, inside and outside"
        )
    return PssSigned(tbs, fields, signature)
