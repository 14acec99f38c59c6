# SPDX-License-Identifier: Apache-2.0
"""Names that a policy grants: templates over verified claims, rendered and checked character by character.

A template is text with variables in braces from the closed list of the policy's technology; nothing an attester says of
itself reaches a name. What is rendered must be a plain DNS name or SPIFFE id, whole: no wildcard, no IDN form, no upper
case, no trailing dot, no empty or dotted path segment, no percent sign, query or port.

Variables
    {policy}         name of the policy            {tee}  "tdx", "snp"     {provider}  "direct", "azure", "google"
    {fmspc}          TDX: 12 digits                {product}  SNP: "milan", "genoa", "turin"
    {mr_td} …        any register of the technology in hexadecimal digits; {mr_td_16} and {mr_td_32} are its first ones
Only mr_config_id, mr_owner, mr_owner_config and host_data tell deployments of one public image apart; an all-zero one
tells nothing, so a name is refused over it. Their bytes are chosen by whoever starts the guest: prefer `_32` or the
whole value where a shortened one could be matched on purpose. There is no variable for a hardware id, because
certificates are public.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from policies.errors import NameRefused
from policies.registers import INSTANCE, Register, read
from verifiers.evidence import Tee
from verifiers.snp.claims import SnpClaims
from verifiers.tdx.claims import TdxClaims

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from policies.document import PolicyDocument
    from verifiers.claims import Claims

MAX_NAMES = 16  # in one certificate

_LABEL = frozenset(string.ascii_lowercase + string.digits + "-")
_TRUST_DOMAIN = frozenset(string.ascii_lowercase + string.digits + "-._")
_SEGMENT = frozenset(string.ascii_letters + string.digits + "-._")
_SCHEME = "spiffe://"
_SHORT = (16, 32)

_Reader: TypeAlias = "Callable[[str, Claims], str]"


class NameKind(StrEnum):
    """Kinds of subject alternative name."""

    DNS = "dns"
    URI = "uri"


@dataclass(frozen=True, slots=True)
class Names:
    """The subject alternative names of one certificate, checked, in the order of the templates."""

    dns: tuple[str, ...]
    uri: tuple[str, ...]


def _register(register: Register, digits: int) -> _Reader:
    def value(_policy: str, claims: Claims) -> str:
        data = read(claims, register)
        if data is None or (register in INSTANCE and not any(data)):
            raise ValueError(f"{register} is all zero or not reported")
        return data.hex()[:digits]

    return value


def _fmspc(_policy: str, claims: Claims) -> str:
    if not isinstance(claims, TdxClaims):
        raise ValueError("fmspc is not reported")  # noqa: TRY004  as any other value that is not
    return claims.pck.fmspc.hex()


def _product(_policy: str, claims: Claims) -> str:
    if not isinstance(claims, SnpClaims):
        raise ValueError("product is not reported")  # noqa: TRY004  as any other value that is not
    return claims.product.lower()


def _variables(tee: Tee, own: Mapping[str, _Reader]) -> dict[str, _Reader]:
    table: dict[str, _Reader] = {
        "policy": lambda policy, _: policy,
        "tee": lambda _, claims: claims.tee.value,
        "provider": lambda _, claims: claims.provider.value,
        **own,
    }
    for register in (one for one in Register if one.is_of(tee)):
        table[register.value] = _register(register, 2 * register.length)
        table |= {f"{register}_{digits}": _register(register, digits) for digits in _SHORT}
    return table


VARIABLES: dict[Tee, dict[str, _Reader]] = {
    Tee.TDX: _variables(Tee.TDX, {"fmspc": _fmspc}),
    Tee.SNP: _variables(Tee.SNP, {"product": _product}),
}
INSTANCE_VARIABLES = frozenset(
    f"{register}{tail}" for register in INSTANCE for tail in ("", *(f"_{n}" for n in _SHORT))
)
_SAMPLES = {"provider": "direct", "fmspc": "a" * 12, "product": "genoa"}


def _split(template: str, tee: Tee) -> list[tuple[str, str | None]]:
    """Pairs of literal text and the variable behind it. ValueError for unknown variables and unbalanced braces."""
    parts: list[tuple[str, str | None]] = []
    for literal, variable, form, conversion in string.Formatter().parse(template):
        if variable is not None and (variable not in VARIABLES[tee] or form or conversion):
            other = any(variable in table for table in VARIABLES.values())
            about = f": {tee} does not report it" if other and not form and not conversion else ""
            raise ValueError(f"unknown variable {{{variable}}}{about}")
        parts.append((literal, variable))
    return parts


def variables_of(template: str, tee: Tee) -> frozenset[str]:
    """The variables that a template uses. Raises ValueError as `check_template` does."""
    return frozenset(variable for _, variable in _split(template, tee) if variable is not None)


def check_template(kind: NameKind, template: str, policy: str, tee: Tee) -> None:
    """Raise ValueError unless the template is well formed and gives a valid name for sample values."""
    samples = {**_SAMPLES, "policy": policy, "tee": tee.value}
    text = ""
    for literal, variable in _split(template, tee):
        text += literal
        if variable is not None:
            text += samples.get(variable) or "a" * _digits(variable)
    check_name(kind, text)


def _digits(variable: str) -> int:
    """How many hexadecimal digits a register's variable gives."""
    digits = variable.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 2 * Register(variable).length


