# SPDX-License-Identifier: Apache-2.0
"""R-31, at boot claims: whatever log comes, claims come out; and a log that was rewritten never gains one.

The guest may rewrite every type and all data, and shuffle registers among each other. Registers still replay then. What
comes out has to be what came out of the true log, or less.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests import boot_lab as lab
from tests import eventlog_lab
from tests.fuzz.test_verifier_parsers import mutated
from verifiers.claims import to_json
from verifiers.errors import VerificationError
from verifiers.eventlog import tcg2
from verifiers.eventlog.boot import boot_claims
from verifiers.eventlog.claims import SecureBoot, TextState
from verifiers.eventlog.events import Algorithm, LogFormat, Register
from verifiers.eventlog.replay import replay

if TYPE_CHECKING:
    from tests.boot_lab import Step

MODERATE = settings(max_examples=200, deadline=None)
OTHER = "/vmlinuz init=/bin/sh"
BOOTS = (
    [*lab.grub_boot(OTHER), lab.aael(), lab.aael("a.org pull image")],
    lab.direct_boot(),
    lab.uki_boot(),
)
# Labels of all kinds, those that a liar would like among them.
LABELS = sorted(
    {(step.kind, step.data) for boot in BOOTS for step in boot}
    | {(step.kind, step.data) for step in (*lab.grub_boot(), lab.secure_boot(b"\0"))}
    | {(13, b"/file\0"), (10, b"ACPI DATA"), (4, b"\0\0\0\0"), (6, b"")}
)
RAW = eventlog_lab.tcg2(
    *(eventlog_lab.event2(one.index, one.kind, [(0x0C, one.digest)], one.data) for one in BOOTS[0])
)


@MODERATE
@given(st.sampled_from(BOOTS), st.data())
def test_rewritten_logs_gain_nothing(history: list[Step], data: st.DataObject) -> None:
    told = list(history)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(told) - 1))
        told[at] = told[at].told(*data.draw(st.sampled_from(LABELS)))
    if data.draw(st.booleans()):  # the order between registers
        first = data.draw(st.integers(1, 4))
        told.sort(key=lambda step: step.index != first)
    true, found = lab.claims(history), lab.claims(told, history)
    assert found.secure_boot in {true.secure_boot, SecureBoot.UNDETERMINED, None}
    cmdline = found.kernel_cmdline
    if cmdline is not None and cmdline.state is TextState.PROVEN:
        assert cmdline.text == OTHER
    assert {one.digest for one in true.images} <= {one.digest for one in found.images}
    for ours, theirs in ((found.db, true.db), (found.dbx, true.dbx), (found.pk, true.pk)):
        assert ours is None or (theirs and ours.certificates == theirs.certificates)
    for mine, real in (
        (found.cmdline_digest, true.cmdline_digest),
        (found.initrd_digest, true.initrd_digest),
    ):
        assert mine is None or (real and mine.digest == real.digest)
    if found.aael is not None:
        texts = [(one.domain, one.operation, one.content) for one in found.aael]
        assert texts == [(one.domain, one.operation, one.content) for one in true.aael or ()]


@MODERATE
@given(mutated(RAW))
def test_any_bytes_give_claims_or_the_typed_refusal(raw: bytes) -> None:
    with suppress(VerificationError):
        log = tcg2.parse(raw, LogFormat.CCEL)
        values: dict[Register, bytes] = lab.registers(BOOTS[0])
        replayed = replay([log], values, Algorithm.SHA384)
        assert isinstance(to_json(boot_claims([log], replayed)), dict)
        own = {one: found.computed for one, found in replayed.items()}
        assert isinstance(to_json(boot_claims([log], replay([log], own, Algorithm.SHA384))), dict)
