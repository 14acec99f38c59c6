# SPDX-License-Identifier: Apache-2.0
"""Rules over what the host chose at launch, and what a field that differs from its reference value holds, explained.

The CPU signs these fields and the host fills them in: a host can start any system with the words of a good one. They
are true where the system holds to them, so that it has to be pinned beside them. Where a log tells of dstack's
application as well, the two must not contradict each other, whichever of them the policy asks for.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from policies.boot_text import several
from policies.case import names_of, passed
from policies.measurements import differing, unmatched
from policies.registers import INSTANCE, Register, read
from policies.result import Finding, RuleResult
from policies.rules import RuleId
from verifiers.eventlog.launch import Agreement, Form, Held, LaunchField, compare
from verifiers.evidence import Provider, Tee

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from policies.boot_application_document import DstackRules
    from policies.case import Case
    from policies.document import ReferenceEntry
    from verifiers.eventlog.claims import DstackIdentity

_NO_HASH: Final = bytes(32)  # PCR 8 before its first event
_OF_A_GUEST: Final = (
    "another launch digest: other firmware (OVMF), number or model of virtual CPUs, guest features or VMM, or with"
    " kernel-hashes=on another kernel, initial file system or command line; `attestca refvalues compute snp`"
    " calculates it"
)
_OF_A_PARAVISOR: Final = "another launch digest: the cloud starts another version of its paravisor"


def said(held: Held) -> str:
    """What a field holds, as a sentence without its end."""
    return f"{held.field.vendor_name} {'is' if held.form is Form.ZERO else 'holds'} {held.text}"


# Confidential Containers


def check_init_data(case: Case) -> Iterator[Finding]:
    """`init-data`: what the host handed over at launch is one of the policy's, by the register that has its hash."""
    rules = case.document.boot
    if rules is None or rules.coco is None or rules.coco.init_data is None:
        return
    register = init_data_register(case.claims.tee, case.claims.provider)
    value = read(case.claims, register)
    accepted = [_as_held(register, one) for one in rules.coco.init_data]
    good = value in accepted
    yield Finding(
        RuleId.INIT_DATA,
        register.path,
        passed(good) if value is not None else RuleResult.MISSING,
        expected=f"the hash of one of {len(accepted)} init data",
        actual="not reported" if value is None else value.hex(),
        hint="" if good else _no_init_data(register, value),
    )


def _no_init_data(register: Register, value: bytes | None) -> str:
    if value is None:
        return f"the evidence has no {register}"
    held = _of(register, value)
    if held.form is Form.ZERO:
        return f"{said(held)}; the machine was started without init data"
    if held.digest is not None:
        return f"{said(held)}, and not of init data"
    return f"{register} is not that of init data which are allowed"


def init_data_register(tee: Tee, provider: Provider) -> Register:
    """Where the hash of init data is."""
    if provider is Provider.AZURE:
        return Register.PCR8
    return Register.MR_CONFIG_ID if tee is Tee.TDX else Register.HOST_DATA


def _as_held(register: Register, digest: bytes) -> bytes:
    """PCR 8 is extended with the hash; the other registers are it."""
    if register is Register.PCR8:
        return hashlib.sha256(_NO_HASH + digest).digest()
    return digest


# dstack


def check_dstack_launch(case: Case) -> Iterator[Finding]:
    """`dstack`: MRCONFIGID has an accepted compose-hash, if the policy lists some, and no log contradicts it."""
    rules = None if case.document.boot is None else case.document.boot.dstack
    value = read(case.claims, Register.MR_CONFIG_ID)
    if rules is None or value is None:
        return
    held = _of(Register.MR_CONFIG_ID, value)
    if rules.launch_compose_hash is not None:
        yield _compose_hash(held, rules)
    identity = None if case.boot is None else case.boot.claims.dstack
    if identity is not None:
        yield from _same_application(held, identity)


def _compose_hash(held: Held, rules: DstackRules) -> Finding:
    accepted = rules.launch_compose_hash or frozenset()
    good = held.compose_hash in accepted
    hint = f"{said(held)}, which is not allowed"
    if held.compose_hash is None:
        hint = f"{said(held)}; the policy asks for dstack's compose-hash there"
    return Finding(
        RuleId.DSTACK,
        "boot.dstack.launch_compose_hash",
        passed(good),
        expected=f"one of {len(accepted)} listed values",
        actual=held.value.hex() if held.compose_hash is None else held.compose_hash.hex(),
        hint="" if good else hint,
    )


def _same_application(held: Held, identity: DstackIdentity) -> Iterator[Finding]:
    found = compare(held, identity)
    if found is Agreement.NOT_COMPARABLE:
        return
    good = found is Agreement.AGREES
    yield Finding(
        RuleId.DSTACK,
        Register.MR_CONFIG_ID.path,
        passed(good),
        expected="the application that the event log names",
        actual=held.text,
        hint="" if good else f"{said(held)}, and the event log names another application",
    )


# reference values


def explain_launch(case: Case) -> Iterator[Finding]:
    """`measurement`: of each used set that does not match, what the fields of its nearest entry hold that differ."""
    for live, nearest in unmatched(case):
        for register in differing(nearest, case.claims):
            value = read(case.claims, register)
            if value is None:
                continue
            if register in INSTANCE:
                yield _explained(register, value, live)
            elif register is Register.MEASUREMENT:
                yield _measurement(case, value, live)


def _explained(register: Register, value: bytes, live: Sequence[ReferenceEntry]) -> Finding:
    held = _of(register, value)
    wanted = [
        f"{entry.id}: {_brief(_of(register, one))}"
        for entry in live
        for one in entry.values.get(register, ())
    ]
    return Finding(
        RuleId.MEASUREMENT,
        register.path,
        RuleResult.FAIL,
        expected=several(wanted, str),
        actual=_brief(held),
        hint=f"{said(held)}; the policy lists another"
        if held.form is not Form.OPAQUE
        else f"{held.field.vendor_name} is not as the policy lists it",
    )


def _measurement(case: Case, value: bytes, live: Sequence[ReferenceEntry]) -> Finding:
    azure = case.claims.provider is Provider.AZURE
    return Finding(
        RuleId.MEASUREMENT,
        Register.MEASUREMENT.path,
        RuleResult.FAIL,
        expected=f"as in one of {names_of(tuple(entry.id for entry in live))}",
        actual=value.hex(),
        hint=_OF_A_PARAVISOR if azure else _OF_A_GUEST,
    )


def _of(register: Register, value: bytes) -> Held:
    return Held(LaunchField(register.value), value)


def _brief(held: Held) -> str:
    """What a field holds in a form that is known; else its digits."""
    return held.value.hex() if held.form is Form.OPAQUE else held.text
