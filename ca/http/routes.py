# SPDX-License-Identifier: Apache-2.0
"""THE table of routes. Both applications and the API description are built from it; there is no other way in.

`may_sign` marks what can end in a signature. A route of the operators' listener needs a token (`access`), unless it is
one that both listeners have. Order matters where two templates fit one path: the first wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import TYPE_CHECKING, Final, TypeAlias

from ca.http import admin, export, handlers, log, ocsp, revocations, status
from ca.http.metrics import CONTENT_TYPE as METRICS
from ca.http.queries import (
    ActionQuery,
    CertificateSearch,
    ExportQuery,
    FeedQuery,
    RefusalQuery,
    RevocationQuery,
)
from ca.http.schema import (
    ActionList,
    CertificateAnswer,
    CertificateDetail,
    CertificateExport,
    CertificatePage,
    CrlList,
    EnrollmentAnswer,
    EnrollmentBody,
    FeedPage,
    JwksAnswer,
    LogProofAnswer,
    NonceAnswer,
    PolicyList,
    PolicySummary,
    PreviewAnswer,
    PreviewBody,
    ReadyAnswer,
    RefusalsAnswer,
    RevocationBody,
    RevocationPage,
    RevokedAnswer,
    StapleAnswer,
    StatusAnswer,
    WhoAmI,
)
from ca.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web
    from pydantic import BaseModel

    Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON: Final = "application/json"
_IMMUTABLE: Final = "public, max-age=86400"
_MINUTES: Final = "public, max-age=300"
_SECONDS: Final = "public, max-age=30"


class On(Flag):
    """Which listeners have a route."""

    PUBLIC = auto()
    ADMIN = auto()
    BOTH = PUBLIC | ADMIN


class Access(Enum):
    """Who may use a route that needs no particular scope."""

    ANYBODY = "anybody"
    ANY_TOKEN = "any token"  # noqa: S105 - no password


@dataclass(frozen=True, slots=True)
class Content:
    """One body: its media type and, where it is JSON, the model it follows."""

    media_type: str
    model: type[BaseModel] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of the table.

    Attributes:
        name: unique, for the API description. access: anybody, any token, or the scope that the token must have.
        may_sign: whether it can end in a signature.
        bodies: what is accepted; one of them. answers: by status; errors are problem documents and not listed.
        query: the model whose fields are the query parameters.
        cache: Cache-Control of a good answer. limited: takes from the caller's bucket.
        tail: whether the last variable takes all that is left of the path, slashes too.
    """

    method: str
    path: str
    name: str
    handler: Handler
    summary: str
    answers: Mapping[int, tuple[Content, ...]]
    on: On = On.PUBLIC
    access: Access | Scope = Access.ANYBODY
    may_sign: bool = False
    bodies: tuple[Content, ...] = ()
    query: type[BaseModel] | None = None
    cache: str = "no-store"
    limited: bool = True
    tail: bool = False


def _json(model: type[BaseModel], status: int = 200) -> dict[int, tuple[Content, ...]]:
    return {status: (Content(JSON, model),)}


def _raw(media_type: str) -> dict[int, tuple[Content, ...]]:
    return {200: (Content(media_type),)}


