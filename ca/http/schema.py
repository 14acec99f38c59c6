# SPDX-License-Identifier: Apache-2.0
"""The JSON of the HTTP API, version 1: what is accepted and what is answered, one frozen model per object.

The API description is made from these models and every answer is made with them, so neither can say something else
than the other. Within version 1 answers may gain members and never lose or change one; requests take no member that is
not listed here. Binary fields are base64 in the standard alphabet with padding, in their one canonical form; digests,
serial numbers and key ids are lower-case hex; instants are RFC 3339 in UTC with a Z.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

from attestca_client.protocol import HandleKind
from ca.http.problems import CODES
from ca.issuance.csr import MAX_BYTES as MAX_CSR_BYTES
from ca.issuance.reasons import RevocationReason
from ca.issuance.request import Assurance
from ca.ports import Outcome, PolicyState
from ca.tokens import Scope
from verifiers.evidence import DEVICE_KINDS, MAX_BYTES, MAX_DEVICES, EvidenceKind

MAX_EVIDENCE = len(EvidenceKind) - len(DEVICE_KINDS) + MAX_DEVICES  # pieces
MAX_PAGE = 1000


def base64_length(size: int) -> int:
    """Characters of `size` bytes in base64 with padding."""
    return math.ceil(size / 3) * 4


_BASE64 = r"^[A-Za-z0-9+/]+={0,2}$"
Instant: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Sha256: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
KeyId: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
Serial: TypeAlias = Annotated[str, Field(pattern="^[1-9a-f][0-9a-f]{0,39}$")]
Nonce: TypeAlias = Annotated[str, Field(pattern=_BASE64, max_length=base64_length(64))]
Base64: TypeAlias = Annotated[str, Field(pattern=_BASE64)]
Pem: TypeAlias = Annotated[str, Field(pattern="^-----BEGIN CERTIFICATE-----\n")]
Name: TypeAlias = Annotated[str, Field(pattern="^(dns|uri):.")]
Code: TypeAlias = Annotated[str, Field(json_schema_extra={"enum": sorted(CODES)})]
Stands: TypeAlias = Annotated[Assurance, Field(strict=False)]
Kind: TypeAlias = Annotated[HandleKind, Field(strict=False)]
Because: TypeAlias = Annotated[RevocationReason, Field(strict=False)]


class Model(BaseModel):
    """Frozen, with no member that is not listed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


# requests


class EvidenceBody(Model):
    """One piece of evidence: what the platform gave, byte for byte. Each kind has a limit of its own."""

    kind: Annotated[EvidenceKind, Field(strict=False)]
    data: str = Field(pattern=_BASE64, max_length=max(map(base64_length, MAX_BYTES.values())))


class EnrollmentBody(Model):
    """A request for a certificate."""

    nonce: Nonce
    profile: str = Field(min_length=1, max_length=63, pattern="^[a-z0-9-]+$")
    csr: str = Field(
        pattern=_BASE64,
        max_length=base64_length(MAX_CSR_BYTES),
        description="DER PKCS#10. Its key and signature count, nothing else.",
    )
    evidence: list[EvidenceBody] = Field(
        min_length=1,
        max_length=MAX_EVIDENCE,
        description="One quote or report of the CPU's own, what belongs to it, event logs of at most 1 MiB together,"
        " and up to 16 devices; every kind but the devices' at most once.",
    )


class PreviewBody(Model):
    """What is to be revoked: `kind` and `value`, with `name` of a measurement or chip; or a `handle`.

    certificate: serial. key: SHA-256 or SubjectPublicKeyInfo in base64. measurement: register and value, or reference
    group (set/entry) and its digest or the policy (name@version) that has it. chip: ppid, chip_id or nvidia, and the
    id in hexadecimal. product: product line. tcb: TCB vector. firmware: identifier. policy: name@version or SHA-256.
    issuer: key id.
    """

    kind: Kind | None = None
    name: str | None = Field(default=None, min_length=1, max_length=160, pattern="^[!-~]+$")
    value: str | None = Field(default=None, min_length=1, max_length=512, pattern="^[!-~]+$")
    handle: Sha256 | None = None


