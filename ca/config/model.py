# SPDX-License-Identifier: Apache-2.0
"""What can be configured: one frozen model per section, with the description that `template` writes into the file.

Paths become absolute, relative to the folder that the validation context names (`load` gives it the file's). What a
value leads to (a key that decrypts, a database that answers) is checked by who uses it. No I/O here.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

from pydantic import (
    Field,
    SecretStr,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from attestca_client.protocol import DEFAULT_OID_ARC
from ca.config.chain import Chain
from ca.config.fields import (
    Count,
    Hours,
    Listen,
    ListenAt,
    Networks,
    Passphrase,
    PassphraseSource,
    PathFromFile,
    Paths,
    Seconds,
    Section,
    Strings,
    folder_of,
    is_literal,
)
from ca.errors import ConfigurationError
from ca.fetch.origins import Origin, split_url
from verifiers.google import GOOGLE_ROOT_CRL, GoogleSource
from verifiers.nvidia.endorsements import NVIDIA_NRAS, NVIDIA_OCSP, NVIDIA_RIM, NvidiaSource
from verifiers.registry import Sources
from verifiers.snp.endorsements import AMD_KDS, KdsSource
from verifiers.tdx.endorsements import INTEL_PCS, INTEL_ROOT_CRL, PcsSource


class Server(Section):
    """The public service: nonces, enrollments, certificates, CRLs. Always TLS."""

    public_url: str = Field(
        description="How others reach this service. It stands in every certificate (CRL address): choose it once."
    )
    listen: ListenAt = Field(
        default=Listen("127.0.0.1", 8443), description="Address and port of the service."
    )
    server_names: Strings = Field(
        default=(),
        description="Names and addresses in the server's own certificate; empty: public_url's.",
    )
    trusted_proxies: Networks = Field(
        default=(), description="Networks of the proxies whose X-Forwarded-For is believed."
    )

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, url: str) -> str:
        if split_url(url) is None or not url.startswith("https://") or "?" in url:
            raise ValueError("must be https://host[:port][/path] with a lower-case host")
        return url.rstrip("/")

    @property
    def names(self) -> tuple[str, ...]:
        """What the server certificate is for."""
        host = self.public_url.split("/")[2]
        return self.server_names or (re.sub(r":[0-9]+$", "", host).strip("[]"),)


class Admin(Section):
    """The operators' API, on a listener of its own."""

    listen: ListenAt = Field(
        default=Listen("127.0.0.1", 8444),
        description="Plain HTTP on loopback; elsewhere TLS, unless trusted_proxies are named.",
    )
    trusted_proxies: Networks = Field(
        default=(), description="Networks of the proxies that speak TLS for this listener."
    )

    @property
    def is_plain_http(self) -> bool:
        """True if this listener speaks plain HTTP: loopback, or behind a named proxy."""
        return self.listen.is_loopback or bool(self.trusted_proxies)


class Database(Section):
    """Where nonces, decisions, certificates, policies and tokens are kept."""

    url: SecretStr = Field(
        default=SecretStr("sqlite:///attestca.db"),
        description="sqlite:///path (relative to this file), or postgresql://user:password@host/name.",
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, secret: SecretStr, info: ValidationInfo) -> SecretStr:
        url = secret.get_secret_value()
        path = url.removeprefix("sqlite:///")
        if path not in {url, "", ":memory:"} and "?" not in path:
            return SecretStr(f"sqlite:///{folder_of(info) / path}")
        if re.match("postgresql://[^/]", url):
            return secret
        raise ValueError("must be sqlite:///path or postgresql://…")

    @field_serializer("url")
    def _hide_password(self, secret: SecretStr) -> str:
        url = secret.get_secret_value().partition("?")[0]
        return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)


class Ca(Section):
    """The authority's keys and certificates."""

    directory: PathFromFile = Field(
        default=Path("ca"),
        description="Folder of root.pem, issuing.pem, issuing.key and the other keys.",
    )
    passphrase: Passphrase = Field(
        default=PassphraseSource("env", "ATTESTCA_PASSPHRASE"),
        description="Where the passphrase of the keys is (never itself): env:NAME, file:PATH or fd:NUMBER.",
    )
    oid_arc: str = Field(
        default=DEFAULT_OID_ARC,
        pattern=r"^[0-2](\.(0|[1-9][0-9]{0,9})){3,20}$",
        description="Arc of our object identifiers. The default is RFC 5612's number for documentation.",
    )
    simulated_anchors: Paths = Field(
        default=(),
        description="Certificates of simulated vendors (PEM): Intel's root; for each product line of AMD one file with"
        " its ARK, ASK and ASVK; one with NVIDIA's device, RIM and NRAS authorities. Only for an authority made by init"
        " --simulated.",
    )

    @field_validator("oid_arc")
    @classmethod
    def _check_oid_arc(cls, arc: str) -> str:
        if any(int(component) >= 1 << 31 for component in arc.split(".")):
            raise ValueError(
                "every component must be below 2^31: Go and GnuTLS parse no larger one"
            )
        return arc


