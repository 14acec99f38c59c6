# SPDX-License-Identifier: Apache-2.0
"""`attestca verify --nras-token` without evidence: what tokens of NVIDIA's attestation service (NRAS) say, offline.

A token is good if the service, whose keys `--jwks` has, says now that devices are good. It is about whatever device has
that serial number: without evidence nothing ties it to one, and it says nothing of mode, topology or versions that are
too old. Beside evidence `ca.cli.devices` looks at it. A key set that came with the tokens is never used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - a dataclass field
from typing import TYPE_CHECKING

from ca.cli import output
from verifiers.anchors import builtin
from verifiers.claims import to_json
from verifiers.errors import Reason, Verdict, VerificationError
from verifiers.nvidia.device import nvidia_roots
from verifiers.nvidia.eat import find_answers
from verifiers.nvidia.nras import Appraisal, verify_tokens
from verifiers.nvidia.tokens import TokenIssuer

if TYPE_CHECKING:
    from ca.cli.given import Documents
    from verifiers.claims import JsonValue


@dataclass(frozen=True, slots=True)
class TokenInspection:
    """One verification; `tokens`: one of each device, none where it failed. `bound`: whether a nonce was compared."""

    verdict: Verdict
    reason: Reason | None
    detail: str
    tokens: tuple[Appraisal, ...]
    bound: bool
    checked_at: datetime


def inspect_tokens(given: Documents, now: datetime) -> TokenInspection:
    """To the end or to the first fault."""
    bound = given.nonce is not None
    try:
        roots = nvidia_roots(builtin())
        answers = [answer for file in given.tokens for answer in find_answers(file)]
        issuer = TokenIssuer(roots.nras_issuer, given.jwks, roots.nras)
        tokens = verify_tokens(answers, issuer, None, given.nonce, now)
    except VerificationError as error:
        return TokenInspection(error.reason.verdict, error.reason, error.detail, (), bound, now)
    return TokenInspection(Verdict.VERIFIED, None, "", tokens, bound, now)


def inspection_json(found: TokenInspection) -> dict[str, JsonValue]:
    """The object that `--json` prints. Names and shapes are stable."""
    reason: JsonValue = None
    if found.reason is not None:
        reason = {"code": str(found.reason), "detail": found.detail}
    return {
        "verdict": str(found.verdict),
        "reason": reason,
        "bound": found.bound,
        "tokens": [to_json(one) for one in found.tokens],
        "checked_at": to_json(found.checked_at),
    }


def show(found: TokenInspection) -> None:
    """For people."""
    facts = {"verdict": str(found.verdict)}
    if found.reason is not None:
        facts["reason"] = f"{found.reason}: {found.detail}"
    if found.tokens:
        how = "as asked for" if found.bound else "compared with none"
        facts["nonce"] = f"{found.tokens[0].nonce.hex()}, {how}"
        facts["devices"] = "by serial number of their leaf; not compared with evidence"
    output.print_facts({**facts, "judged at": found.checked_at.isoformat()})
    if found.tokens:
        output.say_blank()
        show_tokens(found.tokens)


def show_tokens(tokens: tuple[Appraisal, ...]) -> None:
    """A table of them."""
    output.print_table(
        ("device", "model", "leaf", "driver", "VBIOS", "claims", "until", "revocation"),
        (
            (
                *(
                    one.name,
                    one.hwmodel,
                    f"{one.ueid:x}",
                    one.driver_version or "",
                    one.vbios_version,
                ),
                *(one.claims.claims_version, one.claims.expires.isoformat()),
                str(one.claims.revocation),
            )
            for one in tokens
        ),
        "Accepted by NVIDIA's attestation service",
    )