_PUBLIC: Final = (
    Route(
        method="GET",
        path="/v1/nonce",
        name="nonce",
        handler=handlers.new_nonce,
        summary="A fresh nonce for one enrollment",
        answers=_json(NonceAnswer),
    ),
    Route(
        method="POST",
        path="/v1/enrollments",
        name="enroll",
        handler=handlers.enroll,
        summary="Evidence and a key in, a certificate out",
        bodies=(Content(JSON, EnrollmentBody),),
        answers=_json(EnrollmentAnswer, 201) | _json(EnrollmentAnswer, 200),
        may_sign=True,
    ),
    Route(
        method="GET",
        path="/v1/ca/chain",
        name="chain",
        handler=handlers.chain,
        summary="The issuing CA certificate in force, then the root",
        answers=_raw("application/pem-certificate-chain"),
        cache=_MINUTES,
    ),
    Route(
        method="GET",
        path="/v1/trust",
        name="trust",
        handler=handlers.trust,
        summary="The newest trust bundle of relying parties, signed by the root",
        answers=_raw(handlers.DSSE),
        cache=_MINUTES,
    ),
    Route(
        method="GET",
        path="/v1/certificates/{serial}",
        name="certificate",
        handler=handlers.certificate,
        summary="What is on record about an issued certificate",
        answers=_json(CertificateAnswer),
        cache=_IMMUTABLE,
    ),
    Route(
        method="GET",
        path="/v1/certificates/{serial}/ear",
        name="ear",
        handler=handlers.ear,
        summary="The signed attestation result behind a certificate",
        answers=_raw("application/eat+jwt"),
        cache=_IMMUTABLE,
    ),
    Route(
        method="GET",
        path="/v1/ca/{issuer_key_id}.cer",
        name="issuing-ca",
        handler=handlers.issuing_ca,
        summary="The certificate of one issuing CA, in force or not (DER)",
        answers=_raw("application/pkix-cert"),
        cache=_IMMUTABLE,
    ),
    Route(
        method="GET",
        path="/v1/ocsp/{request}",
        name="ocsp",
        handler=ocsp.asked_in_path,
        summary="The status of certificates (RFC 6960); the request in base64",
        answers=_raw(ocsp.RESPONSE),
        may_sign=True,
        tail=True,
    ),
    Route(
        method="POST",
        path="/v1/ocsp",
        name="ask-ocsp",
        handler=ocsp.asked_in_body,
        summary="The status of certificates (RFC 6960)",
        bodies=(Content(ocsp.REQUEST),),
        answers=_raw(ocsp.RESPONSE),
        may_sign=True,
    ),
    Route(
        method="GET",
        path="/v1/crl/{issuer_key_id}.crl",
        name="root-crl",
        handler=handlers.root_crl,
        summary="The newest CRL of the root",
        answers=_raw("application/pkix-crl"),
        cache=_MINUTES,
    ),
    Route(
        method="GET",
        path="/v1/crl/{issuer_key_id}/{day}.crl",
        name="crl",
        handler=handlers.crl,
        summary="The newest CRL of one issuing CA's certificates that end on one day (UTC)",
        answers=_raw("application/pkix-crl"),
        cache=_MINUTES,
    ),
    Route(
        method="GET",
        path="/v1/revocations",
        name="revocation-feed",
        handler=revocations.feed,
        summary="What is revoked, by handle, oldest first; a full page never changes",
        query=FeedQuery,
        answers=_json(FeedPage),
        cache=_SECONDS,
    ),
    Route(
        method="GET",
        path="/v1/certificates/{serial}/proof",
        name="log-proof",
        handler=log.proof,
        summary="That the issuance of a certificate is in the public log",
        answers=_json(LogProofAnswer),
    ),
    Route(
        method="GET",
        path="/v1/status/{serial}",
        name="staple",
        handler=status.staple,
        summary="That a certificate was logged and which of its handles are revoked, with proofs",
        answers=_json(StapleAnswer),
        cache=status.SECONDS,
    ),
    Route(
        method="GET",
        path="/v1/crls",
        name="crls",
        handler=status.lists,
        summary="Every list of revoked certificates that is served now",
        answers=_json(CrlList),
        cache=status.SECONDS,
    ),
    Route(
        method="GET",
        path="/log/checkpoint",
        name="log-checkpoint",
        handler=log.checkpoint,
        summary="The newest checkpoint of the public log, a signed note",
        answers=_raw(log.NOTE),
        cache=log.SECONDS,
    ),
    Route(
        method="GET",
        path="/log/tile/{tile}",
        name="log-tile",
        handler=log.tile,
        summary="Hashes or entries of the public log, as C2SP tlog-tiles has them",
        answers=_raw(log.TILE),
        cache=log.FOR_EVER,
        tail=True,
    ),
    Route(
        method="GET",
        path="/log/{number}/checkpoint",
        name="later-log-checkpoint",
        handler=log.checkpoint,
        summary="The newest checkpoint, where the key with this number signs",
        answers=_raw(log.NOTE),
        cache=log.SECONDS,
    ),
    Route(
        method="GET",
        path="/log/{number}/tile/{tile}",
        name="later-log-tile",
        handler=log.tile,
        summary="Hashes or entries, likewise",
        answers=_raw(log.TILE),
        cache=log.FOR_EVER,
        tail=True,
    ),
    Route(
        method="GET",
        path="/.well-known/jwks.json",
        name="jwks",
        handler=handlers.jwks,
        summary="The keys that sign attestation results",
        answers={200: (Content("application/jwk-set+json", JwksAnswer),)},
        cache=_MINUTES,
    ),
    Route(
        method="GET",
        path="/readyz",
        name="ready",
        handler=handlers.ready,
        summary="Whether the service can do its work",
        answers=_json(ReadyAnswer),
        limited=False,
    ),
    Route(
        method="GET",
        path="/openapi.json",
        name="openapi",
        handler=handlers.document,
        summary="This description",
        answers=_raw(JSON),
        cache=_MINUTES,
    ),
    Route(
        method="GET",
        path="/healthz",
        name="alive",
        handler=handlers.alive,
        summary="Whether the process answers",
        answers=_json(StatusAnswer),
        on=On.BOTH,
        limited=False,
    ),
    Route(
        method="GET",
        path="/metrics",
        name="metrics",
        handler=handlers.exposition,
        summary="Counters for Prometheus",
        answers=_raw(METRICS),
        on=On.BOTH,
    ),
)