_PARTS: Final = {
    "ocsp_device": "ocsp-device",
    "ocsp_rim": "ocsp-rim",
    "nras_jwks": "nras-jwks",
}  # what a key cannot be called


class RefreshHours(Section):
    """Hours after which a kind of collateral is asked for anew."""

    tcb_info: Hours = Field(default=6, description="TCB levels of a platform.")
    qe_identity: Hours = Field(default=6, description="Identity of Intel's quoting enclave.")
    pck_crl: Hours = Field(default=6, description="Revoked platforms.")
    root_ca_crl: Hours = Field(default=6, description="Revoked authorities of Intel.")
    crl: Hours = Field(default=6, description="Revoked authorities of AMD.")
    google_root_crl: Hours = Field(
        default=6, description="Revoked authorities of Google, for keys of virtual TPMs."
    )
    rim: Hours = Field(default=6, description="Reference manifests of NVIDIA.")
    ocsp_device: Hours = Field(
        default=1,
        description="Status of NVIDIA's devices; never past the end that an answer names.",
    )
    ocsp_rim: Hours = Field(default=1, description="Status of who signed NVIDIA's manifests.")
    nras_jwks: Hours = Field(
        default=1, description="Keys of NVIDIA's Remote Attestation Service, which rotate."
    )

    @property
    def by_part(self) -> dict[str, float]:
        """Hours by the name of the part, as the verifiers have it (`verifiers.endorsements.Fetch.part`)."""
        return {_PARTS.get(name, name): hours for name, hours in self}


