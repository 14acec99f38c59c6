# SPDX-License-Identifier: Apache-2.0
"""What is asked of the authority, and what the authority is: the two arguments of `ca.enrollment.enroll`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from policies.floors import builtin_floors
from policies.minimums import builtin_minimums

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.issuance.ear import EarKey
    from ca.issuance.request import Issuer
    from ca.ports import Endorser, PolicySource, Signer, Store
    from policies.floors import Floors
    from policies.minimums import Minimums
    from verifiers.anchors import Anchors
    from verifiers.evidence import Evidence
    from verifiers.registry import Sources


@dataclass(frozen=True, slots=True)
class EnrollmentRequest:
    """One request as decoded from the wire: typed, within its limits, believed by nobody.

    Attributes:
        nonce: 64 bytes of ours. csr_der: DER PKCS#10. body_sha256: of the body as received, 32 bytes.
    """

    nonce: bytes
    profile: str
    csr_der: bytes
    evidence: tuple[Evidence, ...]
    body_sha256: bytes


@dataclass(frozen=True, slots=True)
class Issuing:
    """The issuing CA in force; replaced as a whole when it is renewed."""

    issuer: Issuer
    signer: Signer
    ear_key: EarKey


@dataclass(frozen=True, slots=True)
class Authority:
    """What `enroll` and `ca.revocation` need of the world.

    Attributes:
        ca_id: SHA-256 of the root's SubjectPublicKeyInfo, 32 bytes. nonce_keys: the one in use first.
        chip_key: for hardware handles, 32 bytes. entropy: that many fresh random bytes.
        issuing: the issuing CA in force. floors: of AMD's TCBs, minimums: of NVIDIA's versions; those in force.
        revoked: to be set after a revocation was committed; CRLs are then signed at once.
    """

    store: Store
    endorser: Endorser
    policies: PolicySource
    anchors: Anchors
    sources: Sources
    ca_id: bytes
    nonce_keys: tuple[bytes, ...] = field(repr=False)
    chip_key: bytes = field(repr=False)
    entropy: Callable[[int], bytes]
    issuing: Callable[[], Issuing]
    floors: Callable[[], Floors] = builtin_floors
    minimums: Callable[[], Minimums] = builtin_minimums
    revoked: asyncio.Event = field(default_factory=asyncio.Event)
