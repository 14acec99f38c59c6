# SPDX-License-Identifier: Apache-2.0
"""The vendors' roots: files in the package, each held against a SHA-256 and a key written here.

Anchors are arguments of every verifier. Production uses `builtin()` and nothing else; a simulated authority builds its
own with `Anchors(...)`, and its certificates say so. Keys are compared, not certificates: Intel has issued two
production root certificates for one key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verifiers.amd import AmdHierarchy, builtin_hierarchies
from verifiers.certificate import Certificate, parse_certificate
from verifiers.errors import Reason, VerificationError
from verifiers.signatures import p256_signed

if TYPE_CHECKING:
    from verifiers.evidence import Product

INTEL_SGX_ROOT_CA_SHA256 = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
INTEL_SGX_ROOT_CA_KEY = (  # P-256, uncompressed point
    "040ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5"
    "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """One pinned root. Its key is what counts: another certificate of the same key and name is accepted as root too."""

    certificate: Certificate

    @classmethod
    def from_der(cls, certificate_der: bytes) -> Anchor:
        """Pin the key of a self-signed certificate. Raises VerificationError (`chain`) if it is none."""
        root = parse_certificate(certificate_der)
        if root.issuer != root.subject or not p256_signed(
            root.public_key, root.signature, root.tbs
        ):
            raise VerificationError(Reason.CHAIN, f"{root.common_name} is not self-signed")
        return cls(root)


@dataclass(frozen=True, slots=True)
class Anchors:
    """Every root that evidence may chain to. `simulated` is true for any set but the built-in one.

    `amd`: at most one hierarchy of each product line; evidence of any other line is refused.
    """

    intel_sgx_root: Anchor
    amd: tuple[AmdHierarchy, ...] = ()
    simulated: bool = True

    def amd_hierarchy(self, product: Product) -> AmdHierarchy | None:
        """The authorities of one product line, if they are pinned."""
        return next((one for one in self.amd if one.product is product), None)

    @property
    def sha256(self) -> bytes:
        """32 bytes that name this set in a decision record: the digest of its keys' digests, in field order."""
        keys = [self.intel_sgx_root.certificate.spki]
        for one in self.amd:
            keys += (one.ark.spki, one.ask.spki, one.asvk.spki)
        return hashlib.sha256(b"".join(hashlib.sha256(key).digest() for key in keys)).digest()


@lru_cache(maxsize=1)
def builtin() -> Anchors:
    """The production roots. Raises RuntimeError if a file is not the one that this module names."""
    pem = (files("verifiers.tdx") / "anchors" / "intel-sgx-root-ca.pem").read_bytes()
    return Anchors(intel_sgx_root=_pinned(pem), amd=builtin_hierarchies(), simulated=False)


def _pinned(pem: bytes) -> Anchor:
    """The Intel root in `pem`, if it is the very one."""
    certificate = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    anchor = Anchor.from_der(certificate)
    key = anchor.certificate.public_key
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    digest = hashlib.sha256(certificate).hexdigest()
    if digest != INTEL_SGX_ROOT_CA_SHA256 or point.hex() != INTEL_SGX_ROOT_CA_KEY:
        raise RuntimeError(
            "the packaged Intel SGX Root CA is not the pinned one: reinstall attestca"
        )
    return anchor
