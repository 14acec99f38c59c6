# SPDX-License-Identifier: Apache-2.0
"""Of when OCSP answers are, certificate by certificate: what tells an answer that was recorded before a revocation.

OCSP requests have no nonce, so that answers can be kept; whoever is on the way, or keeps copies, can therefore give an
older answer that is signed and in date. Whoever remembers the revocations that it has seen can tell (`ca.store`). Here
nothing is judged or authenticated: `verifiers.nvidia.gather` has taken none that is not authentic.

A certificate is named by its issuer's name, as the responder's certificate has it, and its serial number. The name in
the answer itself will not do: it hashes the issuer by any of several algorithms, and an answer recorded under another
one would be about another certificate. Both go through SHA-256: serial numbers of devices stand nowhere in clear.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.x509 import ocsp

from verifiers.nvidia.ocsp import read_answers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verifiers.nvidia.endorsements import NvidiaEndorsements

_LINE_BYTES: Final = 16  # of the digest: enough to tell all certificates that there will ever be


@dataclass(frozen=True, slots=True)
class Revocations:
    """Line of a certificate ("nvidia/status/" and 32 hexadecimal digits) -> thisUpdate of the newest such answer.

    Attributes:
        revoked, good: by what the answers say, in seconds since 1970. A certificate on hold is revoked. What NVIDIA
            does not know is in neither.
    """

    revoked: Mapping[str, int] = field(default_factory=dict)
    good: Mapping[str, int] = field(default_factory=dict)


def revocations(endorsements: NvidiaEndorsements) -> Revocations:
    """What authentic answers say, and of when. Raises VerificationError as `read_answers` does."""
    revoked: dict[str, int] = {}
    good: dict[str, int] = {}
    lines = {ocsp.OCSPCertStatus.REVOKED: revoked, ocsp.OCSPCertStatus.GOOD: good}
    for same in read_answers(endorsements.ocsp).values():
        for data in same:
            answer = ocsp.load_der_ocsp_response(data)
            found = lines.get(answer.certificate_status, {})
            line, number = _line(answer), int(answer.this_update_utc.timestamp())
            found[line] = max(number, found.get(line, 0))
    return Revocations(revoked, good)


def _line(answer: ocsp.OCSPResponse) -> str:
    issuer = answer.certificates[0].issuer.public_bytes()
    serial = answer.serial_number
    named = issuer + serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return f"nvidia/status/{sha256(named).digest()[:_LINE_BYTES].hex()}"
