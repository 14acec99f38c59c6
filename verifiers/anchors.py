# SPDX-License-Identifier: Apache-2.0
"""The vendors' roots: files in the package, each held against a SHA-256 and a key written here.

Anchors are arguments of every verifier. Production uses `builtin()` and nothing else; a simulated authority builds its
own with `Anchors(...)`, and its certificates say so. Keys are compared, not certificates: Intel has issued two
production root certificates for one key. Of NVIDIA's two roots the very certificates are demanded. The root above the
keys of NVIDIA's Remote Attestation Service (NRAS) is not published with them: what is pinned are the intermediates.

Under Intel's root three certificates are known beforehand that platforms share. They are not pinned: they are
believed for the root's signature alone, checked once, when they are loaded; others in their place do as well.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verifiers.amd import AmdHierarchy, builtin_hierarchies
from verifiers.certificate import P256, P384, Certificate, Suite, parse_certificate, parse_issued
from verifiers.errors import Reason, VerificationError
from verifiers.google_ca import GoogleRoot, builtin_root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verifiers.evidence import Product

INTEL_SGX_ROOT_CA_SHA256 = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
INTEL_SGX_ROOT_CA_KEY = (  # P-256, uncompressed point
    "040ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5"
    "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"
)
INTEL_INTERMEDIATES_SHA256 = (  # of the DER, in the order of the file
    "22eb770dca215b607b5ccfc21a672b1da5cc660b1ad0365020567979edcaa0e1",  # PCK Platform CA, to 2033-05-21
    "13b2dccef8fc4ec977ee5249743b0f758ebd1e28d768b2e1e12bc348adaa09fb",  # PCK Processor CA, to 2033-05-21
    "c0575e76d0303b61d09cde8cbdb70db34a74f38318300d7c0e6ba8cf4bf45aea",  # TCB Signing, to 2032-05-06
)
NVIDIA_DEVICE_IDENTITY_CA_SHA256 = (
    "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"
)
NVIDIA_RIM_SIGNING_ROOT_CA_SHA256 = (
    "12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1"
)
NVIDIA_NRAS_ISSUER = "https://nras.attestation.nvidia.com"
NVIDIA_NRAS_INTERMEDIATES_SHA256 = (  # SubjectPublicKeyInfo of NVIDIA Attestation Service GPU Intermediate
    "fd32837f954e2c45db073105166dfe6985ae0480bb113fba63b091a75affe896",  # 004, RSA, 2025-12-08 to 2029-12-08
    "ba14d00377699189b6762c22c744a9dbdc62aa9396097ada7150426c6ff39afc",  # 005, P-384, 2026-10-08 to 2030-10-08
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """One pinned root. Its key is what counts: another certificate of the same key and name is accepted as root too.

    `issued`: certificates that it has issued and that platforms share, by their DER; `knowing` has authenticated them.
    They spare time, change no verdict, and are no part of what an anchor is compared by.
    """

    certificate: Certificate
    issued: Mapping[bytes, Certificate] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_der(cls, certificate_der: bytes, suite: Suite = P256) -> Anchor:
        """Pin the key of a self-signed certificate. Raises VerificationError (`chain`) if it is none of this suite."""
        root = parse_certificate(certificate_der, suite)
        if root.issuer != root.subject or not root.has_signed(root.signature, root.tbs):
            raise VerificationError(Reason.CHAIN, f"{root.common_name} is not self-signed")
        return cls(root)

    def knowing(self, *ders: bytes) -> Anchor:
        """The same anchor with these certificates authenticated beforehand. Raises VerificationError (`chain`)."""
        return replace(self, issued={data: parse_issued(data, self.certificate) for data in ders})


@dataclass(frozen=True, slots=True)
class NvidiaRoots:
    """NVIDIA's roots; none stands for another.

    Attributes:
        device: of device chains. rim: of the signers of reference manifests.
        nras: of each intermediate that certifies keys of NRAS, the SHA-256 of its SubjectPublicKeyInfo, 32 bytes. Empty
            refuses all of its tokens.
        nras_issuer: what its tokens must name as their issuer (`iss`), to the letter.
    """

    device: Anchor
    rim: Anchor
    nras: tuple[bytes, ...] = ()
    nras_issuer: str = NVIDIA_NRAS_ISSUER

    @classmethod
    def from_ders(
        cls,
        device_der: bytes,
        rim_der: bytes,
        nras: tuple[bytes, ...] = (),
        nras_issuer: str = NVIDIA_NRAS_ISSUER,
    ) -> NvidiaRoots:
        """Pin two self-signed certificates of P-384. Raises VerificationError (`chain`) if one is none."""
        device, rim = Anchor.from_der(device_der, P384), Anchor.from_der(rim_der, P384)
        return cls(device, rim, nras, nras_issuer)

    @property
    def names(self) -> tuple[bytes, ...]:
        """What these are told apart from others by. The issuer is one only where tokens of any may be accepted."""
        issuer = (self.nras_issuer.encode(),) if self.nras else ()
        return (self.device.certificate.spki, self.rim.certificate.spki, *self.nras, *issuer)


@dataclass(frozen=True, slots=True)
class Anchors:
    """Every root that evidence may chain to. `simulated` is true for any set but the built-in one.

    `amd`: at most one hierarchy of each product line; evidence of any other line is refused. `nvidia`, `google`: None
    refuses all of theirs.
    """

    intel_sgx_root: Anchor
    amd: tuple[AmdHierarchy, ...] = ()
    simulated: bool = True
    nvidia: NvidiaRoots | None = None
    google: GoogleRoot | None = None

    def amd_hierarchy(self, product: Product) -> AmdHierarchy | None:
        """The authorities of one product line, if they are pinned."""
        return next((one for one in self.amd if one.product is product), None)

    @property
    def sha256(self) -> bytes:
        """32 bytes that name this set in a decision record: the digest of its keys' digests, in field order.

        Of NRAS the pins and the issuer's name are digested in the place of keys.
        """
        keys = [self.intel_sgx_root.certificate.spki]
        for one in self.amd:
            keys += (one.ark.spki, one.ask.spki, one.asvk.spki)
        if self.nvidia is not None:
            keys += self.nvidia.names
        if self.google is not None:
            keys.append(self.google.authority.spki)
        return hashlib.sha256(b"".join(hashlib.sha256(key).digest() for key in keys)).digest()

    def judged_as(self, sha256: bytes) -> bool:
        """Whether a set of this name judges all the same evidence alike: this one, or this one before Google's root.

        Nothing that was decided then can have rested on that root, and nothing else has changed.
        """
        return sha256 in _names(self)


@lru_cache(maxsize=16)
def _names(anchors: Anchors) -> frozenset[bytes]:
    return frozenset({anchors.sha256, replace(anchors, google=None).sha256})


@lru_cache(maxsize=1)
def builtin() -> Anchors:
    """The production roots. Raises RuntimeError if a file is not the one that this module names."""
    intel = files("verifiers.tdx") / "anchors"
    root = _pinned((intel / "intel-sgx-root-ca.pem").read_bytes())
    known = _intermediates((intel / "intel-intermediates.pem").read_bytes())
    return Anchors(
        intel_sgx_root=root.knowing(*known),
        amd=builtin_hierarchies(),
        simulated=False,
        nvidia=NvidiaRoots.from_ders(
            _nvidia("device-identity-ca.pem", NVIDIA_DEVICE_IDENTITY_CA_SHA256),
            _nvidia("rim-signing-root-ca.pem", NVIDIA_RIM_SIGNING_ROOT_CA_SHA256),
            tuple(bytes.fromhex(pin) for pin in NVIDIA_NRAS_INTERMEDIATES_SHA256),
        ),
        google=builtin_root(),
    )


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


def _intermediates(pem: bytes) -> tuple[bytes, ...]:
    """The DER of Intel's intermediates in `pem`, if they are the very ones; nothing is said of who signed them."""
    ders = [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(pem)]
    if tuple(hashlib.sha256(one).hexdigest() for one in ders) != INTEL_INTERMEDIATES_SHA256:
        raise RuntimeError(
            "the packaged intermediates of Intel are not the known ones: reinstall attestca"
        )
    return tuple(ders)


def _nvidia(name: str, sha256: str) -> bytes:
    """The DER of one of NVIDIA's roots, if it is the very one."""
    pem = (files("verifiers.nvidia") / "anchors" / name).read_bytes()
    certificate = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    if hashlib.sha256(certificate).hexdigest() != sha256:
        raise RuntimeError(f"the packaged {name} is not NVIDIA's pinned one: reinstall attestca")
    return certificate
