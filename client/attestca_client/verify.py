# SPDX-License-Identifier: Apache-2.0
"""`verify`: is this certificate good for use, and what does it say of the machine?

In the order of trust: the certificate, its path to the trusted root, dates and profile; AttestationInfo and the handles
that follow from it; what the caller demands; then what every given source says of revocation, and the strictest counts:
- one source that says revoked refuses, whatever others say;
- every source that was given must speak for the certificate: one that is stale, unreadable, of another authority or in
  contradiction to another leaves the certificate undecided;
- without any source nothing is decided, unless the caller says so (`no_revocation`).

No source is asked before the certificate's own signature was checked, so that nobody's certificate can cause traffic.
Every check is one line of the result (`checks.Name`). Nothing is raised: what cannot be read is a line too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from attestca_client.checks import Findings, Name, Result
from attestca_client.leaf import CertificateError, check_leaf, parse_certificates
from attestca_client.protocol import DEFAULT_OID_ARC
from attestca_client.revocation import Asking

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from attestca_client.demands import Demand
    from attestca_client.leaf import Leaf
    from attestca_client.protocol.checkpoint import Verifier
    from attestca_client.protocol.trust import Deployment, TrustBundle
    from attestca_client.rpc import Node
    from attestca_client.sources import Source

MAX_STALENESS: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Trust:
    """What the caller has beforehand.

    Attributes:
        root: the authority's, the only anchor.
        log: keys of its log, the newest first. Without one no staple can be checked.
        chain: where it anchors. Without it no node can be asked.
        moves: whether the bundle has a successor of `chain`. That is not followed before a later bundle has it there.
        oid_arc: of its object identifiers.
    """

    root: x509.Certificate
    log: tuple[Verifier, ...] = ()
    chain: Deployment | None = None
    moves: bool = False
    oid_arc: str = DEFAULT_OID_ARC

    @classmethod
    def of(cls, bundle: TrustBundle, oid_arc: str = DEFAULT_OID_ARC) -> Trust:
        """As the bundle says."""
        moves = bundle.successor is not None
        return cls(bundle.root, bundle.log, bundle.chain, moves, oid_arc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where revocation is looked for. All that are given count."""

    staple: Source | None = None
    nodes: tuple[Node, ...] = ()
    crls: tuple[Source, ...] = ()

    def __str__(self) -> str:
        """How many of each; empty where there is none."""
        counts = {
            "staple": int(self.staple is not None),
            "nodes": len(self.nodes),
            "lists": len(self.crls),
        }
        return ", ".join(f"{what} ({count})" for what, count in counts.items() if count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is accepted.

    Attributes:
        demands: of `demands.parse_demands`.
        max_staleness: how old a checkpoint, the final block and an anchored head may be. Lists have dates of their own.
        allow_simulated: accept a machine that proves nothing. no_revocation: accept without any source.
    """

    demands: tuple[Demand, ...] = ()
    max_staleness: timedelta = MAX_STALENESS
    allow_simulated: bool = False
    no_revocation: bool = False


_USUAL: Final = Rules()


def verify(
    certificate: bytes,
    trust: Trust,
    sources: Sources,
    *,
    at: datetime,
    intermediates: bytes = b"",
    rules: Rules = _USUAL,
) -> Result:
    """Check one certificate.

    Args:
        certificate: PEM or DER; in PEM the issuing CA's may follow.
        trust: the authority.
        sources: where revocation is looked for.
        at: the time, timezone-aware. Sources are held against it too.
        intermediates: the issuing CA's certificate, PEM or DER, where it does not follow; others in it do no harm.
        rules: what is accepted.
    """
    findings = Findings()
    try:
        own, *others = parse_certificates(certificate)
        others += parse_certificates(intermediates) if intermediates else []
    except CertificateError as error:
        findings.undecided(Name.CERTIFICATE, str(error))
        return Result(tuple(findings.checks), None)
    findings.passed(Name.CERTIFICATE, f"serial {own.serial_number:x}")
    leaf = check_leaf(own, others, trust.root, at, findings, trust.oid_arc)
    if leaf is None:
        return Result(tuple(findings.checks), None)
    _judge(leaf, rules, findings)
    if str(sources):
        findings.passed(Name.REVOCATION, str(sources))
        Asking(leaf, trust, sources, rules.max_staleness, at, findings).run()
    else:
        findings.rely(Name.REVOCATION, "no source was given", holds=rules.no_revocation)
    return Result(tuple(findings.checks), leaf.info)


def _judge(leaf: Leaf, rules: Rules, findings: Findings) -> None:
    genuine = leaf.info.assurance == "verified"
    findings.expect(Name.ASSURANCE, leaf.info.assurance, holds=genuine or rules.allow_simulated)
    for demand in rules.demands:
        demand.check(leaf.info, findings)
