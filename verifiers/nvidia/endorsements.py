# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA says of its devices, as received: reference manifests (RIM) and OCSP answers, in any order and number.

Nothing names a document from outside: a manifest is for what its signed content says, an answer for the certificates
that it names. So the same documents serve one device or many, from NVIDIA's services or from a directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from verifiers.endorsements import digest
from verifiers.errors import Reason, VerificationError

MAX_RIMS: Final = 64
MAX_ANSWERS: Final = 256  # sixteen devices with manifests of their own take less than half


@dataclass(frozen=True, slots=True)
class NvidiaEndorsements:
    """What there is. Hashable: equal bytes in equal order are the same collateral.

    Attributes:
        rims: XML documents, or the JSON in which the RIM service wraps one; at most 64.
        ocsp: DER OCSP responses, at most 256.

    Raises:
        VerificationError: `too-large`.
    """

    rims: tuple[bytes, ...] = ()
    ocsp: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        for name, count, most in (
            ("manifests", len(self.rims), MAX_RIMS),
            ("OCSP answers", len(self.ocsp), MAX_ANSWERS),
        ):
            if count > most:
                raise VerificationError(Reason.TOO_LARGE, f"{count} {name}, at most {most}")

    @property
    def sha256(self) -> bytes:
        """32 bytes that name these documents in this order."""
        return digest((digest(self.rims), digest(self.ocsp)))
