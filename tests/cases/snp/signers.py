# SPDX-License-Identifier: Apache-2.0
"""AMD's keys signing in other ways than AMD does: what a verifier with loose parameters would take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from simulator import der

if TYPE_CHECKING:
    from simulator.amd_keys import RsaKey

_OIDS = {"sha256": "2.16.840.1.101.3.4.2.1", "sha384": "2.16.840.1.101.3.4.2.2"}
_HASHES: dict[str, hashes.HashAlgorithm] = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}
RSA_SHA384 = der.sequence(der.oid("1.2.840.113549.1.1.12"), der.NULL)


@dataclass(frozen=True, eq=False)
class Pss:
    """RSASSA-PSS with other parameters."""

    key: RsaKey
    salt: int = 48
    digest: str = "sha384"
    mgf: str = "sha384"

    def sign_der(self, data: bytes) -> bytes:
        pss = padding.PSS(padding.MGF1(_HASHES[self.mgf]), self.salt)
        return self.key.private.sign(data, pss, _HASHES[self.digest])


@dataclass(frozen=True, eq=False)
class Pkcs1:
    """RSASSA-PKCS1-v1_5 with SHA-384."""

    key: RsaKey

    def sign_der(self, data: bytes) -> bytes:
        return self.key.private.sign(data, padding.PKCS1v15(), hashes.SHA384())


def pss_algorithm(salt: int = 48, digest: str = "sha384", mgf: str = "sha384") -> bytes:
    """The AlgorithmIdentifier that says so."""
    one, other = (der.sequence(der.oid(_OIDS[name]), der.NULL) for name in (digest, mgf))
    parameters = der.sequence(
        der.explicit(0, one),
        der.explicit(1, der.sequence(der.oid("1.2.840.113549.1.1.8"), other)),
        der.explicit(2, der.integer(salt)),
    )
    return der.sequence(der.oid("1.2.840.113549.1.1.10"), parameters)