def check_name(kind: NameKind, name: str) -> None:
    """Raise ValueError unless `name` is exactly one DNS name or SPIFFE id in the narrow form above."""
    if kind is NameKind.DNS:
        _check_dns(name)
    else:
        _check_spiffe(name)


def _check_dns(name: str) -> None:
    """RFC 1123 host name of two labels or more; RFC 5890 reserves "--" in the third and fourth place."""
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2:
        raise ValueError("a DNS name has two labels or more and at most 253 characters")
    for label in labels:
        if not 1 <= len(label) <= 63:
            raise ValueError("a DNS label has 1 to 63 characters")
        if not _LABEL.issuperset(label):
            raise ValueError("a DNS label has lower-case letters, digits and hyphens only")
        if label[0] == "-" or label[-1] == "-" or label[2:4] == "--":
            raise ValueError(
                "a DNS label has no hyphen at its ends, or two in its third and fourth place"
            )
    if labels[-1].isdigit():
        raise ValueError("a DNS name does not end in a number")


def _check_spiffe(uri: str) -> None:
    """SPIFFE-ID 2.1 to 2.3: trust domain of at most 255 bytes, 2048 in all, plain path segments."""
    if not uri.startswith(_SCHEME) or len(uri) > 2048:
        raise ValueError(
            "a URI name is a SPIFFE id: spiffe://trust-domain/path, at most 2048 characters"
        )
    domain, *segments = uri.removeprefix(_SCHEME).split("/")
    if not 1 <= len(domain) <= 255 or not _TRUST_DOMAIN.issuperset(domain):
        raise ValueError("a trust domain has 1 to 255 lower-case letters, digits, '.', '-' and '_'")
    if not segments:
        raise ValueError("a SPIFFE id of a workload has a path")
    for segment in segments:
        if segment in ("", ".", "..") or not _SEGMENT.issuperset(segment):
            raise ValueError(
                "a path segment has letters, digits, '.', '-' and '_', and is not '.' or '..'"
            )


def render_names(
    document: PolicyDocument, claims: Claims, reserved: frozenset[str] = frozenset()
) -> Names:
    """The names this policy grants to these claims, each once.

    Raises NameRefused: a template gives no name for these claims, or one of the service's own names (`reserved`).
    """
    san = document.issue.san
    names = Names(
        dns=_render(NameKind.DNS, san.dns, document, claims),
        uri=_render(NameKind.URI, san.uri, document, claims),
    )
    for name in names.dns:
        if name in reserved:
            raise NameRefused(
                name, "the policy grants the service's own name, which no machine gets"
            )
    return names


def _render(
    kind: NameKind, templates: Sequence[str], document: PolicyDocument, claims: Claims
) -> tuple[str, ...]:
    tee, names = document.match.tee, dict[str, None]()
    for template in templates:
        try:
            name = "".join(
                literal + (VARIABLES[tee][variable](document.name, claims) if variable else "")
                for literal, variable in _split(template, tee)
            )
            check_name(kind, name)
        except ValueError as error:
            raise NameRefused(template, str(error)) from error
        names[name] = None
    return tuple(names)
