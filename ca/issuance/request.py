# SPDX-License-Identifier: Apache-2.0
"""What a certificate is made from: a proven key, verified claims and an accepted appraisal, in issuance's own words.

Nothing here comes from the requester's free choice. `Issuer` is the other half: the issuing CA as the service knows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING

from attestca_client import protocol

if TYPE_CHECKING:
    from datetime import date, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from ca.issuance.csr import CertifiedKey

MAX_NAMES = 16
MAX_REGISTERS = 64
MAX_GROUPS = 16
MAX_TOLERATED = 64
MAX_DEVICES = 16
MAX_HANDLES = 128
_DEVICE = re.compile(r":devices\[[0-9]+\]\.")


class Assurance(StrEnum):
    """What stands behind a certificate: a vendor's signature, or a simulator's that proves nothing."""

    VERIFIED = "verified"
    SIMULATED = "simulated"


class BindingLevel(StrEnum):
    """How devices hang on the CPU TEE whose report_data is the binding. Never labelled higher than what was checked.

    No level here says that a device is attached to this machine: a genuine one elsewhere, asked live with this nonce,
    is accepted too. Names for levels that do say it (TDISP) come with what checks them.
    """

    NONE = "none"  # no devices
    NONCE = "nonce"  # devices answered the nonce; nothing of the CPU's names them. Never issued by this authority
    NONCE_CPU_DIGEST = (
        "nonce+cpu-digest"  # devices answered the nonce, and the CPU's binding names their reports
    )


@dataclass(frozen=True, slots=True)
class Register:
    """A measurement register that the policy pinned, and the value that it had."""

    name: str  # specification name, e.g. "mr_td"
    value: bytes  # 1 to 64


@dataclass(frozen=True, slots=True)
class Group:
    """A reference group that matched."""

    id: str
    digest: bytes  # 32


@dataclass(frozen=True, slots=True)
class Device:
    """One verified device beside the CPU. Made by `ca.issuance.platform.devices_of`.

    Attributes:
        kind: "gpu" or "switch".
        product: vendor and family, "nvidia:GH100". model: of its certificate, e.g. "GH100 A01 GSP BROM".
        evidence_sha256: of its report, 32 bytes.
        chip_id: keyed hardware id (`protocol.chip_id`, 32 bytes); None where the policy leaves it out.
        driver, mode: None of a switch; `mode` too where the report of a GPU does not say. vbios: of a switch its BIOS.
        appraised_by: "local", "nras" or "both": whose comparison with the vendor's reference values it was.
        current: whether driver and VBIOS are at or above minimums that somebody keeps.
        firmware: identifiers of its firmware and of the reference values that vouch for it; see `platform`.
        certificates_expire: earliest notAfter of the vendor's certificates that speak for it, UTC.
    """

    kind: str
    product: str
    model: str
    evidence_sha256: bytes  # 32
    chip_id: bytes | None
    driver: str | None
    vbios: str
    mode: str | None
    appraised_by: str
    current: bool
    firmware: tuple[str, ...]
    certificates_expire: datetime


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """The policy document that accepted the claims."""

    name: str
    version: int
    sha256: bytes  # 32


@dataclass(frozen=True, slots=True)
class Platform:
    """What verified claims say of the machine, in a form that all technologies share.

    Attributes:
        product: product line, e.g. "fmspc:50806f000000", "Milan".
        tcb_status: in the vendor's words, "NotRated" where it has none.
        tcb_current: whether that is the vendor's best; of a TCB that is not rated, whether it is above floors.
        tcb_vector: the SVNs as bytes; layout by technology, see `ca.issuance.platform`.
        chip_ids: keyed hardware ids (`protocol.chip_id`, 32 bytes each); empty where the policy leaves them out.
        certificates_expire: earliest notAfter of the vendor's certificates, UTC.
    """

    tee: str
    product: str
    tcb_status: str
    tcb_current: bool
    tcb_vector: bytes
    chip_ids: tuple[bytes, ...]
    evidence_sha256: bytes  # 32
    verified_at: datetime
    certificates_expire: datetime


@dataclass(frozen=True, slots=True)
class LeafRequest:
    """One certificate to be made.

    Attributes:
        names: what the policy granted: "dns:…" and "uri:spiffe://…".
        lifetime: what the policy grants; `ca.issuance.profile` cuts it.
        collateral_expires: end of the vendor's collateral, UTC, each part with the stale budget that the policy allows.
        registers: pinned ones. all_pinned: whether that is every register that a policy must pin.
        tolerated: what the policy tolerated by name ("tcb:SWHardeningNeeded", "unpinned:rtmr3", …); of each device,
            "rule:devices[0].field".
        event_logs: formats of the event logs that were replayed. replayed: (register, state) of each register then.
            Of results alone; a certificate does not have them.
    """

    key: CertifiedKey
    names: tuple[str, ...]
    lifetime: timedelta
    collateral_expires: datetime
    platform: Platform
    policy: PolicyRef
    assurance: Assurance
    registers: tuple[Register, ...]
    all_pinned: bool
    groups: tuple[Group, ...] = ()
    tolerated: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    binding: BindingLevel = BindingLevel.NONE
    event_logs: tuple[str, ...] = ()
    replayed: tuple[tuple[str, str], ...] = ()

    @property
    def stated_tolerated(self) -> tuple[str, ...]:
        """`tolerated` as certificates and results state it: what concerns several devices once, "rule:devices[].field".

        Each device on its own would outgrow MAX_TOLERATED; the authority's record has them.
        """
        return tuple(dict.fromkeys(_DEVICE.sub(":devices[].", each) for each in self.tolerated))

    @property
    def certificates_expire(self) -> datetime:
        """Earliest notAfter of all vendors' certificates that the evidence rests on, UTC."""
        ends = (one.certificates_expire for one in self.devices)
        return min((self.platform.certificates_expire, *ends))


