# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA says of its devices, as received: reference manifests (RIM) and OCSP answers, in any order and number.

Nothing names a document from outside: a manifest is for what its signed content says, an answer for the certificates
that it names. So the same documents serve one device or many, from NVIDIA's services or from a directory.
"""

from __future__ import annotations

from dataclasses import dataclass

from verifiers.endorsements import digest


@dataclass(frozen=True, slots=True)
class NvidiaEndorsements:
    """`rims`: XML documents, or the JSON in which the RIM service wraps one. `ocsp`: DER OCSP responses."""

    rims: tuple[bytes, ...] = ()
    ocsp: tuple[bytes, ...] = ()

    @property
    def sha256(self) -> bytes:
        """32 bytes that name these documents in this order."""
        return digest((digest(self.rims), digest(self.ocsp)))
