# SPDX-License-Identifier: Apache-2.0
"""Reference entries, or a whole first policy, out of verified claims of machines that are trusted now.

What is captured is what those machines ran at that moment, good or bad: capture tells releases apart, it does not judge
them. Claims of several machines give one entry per distinct set of values, never a mix.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, assert_never

from policies.loader import load_policy
from policies.registers import MUST_PIN, Register, read
from verifiers.snp.claims import TCB_COMPONENTS, SnpClaims
from verifiers.tdx.claims import TdxClaims

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from verifiers.claims import Claims
    from verifiers.snp.claims import TcbVersion


def capture_entries(
    claims: Sequence[Claims],
    *,
    entry_id: str,
    added: datetime,
    note: str = "",
    registers: Sequence[Register] | None = None,
) -> str:
    """YAML text of the entries, a list to paste below a name in `reference_sets` (indented by four spaces).

    The second and further distinct machines get "-2", "-3" behind the id. `source.sha256` is the evidence's. Registers
    are those that must be pinned, if none are given. Raises ValueError where a register is not reported, no claims are
    given, or not all of one technology and provider; PolicyError for an id that is none.
    """
    text = _entries(claims, entry_id, added, note, registers)
    load_policy(_text(claims, "captured", text).encode())  # what we print, we can read
    return text


def capture_policy(
    claims: Sequence[Claims],
    *,
    name: str,
    entry_id: str,
    added: datetime,
    note: str = "",
    registers: Sequence[Register] | None = None,
) -> str:
    """YAML text of a whole strict policy around `capture_entries`, ready to load.

    Lint has no errors on it if `registers` holds all that must be pinned. Raises as `capture_entries`.
    """
    entries = _entries(claims, entry_id, added, note, registers)
    text = _text(claims, json.dumps(name), entries)
    load_policy(text.encode())
    return text


def _entries(
    claims: Sequence[Claims],
    entry_id: str,
    added: datetime,
    note: str,
    registers: Sequence[Register] | None,
) -> str:
    kinds = {(one.tee, one.provider) for one in claims}
    if not kinds:
        raise ValueError("nothing to capture from")
    if len(kinds) > 1:
        raise ValueError("evidence of several technologies or providers; capture one by one")
    chosen = MUST_PIN[kinds.pop()] if registers is None else registers
    return "".join(f"{line}\n" for line in _lines(claims, entry_id, added, note, chosen))


def _lines(
    claims: Sequence[Claims],
    entry_id: str,
    added: datetime,
    note: str,
    registers: Sequence[Register],
) -> Iterator[str]:
    distinct: dict[tuple[bytes, ...], Claims] = {}
    for one in claims:
        distinct.setdefault(tuple(_value(one, register) for register in registers), one)
    for number, (values, one) in enumerate(distinct.items(), start=1):
        yield f"    - id: {json.dumps(entry_id if number == 1 else f'{entry_id}-{number}')}"
        yield "      values:"
        for register, value in zip(registers, values, strict=True):
            empty = "" if any(value) else "  # all zero: nothing was measured into it"
            yield f'        {register}: "{value.hex()}"{empty}'
        yield f"      added: {added.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        if note:
            yield f"      note: {json.dumps(note)}"
        yield f'      source: {{kind: capture, sha256: "{one.evidence_sha256.hex()}"}}'


def _value(claims: Claims, register: Register) -> bytes:
    value = read(claims, register)
    if value is None:
        raise ValueError(f"the evidence does not report {register}")
    return value


def _text(claims: Sequence[Claims], name: str, entries: str) -> str:
    """A whole policy around the entries. `name` is YAML text."""
    return _POLICY.format(name=name, tee=claims[0].tee, entries=entries, **_own(claims))


def _own(claims: Sequence[Claims]) -> dict[str, str]:
    """What differs between technologies."""
    first = claims[0]
    match first:
        case TdxClaims():
            return {"match": "{tee: tdx}", "rules": "", "variable": "mr_td_32"}
        case SnpClaims():
            return {
                "match": f"{{tee: snp, provider: {first.provider}}}",
                "rules": _snp_tcb(claims),
                "variable": "measurement_32",
            }
        case _:
            assert_never(first)


def _snp_tcb(claims: Sequence[Claims]) -> str:
    """The lowest TCB that the machines of each CPU model showed, as a floor."""
    floors: dict[str, dict[str, list[TcbVersion]]] = {}
    for one in claims:
        if isinstance(one, SnpClaims) and one.cpu is not None:
            model = floors.setdefault(str(one.cpu), {"reported": [], "launch": []})
            model["reported"].append(one.reported_tcb)
            model["launch"].append(one.launch_tcb)
    if not floors:
        return "  tcb:\n    no_floor: the reports name no CPU model that a floor could be about\n"
    text = (
        "  tcb:  # at least what these machines have; raise it with AMD's bulletins\n    minimum:\n"
    )
    for model_name, tcbs in sorted(floors.items()):
        text += f'      "{model_name}":\n'
        text += "".join(f"        {field}: {_lowest(seen)}\n" for field, seen in tcbs.items())
    return text


def _lowest(seen: Sequence[TcbVersion]) -> str:
    numbers = {part: [getattr(tcb, part) for tcb in seen] for part in TCB_COMPONENTS}
    parts = (f"{part}: {min(all_)}" for part, all_ in numbers.items() if None not in all_)
    return f"{{{', '.join(parts)}}}"


_POLICY = """\
# Made from captured evidence: it accepts exactly what those machines ran. All that it does not say is strict; the
# commented default policy tells what can be said.

name: {name}
version: 1
match: {match}

reference_sets:
  release:
{entries}
{tee}:
  measurements: [release]
{rules}
issue:
  profile: default
  lifetime: 24h
  san:
    uri: ["spiffe://example.org/{tee}/{{{variable}}}"]
  shared_name: the name says which firmware was booted, not which machine or deployment it is
"""
