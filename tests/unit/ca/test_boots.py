# SPDX-License-Identifier: Apache-2.0
"""Logs judged once for many records: the answer is what each record alone would have got, whatever came before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.boots import KEPT, KEPT_BYTES, Boots
from simulator import eventlog
from tests.snp_lab import SnpLab
from tests.tdx_lab import Lab
from verifiers.errors import Reason, VerificationError
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.logs import booted

if TYPE_CHECKING:
    from simulator.eventlog import Boot
    from verifiers.tdx.claims import TdxClaims

CLAIMS = Lab.create().exhibit().verify()
APPLICATION = eventlog.aael("example.org", "start", "app")
BOOTS = (
    eventlog.grub_boot(),
    eventlog.grub_boot(cmdline="/vmlinuz init=/bin/sh"),
    eventlog.grub_boot().then(APPLICATION),
    eventlog.direct_boot().then(eventlog.measured_file("/usr/bin/app", b"app")),
    eventlog.dstack_boot(),
)


def claims_of(boot: Boot) -> TdxClaims:
    """Of a machine that booted so."""
    return replace(CLAIMS, td=replace(CLAIMS.td, **boot.registers))


def logs_of(boot: Boot) -> tuple[Evidence, ...]:
    return tuple(Evidence(EvidenceKind(kind), data) for kind, data in boot.logs())


@given(st.lists(st.tuples(st.sampled_from(BOOTS), st.sampled_from(BOOTS)), max_size=30))
def test_every_answer_is_that_of_the_record_alone(machines: list[tuple[Boot, Boot]]) -> None:
    """Honest machines, and such as send the logs of another boot, in any order."""
    boots = Boots()
    for ran, told in machines:
        claims, logs = claims_of(ran), logs_of(told)
        assert boots(claims, logs) == booted(claims, logs)


def test_the_same_boot_is_judged_once() -> None:
    boots, (one, other, *_) = Boots(), BOOTS
    found = boots(claims_of(one), logs_of(one))
    assert boots(claims_of(one), logs_of(one)) is found
    assert boots(claims_of(other), logs_of(one)) is not found
    assert boots(claims_of(one), logs_of(other)) is not found
    assert Boots()(claims_of(one), logs_of(one)) is not found
    assert boots(claims_of(one), ()) is None


def test_what_is_kept_is_bounded() -> None:
    boots, first = Boots(), eventlog.grub_boot(cmdline="0")
    found = boots(claims_of(first), logs_of(first))
    for number in range(1, KEPT + 1):
        boot = eventlog.grub_boot(cmdline=str(number))
        boots(claims_of(boot), logs_of(boot))
    again = boots(claims_of(first), logs_of(first))
    assert again == found
    assert again is not found
    large = first.then(eventlog.aael("example.org", "start", "x" * KEPT_BYTES))
    found = boots(claims_of(large), logs_of(large))
    assert found == boots(claims_of(large), logs_of(large))
    assert found is not boots(claims_of(large), logs_of(large))


def test_what_cannot_be_judged_never_is() -> None:
    boots, claims = Boots(), claims_of(BOOTS[0])
    broken = (Evidence(EvidenceKind.CCEL, logs_of(BOOTS[0])[0].data[:-1]),)
    for _ in range(2):
        with pytest.raises(VerificationError) as caught:
            boots(claims, broken)
        assert caught.value.reason is Reason.MALFORMED
        with pytest.raises(VerificationError) as caught:
            boots(SnpLab.create().exhibit().verify(), logs_of(BOOTS[0]))
        assert caught.value.reason is Reason.EVIDENCE


def test_threads_may_share_one() -> None:
    boots = Boots()
    machines = [BOOTS[number % len(BOOTS)] for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda boot: boots(claims_of(boot), logs_of(boot)), machines)
    expected = {boot: booted(claims_of(boot), logs_of(boot)) for boot in BOOTS}
    assert list(found) == [expected[boot] for boot in machines]