class RevocationBody(PreviewBody):
    """The same, why, and words of the operator's own that only operators are shown."""

    reason: Because
    note: str = Field(default="", max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")


# answers to everybody


class NonceAnswer(Model):
    """A fresh nonce of 64 bytes, to be used once."""

    nonce: Nonce
    expires_at: Instant
    ca_id: Sha256 = Field(description="SHA-256 of the root's SubjectPublicKeyInfo.")


class PolicyName(Model):
    """The policy document that accepted the evidence."""

    name: str
    version: int
    sha256: Sha256


class EnrollmentAnswer(Model):
    """The certificate."""

    serial: Serial
    certificate: Pem
    chain: list[Pem] = Field(min_length=2, max_length=2, description="Issuing CA, then the root.")
    not_before: Instant
    not_after: Instant
    policy: PolicyName
    assurance: Stands


class CertificateAnswer(Model):
    """What the record says of one issued certificate."""

    serial: Serial
    certificate: Pem
    issuer_key_id: KeyId
    not_before: Instant
    not_after: Instant
    names: list[Name]
    policy: PolicyName
    assurance: Stands
    tee: str
    tcb_status: str = Field(description="In the vendor's words, at the time of issuance.")
    verified_at: Instant
    evidence_sha256: list[Sha256]


class LogProofAnswer(Model):
    """Where the issuance of one certificate stands in the public log, and what proves it."""

    index: int = Field(description="Position of the entry, from 0.")
    entry: Base64 = Field(description="The entry, whose hash is the leaf (RFC 9162).")
    hashes: list[Base64] = Field(description="From the leaf's sibling up to the root's child.")
    checkpoint: str = Field(description="The signed note that the proof leads to.")


class StapleAnswer(Model):
    """What proves that one certificate was logged, and which of its handles are revoked, at one time."""

    checkpoint: str = Field(description="The signed note that everything else here leads to.")
    index: int = Field(description="Position of the entry of the issuance, from 0.")
    time: int = Field(description="Of that entry: microseconds since 1970-01-01T00:00:00Z.")
    commitment: Base64 = Field(description="Of that entry: to the private record; 32 bytes.")
    hashes: list[Base64] = Field(description="From the leaf's sibling up to the root's child.")
    revocations: Base64 = Field(
        description="The revocation tree, cut back to what shows each handle of the certificate."
    )
    revoked: list[Base64] = Field(
        description="The entries of the log that revoke those that are in the tree."
    )


class ServedCrl(Model):
    """One list of revoked certificates as it is served now."""

    url: str
    sha256: Sha256 = Field(description="Of the DER.")
    number: int


class CrlList(Model):
    """Every list of revoked certificates that is served now, and what a checkpoint says of them all."""

    digest: Sha256 = Field(description="Of all: what the line `crls` of a checkpoint has.")
    lists: list[ServedCrl] = Field(description="By URL.")


class FeedEntry(Model):
    """One handle that is revoked, for good."""

    id: int
    kind: Kind
    handle: Sha256
    revoked_at: Instant
    reason: Because


class FeedPage(Model):
    """Oldest first, 1000 at most; `next` is the `after` of the following page, which may still be empty."""

    revocations: list[FeedEntry]
    next: int


class StatusAnswer(Model):
    """The process answers."""

    status: Literal["ok"]


class ReadyAnswer(Model):
    """The service does its work. `warnings`: what an operator should look at all the same."""

    status: Literal["ready"]
    warnings: tuple[str, ...]


class FindingAnswer(Model):
    """One rule that refused, without the values that it would have allowed."""

    rule: str
    path: str
    result: str
    hint: str


class ProblemAnswer(Model):
    """RFC 9457. `code` is the stable word; `incident` names the operator's log line."""

    type: Literal["about:blank"]
    title: str
    status: int = Field(ge=400, le=599)
    code: Code
    detail: str
    findings: list[FindingAnswer] | None = None
    incident: str | None = None


class Jwk(BaseModel):
    """One key of RFC 7517; members of other key types may follow."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kty: str
    use: Literal["sig"]
    alg: str
    kid: str
    x5c: list[str]


class JwksAnswer(Model):
    """The keys that sign attestation results."""

    keys: list[Jwk]


# answers to operators


class WhoAmI(Model):
    """The token that asked."""

    id: str
    name: str
    scopes: list[Annotated[Scope, Field(strict=False)]]
    created_at: Instant
    expires_at: Instant


class PolicySummary(Model):
    """One version of a policy."""

    name: str
    version: int
    sha256: Sha256
    state: Annotated[PolicyState, Field(strict=False)]
    added_at: Instant
    added_by: str


class PolicyList(Model):
    """Every version of every policy, by name and version."""

    policies: list[PolicySummary]


class CertificateSummary(Model):
    """One line of a search. `certificate_sha256` is null for an intent without certificate."""

    serial: Serial
    outcome: Annotated[Outcome, Field(strict=False)]
    issuer_key_id: KeyId
    not_before: Instant
    not_after: Instant
    names: list[Name]
    profile: str
    tee: str
    tcb_status: str
    policy: PolicyName | None
    decided_at: Instant
    certificate_sha256: Sha256 | None


class CertificatePage(Model):
    """A page of a search; `next` is the `after` of the following one, null at the end."""

    certificates: list[CertificateSummary]
    next: Serial | None


class CertificateExport(Model):
    """The whole of a search."""

    certificates: list[CertificateSummary]


class HandleAnswer(Model):
    """Something that a revocation can name."""

    kind: str
    handle: Sha256


class EvidenceDigest(Model):
    """One piece of evidence on record."""

    kind: str
    sha256: Sha256
    size: int


class DecisionAnswer(Model):
    """A decision with everything but the blobs. `result`: the whole appraisal, or the verifier's reason."""

    decided_at: Instant
    profile: str
    tee: str
    tcb_status: str
    policy: PolicyName | None
    nonce: Nonce
    request_sha256: Sha256
    key_sha256: Sha256 = Field(description="SHA-256 of the key's SubjectPublicKeyInfo.")
    anchors_sha256: Sha256
    evidence: list[EvidenceDigest]
    collateral_sha256: list[Sha256]
    result: JsonValue


class RevocationAnswer(Model):
    """One revocation. `subject`: what was named, in words; of hardware, what kind of id it was."""

    id: int
    kind: Kind
    handle: Sha256
    subject: str
    revoked_at: Instant
    reason: Because
    actor: str
    note: str


class RevokedAnswer(RevocationAnswer):
    """What is on record after a revocation. `again`: it was there before, and nothing changed."""

    again: bool


class RevocationPage(Model):
    """Newest first; `next` is the `before` of the following page, null at the end."""

    revocations: list[RevocationAnswer]
    next: int | None


class DependentAnswer(Model):
    """One certificate that a revocation takes, or an intent without certificate."""

    serial: Serial
    outcome: Annotated[Outcome, Field(strict=False)]
    not_after: Instant
    names: list[Name]


class PreviewAnswer(Model):
    """What a revocation takes. `known`: whether any certificate on record, expired or not, depended on it."""

    kind: Kind
    handle: Sha256
    subject: str
    known: bool
    count: int = Field(description="Unexpired certificates that depend on it.")
    certificates: list[DependentAnswer] = Field(description="The last of them to expire, 20.")
    revoked: RevocationAnswer | None


class CertificateDetail(Model):
    """Everything on record about one serial number. `revocations`: those that take it."""

    summary: CertificateSummary
    certificate: Pem | None
    handles: list[HandleAnswer]
    revocations: list[RevocationAnswer]
    decision: DecisionAnswer


class RecordedRefusal(Model):
    """A refusal of authentic evidence."""

    id: int
    decision: DecisionAnswer


class RecordedRefusals(Model):
    """Newest first; `next` is the `before` of the following page, null at the end."""

    kind: Literal["recorded"]
    refusals: list[RecordedRefusal]
    next: int | None


class SampledRefusalAnswer(Model):
    """A refusal of which nothing is on record."""

    at: Instant
    code: str
    detail: str
    address_prefix: str


class SampledRefusals(Model):
    """A sample of this process's memory, newest first."""

    kind: Literal["sampled"]
    refusals: list[SampledRefusalAnswer]


class RefusalsAnswer(RootModel[RecordedRefusals | SampledRefusals]):
    """The one or the other, by `kind`."""


class ActionAnswer(Model):
    """One line of the operators' log."""

    done_at: Instant
    actor: str
    action: str
    target: str
    detail: JsonValue


class ActionList(Model):
    """Newest first; `next` is the `before` of the following page, null at the end."""

    actions: list[ActionAnswer]
    next: Instant | None
