# SPDX-License-Identifier: Apache-2.0
"""An authority made of throw-away keys, and requests for leaves, for tests of issuance and of what stands on it."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st

from attestca_client.protocol import DEFAULT_OID_ARC
from ca.issuance import authority, crl, csr, lint_authority, tbs
from ca.issuance.authority import Authority, ServiceKind
from ca.issuance.ear import EarKey
from ca.issuance.prepare import IssuedCertificate, PreparedCertificate, complete, prepare
from ca.issuance.request import (
    Assurance,
    BindingLevel,
    Device,
    Group,
    Issuer,
    LeafRequest,
    Platform,
    PolicyRef,
    Register,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca.issuance.crl import Revoked

NOW = datetime(2026, 11, 25, 13, 0, 0, tzinfo=UTC)
ARC = DEFAULT_OID_ARC
URL = "https://ca.example.org"
BUILD = "attestca test"
NAMES = ("dns:node1.example.org", "uri:spiffe://example.org/tdx/node1")
_counter = itertools.count(1)


def digest(text: str) -> bytes:
    """32 bytes that stand for `text`."""
    return hashlib.sha256(text.encode()).digest()


def entropy() -> bytes:
    """16 bytes, different at every call, the same in every run."""
    return digest(f"entropy {next(_counter)}")[:16]


@dataclass(frozen=True, repr=False)
class Lab:
    """Root, issuing CA and its key."""

    authority: Authority
    root: x509.Certificate
    root_key: ec.EllipticCurvePrivateKey
    issuer: Issuer
    issuer_key: ec.EllipticCurvePrivateKey

    @property
    def root_key_id(self) -> bytes:
        """SubjectKeyIdentifier of the root."""
        return lint_authority.subject_key_id(self.root)

    def root_crl(self, now: datetime = NOW) -> bytes:
        """The root's list, empty, good for a month."""
        prepared = crl.prepare(
            self.root, (), number=1, this_update=now, next_update=now + timedelta(days=30)
        )
        return crl.complete(prepared, tbs.sign(self.root_key, prepared.tbs))

    def crl(
        self, *revoked: Revoked, not_after: datetime, now: datetime = NOW, number: int = 1
    ) -> bytes:
        """The issuing CA's list of certificates that end on the day of `not_after`, good for a day."""
        prepared = crl.prepare(
            self.issuer.certificate,
            revoked,
            number=number,
            this_update=now,
            next_update=now + timedelta(days=1),
            url=self.issuer.crl_url(not_after),
        )
        return crl.complete(prepared, tbs.sign(self.issuer_key, prepared.tbs))

    def renew(self, now: datetime) -> Lab:
        """The same root with another issuing CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        return replace(
            self, issuer=_issuer(self.authority, self.root, self.root_key, key, now), issuer_key=key
        )

    def issue(self, request: LeafRequest, now: datetime = NOW) -> IssuedCertificate:
        """A signed leaf."""
        return self.sign(prepare(request, self.issuer, now=now, entropy=entropy()))

    def sign(self, prepared: PreparedCertificate) -> IssuedCertificate:
        """What the signer would answer."""
        return complete(prepared, tbs.sign(self.issuer_key, prepared.tbs))

    def service(
        self,
        kind: ServiceKind,
        key: ec.EllipticCurvePublicKey,
        names: Sequence[str] = (),
        now: datetime = NOW,
    ) -> x509.Certificate:
        """A signed certificate of the service."""
        prepared = authority.prepare_service(
            kind, key, names, self.issuer, now=now, entropy=entropy()
        )
        return authority.complete_service(prepared, tbs.sign(self.issuer_key, prepared.tbs))

    def ear_key(self, now: datetime = NOW) -> EarKey:
        """A key that signs results."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.service(ServiceKind.EAR, key.public_key(), now=now)
        return EarKey(key, certificate, self.issuer.certificate.public_bytes(Encoding.DER))


def make_lab(assurance: Assurance = Assurance.VERIFIED, now: datetime = NOW) -> Lab:
    """A new authority."""
    description = Authority("Example", assurance, URL, ARC)
    root_key, key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
    root = authority.make_root(root_key, description, now=now, entropy=entropy())
    return Lab(description, root, root_key, _issuer(description, root, root_key, key, now), key)


