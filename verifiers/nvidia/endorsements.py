# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA says of its devices, as received, and where it is asked.

Four kinds of documents, in any order and number: reference manifests (RIM), OCSP answers, tokens of NVIDIA's Remote
Attestation Service (NRAS), and the keys that it signs with (JWKS). Nothing names a document from outside: a manifest is
for what its signed content says, an answer for the certificates that it names, a token for the devices that it names.
So the same documents serve one device or many, from NVIDIA's services or from a directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from verifiers.endorsements import digest
from verifiers.errors import Reason, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable

NVIDIA_RIM: Final = "https://rim.attestation.nvidia.com"
NVIDIA_OCSP: Final = "https://ocsp.ndis.nvidia.com"
NVIDIA_NRAS: Final = "https://nras.attestation.nvidia.com"

MAX_RIMS: Final = 64
MAX_ANSWERS: Final = 256  # sixteen devices with manifests of their own take less than half
MAX_TOKENS: Final = 16  # one answer of NRAS for all devices of a kind and architecture

LEEWAY: Final = timedelta(seconds=60)  # what is signed on request may be of a moment after we asked

RIM: Final = "rim"
OCSP: Final = "ocsp"
NRAS: Final = "nras"
JWKS: Final = "jwks"


@dataclass(frozen=True, slots=True)
class NvidiaEndorsements:
    """What there is. Hashable: equal bytes in equal order are the same collateral.

    Attributes:
        rims: XML documents, or the JSON in which the RIM service wraps one; at most 64.
        ocsp: DER OCSP responses, at most 256.
        nras: answers of NRAS, JSON, at most 16; each has the tokens of all devices that one request was about.
        jwks: the key set of NRAS, JSON; from its own host, never from whoever sends a token.

    Raises:
        VerificationError: `too-large`.
    """

    rims: tuple[bytes, ...] = ()
    ocsp: tuple[bytes, ...] = ()
    nras: tuple[bytes, ...] = ()
    jwks: bytes | None = None

    def __post_init__(self) -> None:
        for name, count, most in (
            ("manifests", len(self.rims), MAX_RIMS),
            ("OCSP answers", len(self.ocsp), MAX_ANSWERS),
            ("answers of NRAS", len(self.nras), MAX_TOKENS),
        ):
            if count > most:
                raise VerificationError(Reason.TOO_LARGE, f"{count} {name}, at most {most}")

    @property
    def sha256(self) -> bytes:
        """32 bytes that name these documents in this order."""
        return digest((digest(self.rims), digest(self.ocsp), digest(self.nras), self.jwks))

    def documents(self) -> tuple[tuple[str, bytes], ...]:
        """Every document behind the name of its kind ("rim", "ocsp", "nras", "jwks"), for keeping each by itself."""
        return (
            *((RIM, one) for one in self.rims),
            *((OCSP, one) for one in self.ocsp),
            *((NRAS, one) for one in self.nras),
            *((JWKS, one) for one in (self.jwks,) if one is not None),
        )


def from_documents(documents: Iterable[tuple[str, bytes]]) -> NvidiaEndorsements:
    """The endorsements whose `documents()` these are; those of one kind in their order.

    Raises:
        VerificationError: `collateral-malformed` for an unknown kind or two key sets, `too-large`.
    """
    found: dict[str, list[bytes]] = {RIM: [], OCSP: [], NRAS: [], JWKS: []}
    for kind, document in documents:
        if kind not in found:
            raise VerificationError(
                Reason.COLLATERAL_MALFORMED, f"{kind!r} is no kind of document of NVIDIA's"
            )
        found[kind].append(document)
    if len(found[JWKS]) > 1:
        raise VerificationError(Reason.COLLATERAL_MALFORMED, "more than one key set of NRAS")
    return NvidiaEndorsements(
        tuple(found[RIM]), tuple(found[OCSP]), tuple(found[NRAS]), next(iter(found[JWKS]), None)
    )


@dataclass(frozen=True, slots=True)
class NvidiaSource:
    """Where NVIDIA's services are, or mirrors of their paths; no trailing slash. Whom tokens name is pinned."""

    rim_base_url: str = NVIDIA_RIM
    ocsp_url: str = NVIDIA_OCSP
    nras_base_url: str = NVIDIA_NRAS

    def rim_url(self, rim_id: str) -> str:
        """The address of a manifest. The name comes from `verifiers.nvidia.measurements.references` alone."""
        return f"{self.rim_base_url}/v1/rim/{rim_id}"

    def nras_url(self, kind: str) -> str:
        """The address that appraises evidence of one kind of devices, "gpu" or "switch"."""
        return f"{self.nras_base_url}/v4/attest/{kind}"

    @property
    def jwks_url(self) -> str:
        """The address of the keys of NRAS."""
        return f"{self.nras_base_url}/.well-known/jwks.json"
