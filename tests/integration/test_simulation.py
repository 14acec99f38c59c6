# SPDX-License-Identifier: Apache-2.0
"""The dry run over real decisions, of every kind of evidence, on both databases.

What it says is held against what the service itself says when the draft is in force and the same machines come again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.errors import PolicyConflict
from ca.recomputation import Setting, Word
from ca.simulation import Draft, Kind, Scope, Simulation, Subject, judge_all, simulate
from policies.loader import load_policy
from simulator.machine import register
from simulator.tdx_policies import POLICY
from tests.app_lab import IMAGE
from tests.device_app import open_device_app
from tests.device_app import policy as device_policy
from tests.integration.test_recomputed import device_decisions, snp_decisions, write_floors
from tests.revoking import issued, revoke
from tests.snp_app import open_snp_app

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ca.ports import Extent
    from ca.simulation import Judged
    from policies.loader import LoadedPolicy
    from tests.app_lab import App
    from tests.vendor_lab import Clock


DEBUGGED = 1 | 1 << 28  # and SEPT_VE_DISABLE


def draft_text(*changes: tuple[str, str], version: int = 2) -> bytes:
    """The policy of the lab with other words."""
    values = {name: register(f"simulated {what}").hex() for name, what in IMAGE.items()}
    text = POLICY.format(**values).replace("version: 1", f"version: {version}")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


def setting_of(app: App) -> Setting:
    service = app.service
    return Setting(
        service.authority.anchors,
        service.authority.ca_id,
        frozenset(name.lower() for name in app.config.server.names),
        service.authority.floors(),
        service.authority.minimums(),
    )


async def in_force(app: App) -> tuple[LoadedPolicy, ...]:
    records = await app.service.store.policies(active_only=True)
    return tuple(load_policy(record.document) for record in records)


async def dry_run(
    app: App, *drafts: bytes, since: timedelta = timedelta(days=30), examples: int = 3
) -> Simulation:
    """Of one draft; without any, of each policy that is in force."""
    policies, setting = await in_force(app), setting_of(app)
    now = app.clock()
    total = Simulation()
    for policy in [load_policy(text) for text in drafts] or policies:
        draft = Draft.of(policy, policies)

        async def judge(page: Sequence[Subject], draft: Draft = draft) -> Judged:
            return await asyncio.to_thread(judge_all, page, draft, setting)

        total = await simulate(app.service.store, Scope(now, now - since, examples), judge)
        if not drafts:
            unchanged(total)
    return total


def unchanged(found: Simulation) -> None:
    assert found.certificates + found.refusals > 0
    sides = (found.refused, found.admitted, found.unknown)
    assert [side.count for side in sides] == [0, 0, 0], sides
    assert (found.refused_already, found.admitted_already, found.forgotten) == (0, 0, 0)


def rules(side: object) -> dict[str, int]:
    return {rule: group.count for rule, group in side.by_size()}  # type: ignore[attr-defined] # a Side


async def test_the_policies_in_force_change_nothing(app_on_both: App) -> None:
    app = app_on_both
    for status, fields in (
        (201, {}),
        (201, {"version": 5, "body_type": 3}),
        (403, {"rtmr1": bytes(48)}),
        (403, {"td_attributes": DEBUGGED}),
        (403, {"profile": "unknown"}),
    ):
        assert (await app.enroll(**fields)).status == status
    found = await dry_run(app)
    assert (found.certificates, found.refusals) == (2, 3)
    # nor does a draft that means the same, though nothing that is compared has its digest
    unchanged(await dry_run(app, draft_text()))
    unchanged(await dry_run(app, draft_text(("match:", "not_before: 2199-01-01\nmatch:"))))


async def test_sev_snp_of_every_kind(app_clock: Clock, database_url: str, tmp_path: Path) -> None:
    floors = tmp_path / "floors.yaml"
    write_floors(floors, 7, 0xDE)
    files: dict[str, object] = {"amd_floors_file": str(floors)}
    async with open_snp_app(tmp_path, database_url, app_clock, policies=files) as snp:
        await snp_decisions(snp, floors)
        app_clock.advance(hours=-7)  # certificates live for an hour
        found = await dry_run(snp.app)
        assert (found.certificates, found.refusals) == (5, 7)
        kinds = await evidence_kinds(snp.app)
        assert kinds >= {"snp-report", "hcl-report", "tpm-attest", "tpm-signature"}
        await _floors_of_then(snp.app)


async def _floors_of_then(app: App) -> None:
    """A machine that a floor of then let pass is not held against the one of today."""
    (policy,) = [one for one in await in_force(app) if one.document.name == "snp"]
    text = next(
        record.document
        for record in await app.service.store.policies()
        if record.sha256 == policy.sha256
    ).replace(b"version: 1", b"version: 2")
    unchanged(await dry_run(app, text))


async def evidence_kinds(app: App) -> set[str]:
    store, now = app.service.store, app.clock()
    decisions = [one.decision for one in await store.live(now, 100, None)]
    decisions += [one.decision for one in await store.refusals(100, None)]
    return {kind for decision in decisions for kind, _ in decision.evidence}


async def test_devices(app_clock: Clock, database_url: str, tmp_path: Path) -> None:
    async with open_device_app(tmp_path, database_url, app_clock) as lab:
        await device_decisions(lab)
        found = await dry_run(lab.app)
        assert (found.certificates, found.refusals) == (4, 9)
        # what NVIDIA was not asked then cannot be known now
        by_service = device_policy(version=2, appraisal="nras").encode()
        found = await dry_run(lab.app, by_service)
        assert rules(found.unknown).keys() == {"not-asked"}
        assert found.unknown.certificates == 2
        assert found.admitted.count == 0
        # devices that nobody looked at are not kept
        other_image = device_policy(version=2).replace(
            register("simulated firmware").hex(), bytes(48).hex()
        )
        found = await dry_run(lab.app, other_image.encode())
        assert found.refused.certificates == 2
        assert rules(found.unknown) == {"devices-not-kept": 1}
        # a minimum that one of the machines was refused by
        found = await dry_run(
            lab.app, device_policy(version=2, driver='{minimum: {"580": 580.95.05}}').encode()
        )
        assert rules(found.admitted) == {"driver-minimum": 1}
        assert found.refused.count == 0


async def test_who_would_newly_be_refused_comes_and_is_refused(app_on_both: App) -> None:
    app = app_on_both
    old, new = app.intel.platform(), app.machine
    assert (await app.enroll(machine=old)).status == 201
    assert (await app.enroll(machine=new)).status == 201
    assert (await app.enroll(machine=new, td_attributes=DEBUGGED)).status == 403
    chip = f'platforms: {{ppid: ["{new.sgx.ppid.hex()}"]}}'
    draft = draft_text(
        ("  measurements: [release]", f"  measurements: [release]\n  {chip}"),
        ("issue:", "relax: {debug: a laboratory}\nissue:"),
    )
    found = await dry_run(app, draft)
    assert (rules(found.refused), rules(found.admitted)) == ({"chip-list": 1}, {"debug": 1})
    (example,) = found.refused.groups["chip-list"].examples
    assert (example.kind, example.before, example.after) == (
        Kind.CERTIFICATE,
        Word.ACCEPTED,
        Word.DENIED,
    )
    assert example.names[0] == "dns:demo.example.org"
    (lifted,) = found.admitted.groups["debug"].examples
    (refusal,) = await app.service.store.refusals(10, None)
    assert (lifted.kind, lifted.id) == (Kind.REFUSAL, str(refusal.id))
    await app.accept_image(draft.decode())
    assert (await app.enroll(machine=old)).status == 403
    assert (await app.enroll(machine=new)).status == 201
    assert (await app.enroll(machine=new, td_attributes=DEBUGGED)).status == 201
    # now that it is in force, what it refuses is nobody's news
    found = await dry_run(app, draft + b"# the same\n")
    assert (found.refused.count, found.admitted.count) == (0, 0)
    assert (found.refused_already, found.admitted_already) == (1, 1)


async def test_words_alone_change_nothing(app: App) -> None:
    """Property: a draft that asks the same of everybody changes nothing, however it is written."""
    for status, fields in ((201, {}), (403, {"rtmr1": bytes(48)}), (403, {"profile": "unknown"})):
        assert (await app.enroll(**fields)).status == status
    store, setting, policies = app.service.store, setting_of(app), await in_force(app)
    subjects = [
        *(
            Subject(Kind.CERTIFICATE, f"{one.serial:x}", (), one.decision)
            for one in await store.live(app.clock(), 10, None)
        ),
        *(
            Subject(Kind.REFUSAL, str(one.id), (), one.decision)
            for one in await store.refusals(10, None)
        ),
    ]
    words = st.text("abc ", min_size=3, max_size=9)
    unused = st.builds(lambda word: f"reference_sets:\n  unused: []  # {word}", words)
    changes = st.fixed_dictionaries(
        {},
        optional={
            "description: the one": st.builds("description: {} the one".format, words),
            "demo-image-1": st.sampled_from(["demo-image-2", "z"]),
            "{kind: computed}": st.builds("{{kind: computed, note: '{}'}}".format, words),
            "reference_sets:": unused,
            "serves the same name": words,
            "match:": st.sampled_from(
                ["not_before: 2199-01-01\nmatch:", "not_after: 2199-01-01\nmatch:"]
            ),
        },
    )

    @given(changes, st.integers(1, 1000))
    @settings(max_examples=60)
    def hold(said: dict[str, str], version: int) -> None:
        policy = load_policy(draft_text(*said.items(), version=version))
        judged = judge_all(subjects, Draft.of(policy, policies), setting)
        assert (judged.looked_at, judged.otherwise, judged.changes) == ((1, 2), (0, 0), ())

    hold()


async def test_what_an_older_policy_decided_is_not_blamed_on_the_draft(app: App) -> None:
    assert (await app.enroll()).status == 201
    assert (await app.enroll(td_attributes=DEBUGGED)).status == 403
    stricter = draft_text(("tdx:\n", 'tdx:\n  platforms: {fmspc: ["000000000001"]}\n'))
    relaxed = stricter.replace(b"issue:", b"relax: {debug: a laboratory}\nissue:")
    await app.accept_image(stricter.decode())
    found = await dry_run(app, relaxed.replace(b"version: 2", b"version: 3"))
    assert (found.refused.count, found.admitted.count, found.refused_already) == (0, 0, 1)
    await app.accept_image(
        draft_text(("issue:", "relax: {debug: a laboratory}\nissue:"), version=3).decode()
    )
    found = await dry_run(
        app, draft_text(("issue:", "relax: {debug: a laboratory}\nissue:"), version=4)
    )
    assert (found.refused_already, found.admitted_already) == (0, 1)


async def test_what_is_looked_at(app_on_both: App) -> None:
    """Live certificates and recent refusals: not what has ended, was revoked, or retention has deleted."""
    app = app_on_both
    store = app.service.store
    assert (await app.enroll(td_attributes=DEBUGGED)).status == 403
    app.clock.advance(days=2)
    assert (await app.enroll()).status == 201
    app.clock.advance(hours=2)
    assert (await app.enroll(td_attributes=DEBUGGED)).status == 403
    lost, kept = issued(await app.enroll()), issued(await app.enroll())
    await revoke(app, kind="certificate", value=f"{lost.serial_number:x}")
    nothing = draft_text(("tdx:\n", 'tdx:\n  platforms: {fmspc: ["000000000001"]}\n'))
    found = await dry_run(app, nothing)
    assert (found.certificates, found.refusals, found.forgotten) == (1, 2, 0)
    (example,) = found.refused.groups["fmspc"].examples
    assert example.id == f"{kept.serial_number:x}"
    found = await dry_run(app, nothing, since=timedelta(days=1))
    assert (found.certificates, found.refusals, found.forgotten) == (1, 1, 0)
    assert await store.expire_refusals(app.clock() - timedelta(days=1)) == 1
    found = await dry_run(app, nothing)
    assert (found.refusals, found.forgotten) == (1, 1)
    await app.run_job("log")  # the same told by entries that have their place
    found = await dry_run(app, nothing)
    assert (found.refusals, found.forgotten) == (1, 1)
    assert (await dry_run(app, nothing, since=timedelta(days=1))).forgotten == 0


async def test_a_revocation_stands_unless_it_was_the_policy(app: App) -> None:
    chip = {"kind": "chip", "name": "ppid", "value": app.machine.sgx.ppid.hex()}
    await revoke(app, **chip)
    assert (await app.enroll()).status == 403
    unchanged(await dry_run(app, draft_text(("1h", "2h"))))
    other = app.intel.platform()
    await revoke(app, kind="policy", value="demo@1")
    assert (await app.enroll(machine=other)).status == 403
    found = await dry_run(app, draft_text(("1h", "2h")))
    assert rules(found.admitted) == {"handle-revoked": 1}
    unchanged(await dry_run(app))


async def test_names_are_asked_too(app: App) -> None:
    assert (await app.enroll()).status == 201
    for name in ("{mr_config_id_32}.example.org", "ca.example.org"):
        found = await dry_run(app, draft_text(("demo.example.org", name)))
        assert rules(found.refused) == {"name-refused": 1}


async def test_no_policy_any_more(app: App) -> None:
    assert (await app.enroll()).status == 201
    found = await dry_run(app, draft_text(("profile: default", "profile: other")))
    assert rules(found.refused) == {"no-policy": 1}
    with pytest.raises(PolicyConflict, match="demo@1 is active and matches the same machines"):
        await dry_run(app, draft_text(("name: demo", "name: second")))


async def test_what_cannot_be_known(app: App) -> None:
    assert (await app.enroll()).status == 201
    (one,) = await app.service.store.live(app.clock(), 10, None)
    setting, policies = setting_of(app), await in_force(app)
    draft = Draft.of(load_policy(draft_text()), policies)

    def reason(decision: object) -> str:
        subject = Subject(Kind.CERTIFICATE, "1", (), decision)  # type: ignore[arg-type] # a Decision
        (change,) = judge_all([subject], draft, setting).changes
        assert change.after is Word.UNKNOWN
        return change.causes[0].rule

    decision = one.decision
    assert reason(replace(decision, anchors_sha256=bytes(32))) == "other-anchors"
    assert (
        reason(replace(decision, evidence=(("no-such", decision.evidence[0][1]),))) == "unreadable"
    )
    index = replace(decision.collateral[0], data=b"{}]")
    assert reason(replace(decision, collateral=(index,))) == "unreadable"


async def test_pages_come_and_go(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a page of each, several under way: the same answer in the same order."""
    monkeypatch.setattr("ca.simulation.PAGE", 2)
    for number in range(5):
        assert (await app.enroll()).status == 201
        assert (await app.enroll(td_attributes=DEBUGGED)).status == 403, number
    draft, policies = (
        load_policy(draft_text(("tdx:\n", 'tdx:\n  platforms: {fmspc: ["000000000001"]}\n'))),
        await in_force(app),
    )
    setting, now = setting_of(app), app.clock()
    answers, extents = list[list[str]](), list[tuple[int, int]]()
    steps: list[int] = []
    for ahead in (1, 4):

        async def judge(page: Sequence[Subject]) -> Judged:
            await asyncio.sleep(0.01 if len(steps) % 2 else 0)
            return judge_all(page, Draft.of(draft, policies), setting)

        def started(extent: Extent) -> None:
            extents.append((extent.certificates, extent.refusals))

        found = await simulate(
            app.service.store,
            Scope(now, now - timedelta(days=1), 2),
            judge,
            ahead=ahead,
            started=started,
            progress=steps.append,
        )
        assert (found.refused.count, len(found.refused.groups["fmspc"].examples)) == (5, 2)
        answers.append([one.id for one in found.refused.groups["fmspc"].examples])
    assert answers[0] == answers[1]
    assert extents == [(5, 5), (5, 5)]
    assert sum(steps) == 20


async def test_a_fault_ends_what_is_under_way(app: App) -> None:
    assert (await app.enroll()).status == 201
    now = app.clock()

    async def judge(_page: Sequence[Subject]) -> Judged:
        raise RuntimeError("a worker died")

    with pytest.raises(RuntimeError, match="a worker died"):
        await simulate(app.service.store, Scope(now, now), judge)