@dataclass(frozen=True, slots=True)
class Issuer:
    """The issuing CA. Made by `ca.issuance.authority.load_issuer`, which lints it.

    Attributes:
        public_url: base of the URLs in certificates, without trailing slash.
        oid_arc: dotted arc of our object identifiers.
        build: name and version of this software, as attestation results name their verifier.
        reserved_names: the service's own DNS names in lower case; no leaf gets one, so that no attested machine can
            stand in for the service before clients that only check chain and host name.
    """

    certificate: x509.Certificate
    public_key: ec.EllipticCurvePublicKey
    key_id: bytes  # 20
    assurance: Assurance
    public_url: str
    oid_arc: str
    build: str
    reserved_names: frozenset[str]

    def crl_url(self, not_after: datetime) -> str:
        """Where the CRL of certificates that end then is served. Final: it stands in certificates and in the CRL."""
        return shard_url(self.public_url, self.key_id, shard_of(not_after))

    @property
    def ocsp_url(self) -> str:
        """Where the status of this issuer's certificates is asked. Final: it stands in certificates."""
        return f"{self.public_url}/v1/ocsp"

    @property
    def certificate_url(self) -> str:
        """Where this issuer's certificate is served (DER). Final: it stands in certificates."""
        return f"{self.public_url}/v1/ca/{self.key_id.hex()}.cer"


def root_crl_url(public_url: str, root_key_id: bytes) -> str:
    """URL of the root's one CRL."""
    return f"{public_url}/v1/crl/{root_key_id.hex()}.crl"


def shard_of(not_after: datetime) -> date:
    """Which of its issuer's CRLs a certificate is on: that of the day on which it ends, UTC."""
    return not_after.astimezone(UTC).date()


def shard_url(public_url: str, issuer_key_id: bytes, day: date) -> str:
    """URL of the CRL of an issuing CA's certificates that end on `day`."""
    return f"{public_url}/v1/crl/{issuer_key_id.hex()}/{day.isoformat()}.crl"


def policy_oid(arc: str, assurance: Assurance, *, all_pinned: bool) -> str:
    """The certificate policy that states the assurance level."""
    if assurance is Assurance.SIMULATED:
        return f"{arc}.{protocol.OID_POLICY_SIMULATED}"
    return f"{arc}.{protocol.OID_POLICY_PINNED if all_pinned else protocol.OID_POLICY_VERIFIED}"