_OPERATORS: Final = (
    Route(
        method="GET",
        path="/v1/admin/whoami",
        name="whoami",
        handler=admin.whoami,
        summary="The token that asks",
        answers=_json(WhoAmI),
        on=On.ADMIN,
        access=Access.ANY_TOKEN,
    ),
    Route(
        method="GET",
        path="/v1/admin/policies",
        name="policies",
        handler=admin.list_policies,
        summary="Every version of every policy",
        answers=_json(PolicyList),
        on=On.ADMIN,
        access=Scope.POLICIES_READ,
    ),
    Route(
        method="POST",
        path="/v1/admin/policies",
        name="add-policy",
        handler=admin.add_policy,
        summary="Keep one more version of a policy, as a draft",
        bodies=tuple(Content(media_type) for media_type in admin.POLICY_TYPES),
        answers=_json(PolicySummary, 201),
        on=On.ADMIN,
        access=Scope.POLICIES_WRITE,
    ),
    Route(
        method="GET",
        path="/v1/admin/policies/{name}/{version}",
        name="policy",
        handler=admin.policy_text,
        summary="The text of one version, byte for byte",
        answers=_raw("application/yaml"),
        on=On.ADMIN,
        access=Scope.POLICIES_READ,
    ),
    Route(
        method="POST",
        path="/v1/admin/policies/{name}/{version}/activate",
        name="activate-policy",
        handler=admin.activate_policy,
        summary="Put one version into force; the one before is retired",
        answers=_json(PolicySummary),
        on=On.ADMIN,
        access=Scope.POLICIES_WRITE,
    ),
    Route(
        method="POST",
        path="/v1/admin/policies/{name}/{version}/retire",
        name="retire-policy",
        handler=admin.retire_policy,
        summary="Take one version out of force",
        answers=_json(PolicySummary),
        on=On.ADMIN,
        access=Scope.POLICIES_WRITE,
    ),
    Route(
        method="GET",
        path="/v1/admin/certificates",
        name="certificates",
        handler=admin.search_certificates,
        summary="A page of certificates",
        query=CertificateSearch,
        answers=_json(CertificatePage),
        on=On.ADMIN,
        access=Scope.CERTIFICATES_READ,
    ),
    Route(
        method="GET",
        path="/v1/admin/certificates/export",
        name="export-certificates",
        handler=export.export_certificates,
        summary="All certificates that a search finds, as a stream",
        query=ExportQuery,
        answers={200: (Content(JSON, CertificateExport), Content("text/csv"))},
        on=On.ADMIN,
        access=Scope.CERTIFICATES_READ,
    ),
    Route(
        method="GET",
        path="/v1/admin/certificates/{serial}",
        name="show-certificate",
        handler=admin.show_certificate,
        summary="Everything on record about one serial number",
        answers=_json(CertificateDetail),
        on=On.ADMIN,
        access=Scope.CERTIFICATES_READ,
    ),
    Route(
        method="GET",
        path="/v1/admin/refusals",
        name="refusals",
        handler=admin.list_refusals,
        summary="Refusals with all findings, or a sample of those not on record",
        query=RefusalQuery,
        answers={200: (Content(JSON, RefusalsAnswer),)},
        on=On.ADMIN,
        access=Scope.REFUSALS_READ,
    ),
    Route(
        method="GET",
        path="/v1/admin/revocations",
        name="revocations",
        handler=revocations.list_revocations,
        summary="What is revoked, by whom and why, newest first",
        query=RevocationQuery,
        answers=_json(RevocationPage),
        on=On.ADMIN,
        access=Scope.REVOCATIONS_READ,
    ),
    Route(
        method="POST",
        path="/v1/admin/revocations",
        name="revoke",
        handler=revocations.revoke,
        summary="Revoke a handle, and all that depends on it: at once, for good",
        bodies=(Content(JSON, RevocationBody),),
        answers=_json(RevokedAnswer, 201) | _json(RevokedAnswer, 200),
        on=On.ADMIN,
        access=Scope.REVOCATIONS_WRITE,
    ),
    Route(
        method="POST",
        path="/v1/admin/revocations/preview",
        name="preview-revocation",
        handler=revocations.preview,
        summary="What a revocation would take; changes nothing",
        bodies=(Content(JSON, PreviewBody),),
        answers=_json(PreviewAnswer),
        on=On.ADMIN,
        access=Scope.REVOCATIONS_READ,
    ),
    Route(
        method="GET",
        path="/v1/admin/actions",
        name="actions",
        handler=admin.list_actions,
        summary="What operators did, newest first",
        query=ActionQuery,
        answers=_json(ActionList),
        on=On.ADMIN,
        access=Scope.AUDIT_READ,
    ),
)

ROUTES: Final[tuple[Route, ...]] = (*_PUBLIC, *_OPERATORS)
