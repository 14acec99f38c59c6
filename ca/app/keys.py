# SPDX-License-Identifier: Apache-2.0
"""The authority's keys as the running service sees them, and the anchors that it trusts.

Whether an authority is simulated is its root's word; the configuration must agree, or nothing starts.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ca.app.anchors import simulated
from ca.errors import ConfigurationError
from ca.issuance import authority as authorities
from ca.issuance.authority import RENEW_RESPONDER, RENEW_SERVICE, ServiceKind
from ca.issuance.ocsp import Responder
from ca.issuance.profile import crl_distribution
from ca.issuance.request import Assurance, Issuer, shard_of, shard_url
from ca.signers.file import FileSigner
from ca.signers.folder import Held, KeyFolder
from verifiers.anchors import builtin

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ca.config import Config
    from verifiers.anchors import Anchors

BUILD: Final = f"attestca {version('attestca')}"


@dataclass(slots=True)
class Keys:
    """The authority's keys as they are in the folder now; read anew by `reload`, renewed by `renew_service`."""

    folder: KeyFolder
    config: Config
    root: x509.Certificate
    of: authorities.Authority
    issuing_cas: tuple[Held, ...] = ()
    ear: tuple[Held, ...] = ()
    tls: tuple[Held, ...] = ()
    ocsp: tuple[Held, ...] = ()
    _responders: tuple[Responder, ...] = field(default=(), repr=False)
    _issuers: dict[x509.Certificate, Issuer] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, config: Config, passphrase: bytes) -> Keys:
        """Read the folder. Raises ConfigurationError, LintFailed."""
        folder = KeyFolder(config.ca.directory, passphrase, secrets.token_bytes)
        root = folder.root()
        of = authority_of(config, root)
        keys = cls(folder, config, root, of)
        keys.reload()
        return keys

    def reload(self) -> None:
        """See what was installed since."""
        self.issuing_cas = self.folder.issuing()
        self.ear = self.folder.service("ear")
        self.tls = self.folder.service("tls")
        self.ocsp = self.folder.service("ocsp")
        self._responders = tuple(
            Responder.of(authority.certificate, held.certificate, held.key)
            for authority in self.issuing_cas
            for held in reversed(self.ocsp)
            if signed(held, authority)
        )

    def responders(self, now: datetime) -> tuple[Responder, ...]:
        """Who answers for the issuing CAs now; of one CA the one that ends last comes first."""
        return tuple(
            one
            for one in self._responders
            if one.certificate.not_valid_before_utc <= now <= one.certificate.not_valid_after_utc
        )

    def issuer(self, held: Held) -> Issuer:
        """One issuing CA, linted; once, for every enrollment asks and a certificate does not change."""
        issuer = self._issuers.get(held.certificate)
        if issuer is None:
            issuer = self._issuers[held.certificate] = authorities.load_issuer(
                held.certificate,
                self.root,
                self.of,
                build=BUILD,
                reserved_names=frozenset(name.lower() for name in self.config.server.names),
            )
        return issuer

    def current(self, now: datetime) -> Held:
        """The issuing CA in force: of those valid now the one that ends last."""
        valid = [held for held in self.issuing_cas if held.valid(now)]
        if not valid:
            raise ConfigurationError(
                "no issuing CA certificate is valid now: `attestca issuer request`, `sign` and `install`"
            )
        return valid[-1]

    def signer(self, held: Held) -> FileSigner:
        """Who signs with that key."""
        return FileSigner(held.key, held.certificate, self.root)

    async def renew_service(self, now: datetime) -> bool:
        """`make_service`, and see it."""
        made = await self.make_service(now)
        self.reload()
        return made

    async def make_service(self, now: datetime) -> bool:
        """Make what is missing or near its end: TLS certificate and signer of results. Returns whether it did.

        `reload` then sees them.
        """
        current, made = self.current(now), False
        for name, kind, names in (
            ("tls", ServiceKind.TLS, self.config.server.names),
            ("ear", ServiceKind.EAR, ()),
        ):
            own = [held for held in self.folder.service(name) if self._names_its_list(held)]
            if _due(own, current, now, RENEW_SERVICE):
                await self._make(name, kind, names, current, now)
                made = True
        return made

    async def renew_responders(self, now: datetime) -> None:
        """Make what is missing or near its end: an OCSP responder of every issuing CA in the folder that is valid.

        `reload` then sees it together with its issuing CA: nothing is issued whose status cannot be asked.
        """
        for authority in self.folder.issuing():
            own = [held for held in self.folder.service("ocsp") if signed(held, authority)]
            if authority.valid(now) and _due(own, authority, now, RENEW_RESPONDER):
                await self._make("ocsp", ServiceKind.OCSP, (), authority, now)

    def _names_its_list(self, held: Held) -> bool:
        """Whether it names the CRL that it is on. Those of before there was one for each day name one that is gone."""
        url = shard_url(self.of.public_url, _issuer_key_id(held), shard_of(held.ends))
        named = held.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints)
        return named.value == crl_distribution(url)

    async def _make(
        self, name: str, kind: ServiceKind, names: Sequence[str], by: Held, now: datetime
    ) -> None:
        """A key and a certificate of the service, signed by an issuing CA, into the folder."""
        key = ec.generate_private_key(ec.SECP256R1())
        prepared = authorities.prepare_service(
            kind, key.public_key(), names, self.issuer(by), now=now, entropy=secrets.token_bytes(16)
        )
        signature = await self.signer(by).sign(prepared.tbs)
        own = authorities.complete_service(prepared, signature)
        self.folder.add_service(name, key, own, by.certificate)