class Collateral(Section):
    """What the vendors say of their platforms, and where it is asked for."""

    allow_private_hosts: Strings = Field(
        default=(),
        description="Hosts below that may have private addresses and speak plain http: a PCCS or mirror of yours.",
    )
    pcs_base_url: str = Field(
        default=INTEL_PCS, description="Intel's PCS, or a PCCS that mirrors it."
    )
    pccs: bool = Field(
        default=False, description="true if pcs_base_url is a PCCS: it has the root CRL too."
    )
    root_crl_url: str | None = Field(
        default=None, description="The root CRL, if it is elsewhere.", examples=[INTEL_ROOT_CRL]
    )
    update: Literal["standard", "early"] = Field(
        default="standard",
        description="Which of Intel's TCB evaluations counts after a TCB recovery: standard, or early.",
    )
    kds_base_url: str = Field(
        default=AMD_KDS, description="AMD's key distribution service, or a mirror of its paths."
    )
    google_root_crl_url: str = Field(
        default=GOOGLE_ROOT_CRL,
        description="What Google's root for keys of virtual TPMs has revoked, or a mirror of it.",
    )
    nvidia_rim_base_url: str = Field(
        default=NVIDIA_RIM, description="NVIDIA's service of reference manifests, or a mirror."
    )
    nvidia_ocsp_url: str = Field(
        default=NVIDIA_OCSP, description="NVIDIA's OCSP responder, or a proxy that caches for it."
    )
    nras_base_url: str = Field(
        default=NVIDIA_NRAS,
        description="NVIDIA's Remote Attestation Service, for policies that ask it, or a proxy for it.",
    )
    extra_ca_file: PathFromFile | None = Field(
        default=None,
        description="Authorities (PEM) besides the system's, for a PCCS or a mirror.",
        examples=["pccs-ca.pem"],
    )
    connect_timeout_seconds: Seconds = Field(default=3, description="For one connection.")
    timeout_seconds: Seconds = Field(default=15, description="For one request in all.")
    budget_seconds: Seconds = Field(
        default=5,
        description="What an enrollment waits for all collateral before it is told to come again.",
    )
    stale_hours: Hours = Field(
        default=72,
        description="Age up to which kept collateral is still used while a vendor does not answer. A VCEK has none.",
    )
    refresh_hours: RefreshHours = Field(default_factory=RefreshHours)

    @field_validator(
        "pcs_base_url",
        "root_crl_url",
        "kds_base_url",
        "google_root_crl_url",
        "nvidia_rim_base_url",
        "nvidia_ocsp_url",
        "nras_base_url",
    )
    @classmethod
    def _check_origin(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            return None
        try:
            origin = Origin.of(url, private_hosts=info.data.get("allow_private_hosts", ()))
        except ConfigurationError as error:
            raise ValueError(error.detail) from None
        if is_literal(origin.host) and (why := origin.refusal(origin.host.strip("[]"))):
            raise ValueError(f"{why}; see allow_private_hosts")
        return url.rstrip("/")

    @property
    def sources(self) -> Sources:
        """Where the verifiers ask."""
        if self.pccs:
            intel = PcsSource.pccs(self.pcs_base_url, self.update)
        else:
            intel = PcsSource(self.pcs_base_url, update=self.update)
        intel = replace(intel, root_crl_url=self.root_crl_url or intel.root_crl_url)
        nvidia = NvidiaSource(self.nvidia_rim_base_url, self.nvidia_ocsp_url, self.nras_base_url)
        return Sources(
            intel=intel,
            amd=KdsSource(self.kds_base_url),
            nvidia=nvidia,
            google=GoogleSource(self.google_root_crl_url),
        )

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Whom the service may ask, and nobody else."""
        intel, nvidia = self.sources.intel, self.sources.nvidia
        urls = (
            *(intel.base_url, intel.root_crl_url, self.kds_base_url, self.google_root_crl_url),
            *(nvidia.rim_base_url, nvidia.ocsp_url, nvidia.nras_base_url),
        )
        return tuple({Origin.of(url, private_hosts=self.allow_private_hosts): None for url in urls})

    @property
    def refresh_after(self) -> dict[str, timedelta]:
        """Ages by part."""
        return {part: timedelta(hours=hours) for part, hours in self.refresh_hours.by_part.items()}


class Policies(Section):
    """Data that policies refer to. Policies themselves are added through the operators' API."""

    amd_floors_file: PathFromFile | None = Field(
        default=None,
        description="Floors of AMD's TCBs by advisory, instead of the package's where it has a higher version.",
        examples=["amd-floors.yaml"],
    )
    nvidia_minimums_file: PathFromFile | None = Field(
        default=None,
        description="Lowest versions of NVIDIA's drivers and firmware by bulletin, likewise.",
        examples=["nvidia-minimums.yaml"],
    )


class Limits(Section):
    """What callers may use up."""

    body_bytes: int = Field(
        default=4 << 20,
        ge=64 << 10,
        le=4 << 20,
        description="Largest request body (64 KiB to 4 MiB).",
    )
    requests_per_minute: Count = Field(default=60, description="Per client address.")
    burst: Count = Field(default=20, description="Requests at once per client address.")
    tracked_addresses: Count = Field(
        default=10_000,
        description="Addresses counted at a time; when full, unknown ones are refused.",
    )
    verification_queue: Count = Field(
        default=64,
        description="Enrollments waiting for verification; when full, 503 and Retry-After.",
    )
    workers: int = Field(default=2, ge=1, le=64, description="Verifications at the same time.")


class Retention(Section):
    """How long things are kept. Certificates and the operators' log stay."""

    refusal_days: Count = Field(default=30, description="Refusals of evidence that verified.")
    refusal_ring: Count = Field(
        default=1000,
        description="Other refusals, of which only a sample of this number is kept, in memory.",
    )
    nonce_hours: Count = Field(default=24, description="Nonces of refusals, after they expired.")


class Log(Section):
    """Lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="From which on."
    )
    format: Literal["json", "console"] = Field(
        default="json", description="json, or console for people."
    )


class Config(Section):
    """All of it. `server.public_url` is the only key without a default."""

    server: Server
    admin: Admin = Field(default_factory=Admin)
    database: Database = Field(default_factory=Database)
    ca: Ca = Field(default_factory=Ca)
    collateral: Collateral = Field(default_factory=Collateral)
    policies: Policies = Field(default_factory=Policies)
    limits: Limits = Field(default_factory=Limits)
    retention: Retention = Field(default_factory=Retention)
    chain: Chain = Field(default_factory=Chain)
    log: Log = Field(default_factory=Log)

    def digest(self) -> str:
        """SHA-256 of the configuration in force, in hex; no secret goes into it."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
