# SPDX-License-Identifier: Apache-2.0
"""Google's certificates for keys of virtual TPMs as its real ones are: names, extensions and their order, lifetimes.

EK/AK CA Root -> EK/AK CA Intermediate -> certificates of attestation and endorsement keys of one VM. RSA with SHA-256,
PKCS #1 v1.5. The two authorities' names begin with "Simulated". Source: the real certificates, and google/go-tpm-tools
for the extension that names the VM. What a test wants otherwise it changes on the `Signed` it gets.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from simulator import der, pki
from simulator.pki import CertificateSpec, Crl, CrlSpec, Extension, Signed

if TYPE_CHECKING:
    from datetime import datetime

    from simulator.amd_keys import RsaKey

ROOT: Final = "Simulated EK/AK CA Root"
INTERMEDIATE: Final = "Simulated EK/AK CA Intermediate"
INSTANCE: Final = "1.3.6.1.4.1.11129.2.1.21"
AUTHORITY_INFORMATION_ACCESS: Final = "1.3.6.1.5.5.7.1.1"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"
SHA256_WITH_RSA: Final = der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL)
CRL_URL: Final = (
    "http://privateca-content.simulated.storage.googleapis.com/0123456789abcdef0123/crl.crl"
)
ISSUER_URL: Final = "http://privateca-content.simulated.storage.googleapis.com/{}/ca.crt"
REGION: Final = "us-central1"

DIGITAL_SIGNATURE, KEY_ENCIPHERMENT = b"\x80", b"\x20"  # bits 0 and 2 of KeyUsage
_PRINTABLE: Final = re.compile("[A-Za-z0-9 '()+,./:=?-]*")
YEAR = timedelta(days=365)
CRL_LIFETIME = timedelta(days=30)  # real ones have a week, which a simulated world outlives

_CRL_AT: Final = pki.crl_distribution_point(CRL_URL)
_TPM_EK_CERTIFICATES: Final = Extension(EXTENDED_KEY_USAGE, der.sequence(der.oid("2.23.133.8.1")))
SECURITY: Final = (  # as real ones have it: security version, production, and four that nobody names
    der.explicit(0, der.integer(0)),
    der.explicit(1, der.TRUE),
    der.explicit(2, der.TRUE),
    *(der.explicit(number, der.integer(0)) for number in (3, 4, 5)),
)


@dataclass(frozen=True, slots=True)
class Pkcs1:
    """An RSA key that signs certificates as Google's do: RSASSA-PKCS1-v1_5 with SHA-256."""

    key: RsaKey

    def sign_der(self, data: bytes) -> bytes:
        """The signature, as long as the key."""
        return self.key.sign_pkcs1(data)


@dataclass(slots=True, kw_only=True)
class Authority(Signed[CertificateSpec]):
    """The root or an intermediate: its certificate and its key."""

    key: RsaKey


@dataclass(frozen=True, slots=True)
class Instance:
    """The VM that a certificate names. `security`: elements of the security properties; None leaves them out."""

    zone: str = f"{REGION}-a"
    project_number: int = 995_067_395_740
    project_id: str = "simulated-project"
    instance_id: int = 6_524_697_943_022_743_941
    name: str = "confidential-1"
    security: tuple[bytes, ...] | None = SECURITY

    def extension(self) -> Extension:
        """The extension of certificates of its keys."""
        security = b"" if self.security is None else der.explicit(0, der.sequence(*self.security))
        value = der.sequence(
            der.utf8_string(self.zone),
            der.integer(self.project_number),
            der.utf8_string(self.project_id),
            der.integer(self.instance_id),
            der.utf8_string(self.name),
            security,
        )
        return Extension(INSTANCE, value)

    @property
    def subject(self) -> pki.Name:
        """L, O, OU, CN."""
        return _name(
            ("2.5.4.7", self.zone),
            ("2.5.4.10", "Google Compute Engine"),
            ("2.5.4.11", self.project_id),
            ("2.5.4.3", str(self.instance_id)),
        )


def root(now: datetime, key: RsaKey) -> Authority:
    """The root: self-signed, valid a hundred years."""
    return _authority(ROOT, now - 4 * YEAR, key, None)


