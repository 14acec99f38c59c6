# SPDX-License-Identifier: Apache-2.0
"""Reference entries, or a whole first policy, out of verified claims of machines that are trusted now.

What is captured is what those machines ran at that moment, good or bad: capture tells releases apart, it does not judge
them. Claims of several machines give one entry per distinct set of values, never a mix.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Final, assert_never

from policies.boot_text import labels, named
from policies.loader import load_policy
from policies.registers import MUST_PIN, Register, read
from verifiers.eventlog import events
from verifiers.evidence import Provider
from verifiers.snp.claims import TCB_COMPONENTS, SnpClaims
from verifiers.tdx.claims import TdxClaims

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from verifiers.claims import Claims
    from verifiers.eventlog.judged import Boot
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


def capture_policy(  # noqa: PLR0913  what stands in a policy
    claims: Sequence[Claims],
    *,
    name: str,
    entry_id: str,
    added: datetime,
    note: str = "",
    registers: Sequence[Register] | None = None,
    boots: Sequence[Boot | None] = (),
) -> str:
    """YAML text of a whole strict policy around `capture_entries`, ready to load.

    `boots`: the event logs of each machine, in the order of the claims; they become reference logs. Lint has no errors
    on the text if `registers` holds all that must be pinned. Raises as `capture_entries`.
    """
    entries = _entries(claims, entry_id, added, note, registers)
    logs = _logs(claims, boots, entry_id, _chosen(claims, registers))
    text = _text(claims, json.dumps(name), entries)
    text += f"\nboot:  # what differs from these is told event by event\n{logs}" if logs else ""
    load_policy(text.encode())
    return text


def capture_logs(
    claims: Sequence[Claims],
    boots: Sequence[Boot | None],
    *,
    entry_id: str,
    registers: Sequence[Register] | None = None,
) -> str:
    """YAML text of `reference_logs`, to paste below `boot:`: the event lists of those registers that logs explain.

    Each has the id of its machine's entry in `capture_entries`, whose arguments these are. Raises ValueError as that
    does, and where no log explains one of the registers; PolicyError for an id that is none.
    """
    logs = _logs(claims, boots, entry_id, _chosen(claims, registers))
    if not logs:
        raise ValueError("no event log explains one of the registers")
    entries = _entries(claims, entry_id, claims[0].verified_at, "", registers)
    load_policy((_text(claims, "captured", entries) + f"\nboot:\n{logs}").encode())
    return logs


def _entries(
    claims: Sequence[Claims],
    entry_id: str,
    added: datetime,
    note: str,
    registers: Sequence[Register] | None,
) -> str:
    chosen = _chosen(claims, registers)
    return "".join(f"{line}\n" for line in _lines(claims, entry_id, added, note, chosen))


def _chosen(claims: Sequence[Claims], registers: Sequence[Register] | None) -> Sequence[Register]:
    kinds = {(one.tee, one.provider) for one in claims}
    if not kinds:
        raise ValueError("nothing to capture from")
    if len(kinds) > 1:
        raise ValueError("evidence of several technologies or providers; capture one by one")
    return MUST_PIN[kinds.pop()] if registers is None else registers


def _distinct(
    claims: Sequence[Claims], registers: Sequence[Register], entry_id: str
) -> Mapping[tuple[bytes, ...], tuple[str, int]]:
    """By the values of the registers: the id of the entry, and the number of the first machine that has them."""
    found: dict[tuple[bytes, ...], tuple[str, int]] = {}
    for place, one in enumerate(claims):
        number = len(found) + 1
        name = entry_id if number == 1 else f"{entry_id}-{number}"
        found.setdefault(tuple(_value(one, register) for register in registers), (name, place))
    return found


def _logs(
    claims: Sequence[Claims],
    boots: Sequence[Boot | None],
    entry_id: str,
    registers: Sequence[Register],
) -> str:
    wanted = [_EXTENDED[one.value] for one in registers if one.value in _EXTENDED]
    text = ""
    for name, place in _distinct(claims, registers, entry_id).values():
        boot = boots[place] if place < len(boots) else None
        told = "".join(_events(boot, register) for register in wanted) if boot is not None else ""
        text += f"    {json.dumps(name)}:\n{told}" if told else ""
    return f"  reference_logs:\n{text}" if text else ""


def _events(boot: Boot, register: events.Register) -> str:
    known = labels(boot.claims)
    lines = (
        f'        - {{digest: "{one.digest.hex()}", label: {json.dumps(named(one, known))}}}\n'
        for one in boot.claims.events
        if one.origin.register == register
    )
    text = "".join(lines)
    return f"      {register}:\n{text}" if text else ""


_EXTENDED: Final = {one.value: one for one in (*events.RTMRS, *events.PCRS)}


def _lines(
    claims: Sequence[Claims],
    entry_id: str,
    added: datetime,
    note: str,
    registers: Sequence[Register],
) -> Iterator[str]:
    for values, (name, place) in _distinct(claims, registers, entry_id).items():
        one = claims[place]
        yield f"    - id: {json.dumps(name)}"
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
    own = {"google": _google(claims), **_own(claims)}
    return _POLICY.format(name=name, tee=claims[0].tee, entries=entries, **own)


def _google(claims: Sequence[Claims]) -> str:
    """The section `google`: the projects whose VMs these are, by Google's word."""
    vms = [one.gce for one in claims if one.gce is not None]
    if not vms:
        return ""
    projects = sorted({vm.project_id for vm in vms})
    instances = sorted({vm.instance_id for vm in vms})
    return _GOOGLE.format(projects=json.dumps(projects), instances=json.dumps(instances))


def _own(claims: Sequence[Claims]) -> dict[str, str]:
    """What differs between technologies."""
    first = claims[0]
    match first:
        case TdxClaims():
            own = {"rules": "", "variable": "mr_td_32"}
            if first.provider is Provider.DIRECT:
                return {"match": "{tee: tdx}", "relax": "", **own}
            relax = _SEPT_VE if first.provider is Provider.AZURE else ""
            return {"match": f"{{tee: tdx, provider: {first.provider}}}", "relax": relax, **own}
        case SnpClaims():
            return {
                "match": f"{{tee: snp, provider: {first.provider}}}",
                "rules": _snp_tcb(claims),
                "relax": "",
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


_SEPT_VE = """\

relax:
  sept-ve-disable-clear: the paravisor of Azure starts its TDs so, and handles what the host takes away
"""

_GOOGLE = """\

google:  # any VM of these projects can lend its vTPM to another machine; with instances none but these can
  projects: {projects}
  # instances: {instances}
"""

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
{rules}{google}{relax}
issue:
  profile: default
  lifetime: 24h
  san:
    uri: ["spiffe://example.org/{tee}/{{{variable}}}"]
  shared_name: the name says which firmware was booted, not which machine or deployment it is
"""