def _due(have: Sequence[Held], by: Held, now: datetime, before: timedelta) -> bool:
    """Whether another one is to be made beside those that are there, so long `before` the last of them ends.

    Not below the issuing CA's own end: what is issued until then has a result that ends no later.
    """
    ends = max((one.ends for one in have if one.valid(now)), default=now)
    return ends <= min(now + before, by.ends - timedelta(seconds=1))


def signed(held: Held, authority: Held) -> bool:
    """Whether a certificate of the service names this issuing CA's key as the one that signed it."""
    return _issuer_key_id(held) == key_id(authority.certificate)


def _issuer_key_id(held: Held) -> bytes:
    """Of the key that signed a certificate of the service, as the certificate has it; empty where it has none."""
    named = held.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return named.key_identifier or b""


def authority_of(config: Config, root: x509.Certificate) -> authorities.Authority:
    """What all certificates of this authority share; whether it is simulated is the root's word, not the file's.

    Raises:
        ConfigurationError: simulated anchors for a real authority, or none for a simulated one.
    """
    description = description_of(config, root)
    if (description.assurance is Assurance.SIMULATED) != bool(config.ca.simulated_anchors):
        raise ConfigurationError(
            "ca.simulated_anchors: only an authority made by `init --simulated` has them, and it needs them"
        )
    return description


def description_of(config: Config, root: x509.Certificate) -> authorities.Authority:
    """As `authority_of`, where no anchors are needed: the machine that holds the root key verifies no evidence."""
    (organization,) = root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return authorities.Authority(
        str(organization.value), _assurance(root), config.server.public_url, config.ca.oid_arc
    )


def _assurance(root: x509.Certificate) -> Assurance:
    """What the root says of itself: only a simulated one carries a certificate policy. Lint holds it to that."""
    try:
        root.extensions.get_extension_for_class(x509.CertificatePolicies)
    except x509.ExtensionNotFound:
        return Assurance.VERIFIED
    return Assurance.SIMULATED


def anchors_of(config: Config) -> Anchors:
    """The built-in anchors, or a simulated authority's own. Raises ConfigurationError."""
    files = config.ca.simulated_anchors
    return simulated(files) if files else builtin()


def key_id(certificate: x509.Certificate) -> bytes:
    """SubjectKeyIdentifier of one of our CA certificates."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def ca_id(root: x509.Certificate) -> bytes:
    """SHA-256 of the root's SubjectPublicKeyInfo, 32 bytes."""
    spki = root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(spki).digest()