def _issuer(
    description: Authority,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> Issuer:
    certificate = authority.sign_issuer(
        authority.issuer_request(key), root, root_key, description, now=now, entropy=entropy()
    )
    return authority.load_issuer(
        certificate, root, description, build=BUILD, reserved_names=frozenset({"ca.example.org"})
    )


def utc(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Instants from the start of one year to the start of another, with microseconds."""
    start, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1e6) for year in (first, last))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return st.integers(start, end).map(lambda micro: epoch + timedelta(microseconds=micro))


def make_csr(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | None = None, **extra: object
) -> bytes:
    """DER PKCS#10. `extra`: subject, names, to be ignored by the authority."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, str(extra.get("subject", "x")))]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if "names" in extra:
        names = [x509.DNSName(str(extra["names"]))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def make_platform(**changes: Any) -> Platform:  # noqa: ANN401 - goes to replace()
    """An up-to-date TDX platform."""
    platform = Platform(
        tee="tdx",
        product="fmspc:50806f000000",
        tcb_status="UpToDate",
        tcb_current=True,
        tcb_vector=bytes(range(34)),
        chip_ids=(digest("chip"),),
        evidence_sha256=digest("quote"),
        verified_at=NOW,
        certificates_expire=NOW + timedelta(days=2000),
    )
    return replace(platform, **changes)


def make_device(number: int = 0, **changes: Any) -> Device:  # noqa: ANN401 - goes to replace()
    """A verified GPU; each number is another one of the same make."""
    device = Device(
        kind="gpu",
        product="nvidia:GH100",
        model="GH100 A01 GSP BROM",
        evidence_sha256=digest(f"report {number}"),
        chip_id=digest(f"board {number}"),
        driver="580.178.04",
        vbios="96.00.CF.00.01",
        mode="mpt",
        appraised_by="local",
        current=True,
        firmware=(
            "nvidia-driver:580.178.04",
            "nvidia-vbios:96.00.CF.00.01",
            f"nvidia-rim:NV_GPU_DRIVER_GH100_580.178.04:{digest('driver').hex()}",
            f"nvidia-rim:NV_GPU_VBIOS_1010_0200_882_96.00.CF.00.01:{digest('vbios').hex()}",
        ),
        certificates_expire=NOW + timedelta(days=2000),
    )
    return replace(device, **changes)


def make_switch(number: int = 0, **changes: Any) -> Device:  # noqa: ANN401 - goes to replace()
    """A verified switch."""
    switch = make_device(
        number,
        kind="switch",
        product="nvidia:LS10",
        model="LS_10 A01 FSP BROM",
        evidence_sha256=digest(f"switch report {number}"),
        chip_id=digest(f"switch {number}"),
        driver=None,
        vbios="96.10.6D.00.01",
        mode=None,
        firmware=(
            "nvidia-vbios:96.10.6D.00.01",
            f"nvidia-rim:NV_SWITCH_BIOS_5612_0002_890_96.10.6D.00.01:{digest('bios').hex()}",
        ),
    )
    return replace(switch, **changes)


def with_devices(*devices: Device) -> dict[str, Any]:
    """What devices change in a request."""
    return {"devices": devices, "binding": BindingLevel.NONCE_CPU_DIGEST}


def make_request(lab: Lab | None = None, **changes: Any) -> LeafRequest:  # noqa: ANN401 - goes to replace()
    """A leaf with both kinds of names and all registers pinned."""
    request = LeafRequest(
        key=csr.parse(make_csr()),
        names=NAMES,
        lifetime=timedelta(hours=24),
        collateral_expires=NOW + timedelta(days=20),
        platform=make_platform(),
        policy=PolicyRef("production", 3, digest("policy")),
        assurance=lab.authority.assurance if lab else Assurance.VERIFIED,
        registers=tuple(
            Register(name, digest(name) + bytes(16))
            for name in ("mr_td", "rtmr0", "rtmr1", "rtmr2")
        ),
        all_pinned=True,
        groups=(Group("release-7", digest("release-7")),),
    )
    return replace(request, **changes)
