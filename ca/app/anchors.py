# SPDX-License-Identifier: Apache-2.0
"""The roots of simulated vendors, from files that the configuration names.

One file holds Intel's simulated root, and each product line of AMD's has a file with its ARK, ASK and ASVK. One file
may have three of NVIDIA's: the roots of devices and of manifests' signers, and the intermediate that certifies keys of
its attestation service. One may have Google's root for keys of virtual TPMs, with authorities under it or without. In
each file they stand in any order.

A key of a real vendor among them is refused, alone or with others: evidence of real machines must never lead to a
certificate that says simulated, nor the other way round.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ca.errors import ConfigurationError
from verifiers.amd import AmdHierarchy
from verifiers.anchors import Anchor, Anchors, NvidiaRoots, builtin
from verifiers.errors import VerificationError
from verifiers.evidence import Product
from verifiers.google_ca import GoogleRoot, builtin_root
from verifiers.nvidia.device import nvidia_roots

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

_KEY: Final = "ca.simulated_anchors"
_ROLES: Final = {  # common name -> product line and place in its hierarchy
    f"{prefix}-{product}": (product, role)
    for product in Product
    for role, prefix in enumerate(("ARK", "SEV", "SEV-VLEK"))
}
_NVIDIA: Final = (  # how the common names of the three end
    "NVIDIA Device Identity CA",
    "NVIDIA CoRIM signing Root CA",
    "NVIDIA Attestation Service GPU Intermediate 001",
)
_PREFIX: Final = "Simulated "
_GOOGLE: Final = (_PREFIX + "EK/AK CA Root", _PREFIX + "EK/AK CA Intermediate")


def simulated(files: Sequence[Path]) -> Anchors:
    """The anchors in these files. Tokens of NVIDIA's simulated service name the real one as their issuer.

    Raises:
        ConfigurationError: for the first file that cannot be read or is none of the four, that holds a key of a real
            vendor, or whose vendor and product line stand in another one too; or where Intel's root is missing.
    """
    intel: list[Anchor] = []
    nvidia: list[NvidiaRoots] = []
    google: list[GoogleRoot] = []
    amd: dict[Product, AmdHierarchy] = {}
    for path in files:
        try:
            found = _read(path)
        except (OSError, ValueError, VerificationError) as error:
            raise ConfigurationError(f"{_KEY}: {path}: {error}") from error
        if isinstance(found, Anchor):
            intel.append(found)
        elif isinstance(found, NvidiaRoots):
            nvidia.append(found)
        elif isinstance(found, GoogleRoot):
            google.append(found)
        elif found.product in amd:
            raise ConfigurationError(f"{_KEY}: {path}: another file has AMD {found.product}")
        else:
            amd[found.product] = found
    if len(intel) != 1:
        raise ConfigurationError(
            f"{_KEY}: one file with the simulated Intel root is wanted, not {len(intel)}"
        )
    if len(nvidia) > 1:
        raise ConfigurationError(f"{_KEY}: {len(nvidia)} files have NVIDIA's authorities")
    if len(google) > 1:
        raise ConfigurationError(f"{_KEY}: {len(google)} files have Google's root")
    return Anchors(
        intel_sgx_root=intel[0],
        amd=tuple(amd[product] for product in Product if product in amd),
        simulated=True,
        nvidia=nvidia[0] if nvidia else None,
        google=google[0] if google else None,
    )


def _read(path: Path) -> Anchor | AmdHierarchy | NvidiaRoots | GoogleRoot:
    """Raises OSError, ValueError, VerificationError."""
    certificates = x509.load_pem_x509_certificates(path.read_bytes())
    _refuse_real(certificates)
    names = [_common_name(one) for one in certificates]
    if sorted(names) == sorted(_PREFIX + name for name in _NVIDIA):
        return _nvidia(dict(zip(names, certificates, strict=True)))
    if names.count(_GOOGLE[0]) == 1 and set(names) <= set(_GOOGLE):
        ders = [one.public_bytes(Encoding.DER) for one in certificates]
        root = ders.pop(names.index(_GOOGLE[0]))
        return GoogleRoot.from_der(root, *ders)
    if len(certificates) == 1 and names[0] not in _ROLES:
        return Anchor.from_der(certificates[0].public_bytes(Encoding.DER))
    products = {_ROLES[name][0] for name in names if name in _ROLES}
    if len(products) != 1 or len(set(names)) != len(names) or not _ROLES.keys() >= set(names):
        raise ValueError(f"not a root of Intel's, and no ARK, ASK and ASVK: {', '.join(names)}")
    (product,) = products
    place = {_ROLES[name][1]: one for name, one in zip(names, certificates, strict=True)}
    if len(place) != 3:
        raise ValueError(f"ARK, ASK and ASVK of AMD {product} are wanted, not {', '.join(names)}")
    ark, ask, asvk = (place[role].public_bytes(Encoding.DER) for role in range(3))
    return AmdHierarchy.from_certificates(product, ark, ask, asvk)


def _nvidia(by_name: dict[str, x509.Certificate]) -> NvidiaRoots:
    """Raises VerificationError."""
    device, rim, intermediate = (by_name[_PREFIX + name] for name in _NVIDIA)
    pin = sha256(_spki(intermediate.public_key())).digest()
    device_der, rim_der = (one.public_bytes(Encoding.DER) for one in (device, rim))
    return NvidiaRoots.from_ders(device_der, rim_der, (pin,))


def _refuse_real(certificates: Iterable[x509.Certificate]) -> None:
    """Raises ValueError."""
    real = _real_keys()
    for one in certificates:
        spki = _spki(one.public_key())
        if spki in real or sha256(spki).digest() in real:
            raise ValueError(f"{_common_name(one)} has the key of a real vendor")


def _real_keys() -> frozenset[bytes]:
    """SubjectPublicKeyInfo, or its SHA-256, of every authority that a real vendor's evidence leads to."""
    anchors, nvidia = builtin(), nvidia_roots(builtin())
    of_amd = (one.public_key for each in anchors.amd for one in (each.ark, each.ask, each.asvk))
    others = (anchors.intel_sgx_root, nvidia.device, nvidia.rim)
    google = builtin_root()
    spkis = (
        *(one.spki for one in (google.authority, *google.known)),
        *(_spki(key) for key in of_amd),
        *(_spki(one.certificate.public_key) for one in others),
    )
    return frozenset({*spkis, *nvidia.nras})


def _spki(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _common_name(certificate: x509.Certificate) -> str:
    """The common name of its subject; empty where there is none, or more than one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""