def intermediate(now: datetime, above: Authority, key: RsaKey) -> Authority:
    """An authority under the root; the root's end is its own too."""
    return _authority(INTERMEDIATE, now - 3 * YEAR, key, above)


def crl(now: datetime, above: Authority) -> Crl:
    """What the root has revoked: nothing. Number 1, issued a day before, good for thirty."""
    issued = now - timedelta(days=1)
    content = CrlSpec(
        above.spec.subject,
        issued,
        issued + CRL_LIFETIME,
        (pki.authority_key_identifier(above.key.key_id), pki.crl_number(1)),
        algorithm=SHA256_WITH_RSA,
    )
    return Crl(spec=content, signer=Pkcs1(above.key))


def of_key(
    now: datetime, issuer: Authority, spki: bytes, instance: Instance, usage: bytes
) -> Signed[CertificateSpec]:
    """The certificate of a key of this VM, valid thirty years."""
    not_before = now - timedelta(days=60)
    spec = CertificateSpec(
        serial=_serial(spki + usage),
        issuer=issuer.spec.subject,
        subject=instance.subject,
        not_before=not_before,
        not_after=not_before + 30 * YEAR,
        spki=spki,
        extensions=(
            pki.key_usage(usage),
            pki.basic_constraints(ca=False),
            pki.subject_key_identifier(hashlib.sha1(spki, usedforsecurity=False).digest()),
            pki.authority_key_identifier(issuer.key.key_id),
            _issuer_at(ISSUER_URL.format("intermediate")),
            instance.extension(),
        ),
        algorithm=SHA256_WITH_RSA,
    )
    return Signed(spec=spec, signer=Pkcs1(issuer.key))


def _authority(
    common_name: str, not_before: datetime, key: RsaKey, root: Authority | None
) -> Authority:
    """The root where `root` is None, else an authority under it; the root's end is theirs too."""
    signer = key if root is None else root.key
    subject = authority_name(common_name)
    where = () if root is None else (_issuer_at(ISSUER_URL.format("root")), _CRL_AT)
    spec = CertificateSpec(
        serial=_serial(key.spki),
        issuer=subject if root is None else root.spec.subject,
        subject=subject,
        not_before=not_before,
        not_after=not_before + 100 * YEAR if root is None else root.spec.not_after,
        spki=key.spki,
        extensions=(
            pki.key_usage(pki.CERT_SIGN_AND_CRL_SIGN),
            _TPM_EK_CERTIFICATES,
            pki.basic_constraints(ca=True),
            pki.subject_key_identifier(key.key_id),
            pki.authority_key_identifier(signer.key_id),
            *where,
        ),
        algorithm=SHA256_WITH_RSA,
    )
    return Authority(spec=spec, signer=Pkcs1(signer), key=key)


def authority_name(common_name: str) -> pki.Name:
    """The distinguished name of an authority, DER: C, ST, L, O, OU, CN."""
    return _name(
        ("2.5.4.6", "US"),
        ("2.5.4.8", "California"),
        ("2.5.4.7", "Mountain View"),
        ("2.5.4.10", "Google LLC"),
        ("2.5.4.11", "Google Cloud"),
        ("2.5.4.3", common_name),
    )


def _name(*attributes: tuple[str, str]) -> pki.Name:
    return der.sequence(
        *(der.set_of(der.sequence(der.oid(kind), _string(text))) for kind, text in attributes)
    )


def _string(text: str) -> bytes:
    """PrintableString where it can be, as Go's library chooses."""
    return der.printable_string(text) if _PRINTABLE.fullmatch(text) else der.utf8_string(text)


def _issuer_at(url: str) -> Extension:
    """AuthorityInformationAccess: where the issuer's certificate is."""
    access = der.sequence(der.oid("1.3.6.1.5.5.7.48.2"), der.implicit(6, url.encode("ascii")))
    return Extension(AUTHORITY_INFORMATION_ACCESS, der.sequence(access))


def _serial(data: bytes) -> int:
    """20 bytes, positive."""
    return int.from_bytes(hashlib.sha256(data).digest()[:20], "big") >> 1
