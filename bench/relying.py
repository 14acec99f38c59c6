# SPDX-License-Identifier: Apache-2.0
"""What `attestca_client.verify` costs a relying party: certificate, profile, AttestationInfo and a staple, no network.

Compared with the signatures alone that it must check: that of the leaf (P-256), of the issuing CA's certificate (P-384)
and of the checkpoint (Ed25519).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attestca_client.sources import Bytes
from attestca_client.verify import Sources, verify
from bench.timing import rates
from tests.authority_lab import NOW, digest
from tests.relying_lab import make_world

if TYPE_CHECKING:
    from collections.abc import Callable

REVOKED = (0, 100, 10_000)


def measure() -> tuple[dict[str, float], dict[str, float]]:
    """Rates per second by name; sizes of staples in bytes by the number of handles that are revoked."""
    functions: dict[str, Callable[[], object]] = {
        "signatures of a certificate and a staple": _raw()
    }
    sizes: dict[str, float] = {}
    world = make_world()
    leaf = world.issue()
    for count in REVOKED:
        for number in range(len(world.revocations), count):
            world.revoke(digest(f"revoked {number}"))
        staple = json.dumps(world.staple(leaf), separators=(",", ":")).encode()
        sources = Sources(staple=Bytes("staple", staple))

        def check(sources: Sources = sources) -> None:
            if not verify(leaf.pem, world.trust, sources, at=NOW).accepted:
                raise AssertionError("a good certificate was not accepted")

        functions[f"relying party, staple, {count:,} revoked"] = check
        sizes[f"bytes of a staple, {count:,} revoked"] = len(staple)
    return rates(functions), sizes


def _raw() -> Callable[[], None]:
    message = bytes(700)
    small, large = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    note = Ed25519PrivateKey.generate()
    of_leaf = small.sign(message, ec.ECDSA(hashes.SHA256()))
    of_issuer = large.sign(message, ec.ECDSA(hashes.SHA384()))
    of_note = note.sign(message)
    keys = small.public_key(), large.public_key(), note.public_key()

    def signatures() -> None:
        keys[0].verify(of_leaf, message, ec.ECDSA(hashes.SHA256()))
        keys[1].verify(of_issuer, message, ec.ECDSA(hashes.SHA384()))
        keys[2].verify(of_note, message)

    return signatures
