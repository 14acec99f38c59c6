# SPDX-License-Identifier: Apache-2.0
"""The log of the running service, read from outside by the command that others run; and one that cheats."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.protocol.checkpoint import EMPTY_HEAD
from attestca_client.protocol.trust import TrustBundle, seal_bundle
from ca import audit
from ca.cli.exits import Exit
from ca.issuance.request import Assurance
from ca.record import committed
from ca.store import log
from ca.store.database import Database
from ca.store.tables import log_checkpoint, log_entries, log_outbox, log_tiles
from tests import log_lab, records
from tests.authority_lab import make_lab
from tests.cli_lab import Cli, Done
from tests.service_lab import open_service
from tests.stage_lab import ask, enroll_machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection

    from attestca_client.protocol.checkpoint import Verifier
    from simulator.stage import Stage
    from tests.app_lab import App
    from tests.authority_lab import Lab
    from tests.service_lab import Service

CLI_KEY = log_lab.KEY.verifier.text


@pytest.fixture
async def cheated(database_url: str) -> AsyncIterator[Service]:
    async with open_service(database_url) as running:
        yield running


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_a_certificate_is_in_the_log_within_seconds(stage: Stage, tmp_path: Path, cli: Cli) -> None:
    """Processes, TLS, both databases: enroll, get the proof, audit."""
    enrolled = enroll_machine(stage, tmp_path / "machine")
    serial = f"{enrolled.certificate.serial_number:x}"
    end = time.monotonic() + 30  # a loaded machine; what is promised stands in the docs
    while (answer := ask(stage, "GET", f"/v1/certificates/{serial}/proof")).status == 404:
        assert time.monotonic() < end
        time.sleep(0.05)
    key = stage.attestca("log", "key", "--config", str(stage.config)).strip()
    state = tmp_path / "state.json"
    words = ("log", "audit", stage.url, "--ca-root", stage.root, "--state", state, "--json")
    first = cli.good(*words, "--key", key).json()
    assert first["log"] == "localhost"
    assert first["findings"] == []
    assert first["size"] == first["new"] > answer.json()["index"]
    assert first["entries"]["issuance"] >= 1
    assert first["entries"]["policy"] >= 4
    assert first["entries"]["key"] >= 6  # root, issuing CA, TLS, EAR, OCSP, log
    enroll_machine(stage, tmp_path / "another")
    time.sleep(2)
    again = cli.good(*words).json()
    assert again["new"] >= 1
    assert again["size"] == first["size"] + again["new"]
    shown = cli.good(*words[:-1])
    assert "One history" in shown.err


async def audited(cli: Cli, service: Service, *more: str | Path) -> Done:
    words = ("log", "audit", service.public, "--json", *more)
    done = await asyncio.to_thread(cli, *words)
    _, brace, rest = done.out.partition(
        "{\n"
    )  # lines of the service in this process stand around it
    end = rest.find("\n}\n")
    return replace(done, out=brace + rest[: end + 2])


async def test_everything_that_happens_is_told(app_on_both: App) -> None:
    app = app_on_both
    store = app.service.store
    issued = (await app.enroll()).json()
    assert (await app.enroll(rtmr1=bytes(48))).status == 403
    (record,) = await store.policies(active_only=True)
    revoked, _ = await store.revoke(records.revocation(records.digest("one")), records.ACTION)
    await app.run_job("log")
    newest = await store.log.checkpoint()
    assert newest is not None
    told = await entries_of(app)
    by_kind = {kind: [one for one in told if audit.kind_of(one) == kind] for kind in KINDS}
    (issuance,) = by_kind["issuance"]
    assert isinstance(issuance, audit.Issuance)
    assert issuance.serial == int(issued["serial"], 16)
    assert issuance.policy_sha256 == record.sha256
    (refusal,) = by_kind["refusal"]
    assert isinstance(refusal, audit.Refusal)
    assert refusal.policy_sha256 in {record.sha256, None}
    (revocation,) = by_kind["revocation"]
    assert isinstance(revocation, audit.Revocation)
    assert (revocation.number, revocation.handle) == (revoked.id, revoked.revocation.handle)
    active = [one for one in by_kind["policy"] if isinstance(one, audit.PolicyChange)]
    assert (active[-1].name, active[-1].state) == (record.name, "active")
    keys = app.service.keys
    held = (keys.issuing_cas, keys.tls, keys.ear, keys.ocsp)
    expected = {one.certificate.public_bytes(Encoding.DER) for group in held for one in group}
    expected.add(keys.root.public_bytes(Encoding.DER))
    ders = {one.der for one in by_kind["key"] if isinstance(one, audit.KeyAdded)}
    assert expected < ders
    assert len(ders) == len(expected) + 1  # that of the log
    for _ in range(2):
        await app.run_job("certificates")
    await app.run_job("log")
    assert len(await entries_of(app)) == len(told), "a key is told of once"


KINDS = ("issuance", "refusal", "revocation", "policy", "key")


async def entries_of(app: App) -> list[audit.Entry | audit.Unknown]:
    checkpoint = await app.service.store.log.checkpoint()
    assert checkpoint is not None
    return await log_lab.entries(app.service.store.log, checkpoint.size)


async def test_a_commitment_is_that_of_the_record(app_on_both: App) -> None:
    """Whoever is shown the record and its random bytes can hold them against the log."""
    app = app_on_both
    serial = int((await app.enroll()).json()["serial"], 16)
    await app.enroll(rtmr1=bytes(48))
    await app.run_job("log")
    record = await app.service.store.certificate(serial)
    (refused,) = await app.service.store.refusals(10, None)
    assert record is not None
    said = {one.commitment for one in await entries_of(app) if hasattr(one, "commitment")}
    salts = [record.decision.salt, refused.decision.salt]
    assert len(set(salts)) == 2
    for decision in (record.decision, refused.decision):
        assert decision.salt is not None
        assert audit.commitment(decision.salt, committed(decision)) in said


async def test_a_log_that_is_rewritten_is_found_out(
    cheated: Service, database_url: str, tmp_path: Path, cli: Cli
) -> None:
    await cheated.enrolled()
    await cheated.enrolled()
    await log_lab.sequence(cheated.store.log)
    state = tmp_path / "state.json"
    first = await audited(cli, cheated, "--key", CLI_KEY, "--state", state)
    assert first.code == Exit.REFUSED, "this lab's issuing CA is not in its log"
    (finding,) = first.json()["findings"]
    assert cheated.lab.issuer.key_id.hex() in finding
    before = state.read_text()

    database = Database(database_url)
    try:
        await database.write(forget_an_entry)
    finally:
        await database.close()
    await log_lab.sequence(cheated.store.log)
    shrunk = await audited(cli, cheated, "--state", state)
    assert shrunk.code == Exit.REFUSED
    assert "had" in shrunk.err
    assert json.loads(before)["checkpoint"] in shrunk.err, "the evidence"
    await cheated.enrolled()
    await log_lab.sequence(cheated.store.log)
    forked = await audited(cli, cheated, "--state", state)
    assert forked.code == Exit.REFUSED
    assert state.read_text() == before, "what proves it stays"


def forget_an_entry(connection: Connection) -> None:
    """What an authority does that would rather not have issued something, and holds the log's key."""
    rows = connection.execute(log_entries.select().order_by(log_entries.c.position)).all()
    for table in (log_entries, log_tiles, log_checkpoint):
        connection.execute(table.delete())
    for row in rows[1:]:
        connection.execute(log_outbox.insert().values(entry=row.entry, serial=row.serial))


async def test_served_tiles_that_are_not_of_the_tree(
    cheated: Service, database_url: str, cli: Cli
) -> None:
    await cheated.enrolled()
    await log_lab.sequence(cheated.store.log)

    def change(connection: Connection) -> None:
        tile = log.tile(connection, 0, 0, 1)
        assert tile is not None
        connection.execute(log_tiles.update().values(hashes=bytes(len(tile)) + b"\x01" * 320))

    database = Database(database_url)
    try:
        await database.write(change)
    finally:
        await database.close()
    done = await audited(cli, cheated, "--key", CLI_KEY)
    assert done.code == Exit.REFUSED
    assert "not of the tree" in done.err


async def test_the_log_of_a_later_key(cheated: Service, cli: Cli) -> None:
    """Its name says where it is; at the address of the one before is nothing any more."""
    await add_keys(cheated, datetime.now(UTC), "one", "two")
    first = await audited(cli, cheated, "--key", CLI_KEY)
    assert (first.code, first.json()["log"]) == (Exit.OK, "ca.example.org")
    await cheated.store.log.replace_key(log_lab.sha256_of(log_lab.SECOND))
    await log_lab.sequence(cheated.store.log, log_lab.SECOND)
    done = await audited(cli, cheated, "--key", log_lab.SECOND.verifier.text)
    assert (done.code, done.json()["log"]) == (Exit.OK, "ca.example.org/2")
    assert done.json()["root"] == first.json()["root"]
    ended = await audited(cli, cheated, "--key", CLI_KEY)
    assert (ended.code, "the log has no checkpoint" in ended.err) == (Exit.REFUSED, True)


async def add_keys(service: Service, when: datetime, *names: str) -> None:
    keys = [audit.KeyAdded(when, "tls", name.encode()) for name in names]
    await service.store.log.append_keys(keys)
    await log_lab.sequence(service.store.log, now=when)


async def test_a_log_that_is_frozen(
    cheated: Service, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    when = datetime(2031, 5, 1, 9, tzinfo=UTC)
    monkeypatch.setattr("ca.cli.inputs.now", lambda: when + timedelta(hours=3))
    words = ("--key", CLI_KEY, "--state", tmp_path / "state.json")
    await add_keys(cheated, when, "one")
    for _ in range(2):  # the second time from what the first left behind
        fresh = await audited(cli, cheated, *words, "--newest-within", "4")
        assert (fresh.code, fresh.json()["newest"]) == (Exit.OK, when.isoformat())
    old = await audited(cli, cheated, *words, "--newest-within", "2")
    assert (old.code, f"was signed at {when.isoformat()}" in old.err) == (Exit.REFUSED, True)
    assert (await audited(cli, cheated, *words)).code == Exit.OK
    later = when + timedelta(hours=2)
    await log_lab.sequence(cheated.store.log, now=later)
    alive = await audited(cli, cheated, *words, "--newest-within", "2")
    assert (alive.code, alive.json()["time"]) == (Exit.OK, later.isoformat()), "nothing happened"
    assert alive.json()["newest"] == when.isoformat()


async def signed(service: Service) -> bytes:
    newest = await service.store.log.checkpoint()
    assert newest is not None
    assert newest.note is not None
    return newest.note


async def test_checkpoints_that_somebody_was_shown(
    cheated: Service, tmp_path: Path, cli: Cli
) -> None:
    """Of every size, before and behind what the audit has in its state: of this history, or not."""
    now, state = datetime.now(UTC), tmp_path / "state.json"
    words: list[str | Path] = ["--key", CLI_KEY, "--state", state]
    notes = [log_lab.KEY.sign(EMPTY_HEAD)]
    for count in (3, 250, 1, 300):
        revoked = [
            audit.Revocation(
                now, len(notes) * 1000 + at, "key", digest(len(notes), at), "superseded"
            )
            for at in range(count)
        ]
        await cheated.store._database.write(log.append_all, revoked)
        await log_lab.sequence(cheated.store.log, now=now)
        notes.append(await signed(cheated))
        if count == 1:
            assert (await audited(cli, cheated, *words)).code == Exit.OK

    def shown(*notes: bytes) -> list[str | Path]:
        """As options."""
        found: list[str | Path] = []
        for number, note in enumerate(notes):
            path = tmp_path / f"{number}.checkpoint"
            path.write_bytes(note)
            found += ["--checkpoint", path]
        return found

    good = await audited(cli, cheated, *words, *shown(*notes))
    assert (good.code, good.json()["revoked"]) == (Exit.OK, 554)
    (empty, first, second, third, newest) = (log_lab.KEY.verifier.open(one).head for one in notes)
    lies = {
        "do not make the tree": replace(second, root=first.root),
        "do not revoke what": replace(second, revocation_root=first.revocation_root),
        "not revoke": replace(third, revocation_count=third.revocation_count - 1),
        "names 99999 entries": replace(newest, size=99_999),
        "the first 0 entries": replace(empty, root=first.root),
        f"the first {newest.size} entries": replace(newest, root=first.root),
    }
    for said, lie in lies.items():
        done = await audited(cli, cheated, *words, *shown(notes[1], log_lab.KEY.sign(lie)))
        assert (done.code, said in done.err) == (Exit.REFUSED, True), said
    foreign = await audited(cli, cheated, *words, *shown(log_lab.SECOND.sign(first)))
    assert (foreign.code, "no valid signature" in foreign.err) == (Exit.USAGE, True)
    first_tile = (log_tiles.c.level == 0) & (log_tiles.c.number == 0)
    change = log_tiles.update().where(first_tile).values(hashes=bytes(8192))
    await cheated.store._database.write(lambda connection: connection.execute(change))
    done = await audited(cli, cheated, *words, *shown(notes[1]))
    assert (done.code, "not of this log" in done.err) == (Exit.REFUSED, True)


def digest(*parts: int) -> bytes:
    return records.digest(str(parts))


async def test_a_finding_is_told_again(cheated: Service, tmp_path: Path, cli: Cli) -> None:
    """An audit that goes on behind it does not make it good."""
    now = datetime.now(UTC)
    wrong = [audit.Revocation(now, number, "key", bytes(32), "unspecified") for number in (2, 1)]
    words = ("--key", CLI_KEY, "--state", tmp_path / "state.json")
    await cheated.store._database.write(log.append_all, wrong)
    await log_lab.sequence(cheated.store.log)
    first = await audited(cli, cheated, *words)
    await add_keys(cheated, now, "one")
    again = await audited(cli, cheated, *words)
    assert (first.code, again.code) == (Exit.REFUSED, Exit.REFUSED)
    assert again.json()["new"] == 1
    assert again.json()["findings"] == first.json()["findings"] != []


async def test_what_the_reader_is_given(cheated: Service, tmp_path: Path, cli: Cli) -> None:
    assert (await audited(cli, cheated)).code == Exit.USAGE
    assert (await audited(cli, cheated, "--key", "x")).code == Exit.USAGE
    nothing = await audited(cli, cheated, "--key", CLI_KEY)
    assert (nothing.code, "no checkpoint" in nothing.err) == (Exit.REFUSED, True)
    await log_lab.sequence(cheated.store.log)
    assert (await audited(cli, cheated, "--key", OTHER)).code == Exit.REFUSED
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    assert (await audited(cli, cheated, "--state", bad)).code == Exit.UNREADABLE
    assert (
        await asyncio.to_thread(cli, "log", "audit", "ftp://x", "--key", "x")
    ).code == Exit.USAGE


async def test_a_bundle_of_another_root(cheated: Service, tmp_path: Path, cli: Cli) -> None:
    """The root of the first time counts, and one that the reader names."""
    await add_keys(cheated, datetime.now(UTC), "one")
    ours, theirs = cheated.lab, make_lab(Assurance.SIMULATED)
    bundle, forged = tmp_path / "trust.json", tmp_path / "forged.json"
    bundle.write_bytes(bundle_of(ours, 1))
    forged.write_bytes(bundle_of(theirs, 2))
    roots = [tmp_path / name for name in ("ours.pem", "theirs.pem")]
    for path, lab in zip(roots, (ours, theirs), strict=True):
        path.write_bytes(lab.root.public_bytes(Encoding.PEM))
    state = tmp_path / "state.json"
    words = ("--state", state)
    wrong = await audited(cli, cheated, *words, "--trust", bundle, "--root", roots[1])
    assert (wrong.code, "of another root than that of --root" in wrong.err) == (Exit.USAGE, True)
    assert not state.exists()
    first = await audited(cli, cheated, *words, "--trust", bundle, "--root", roots[0])
    assert (first.code, json.loads(state.read_text())["ca_id"]) == (Exit.OK, cheated.ca_id.hex())
    for more in ((), ("--root", roots[1])):
        later = await audited(cli, cheated, *words, "--trust", forged, *more)
        assert (later.code, "that of the last time" in later.err) == (Exit.USAGE, True)
    assert (await audited(cli, cheated, *words)).code == Exit.OK, "the key alone is enough"
    assert json.loads(state.read_text())["ca_id"] == cheated.ca_id.hex()
    assert (await audited(cli, cheated, *words, "--trust", bundle)).code == Exit.OK
    alone = await audited(cli, cheated, *words, "--root", roots[0])
    assert (alone.code, "goes with --trust" in alone.err) == (Exit.USAGE, True)
    no_root = await audited(cli, cheated, *words, "--trust", bundle, "--root", bundle)
    assert (no_root.code, "not a certificate" in no_root.err) == (Exit.UNREADABLE, True)


async def test_a_bundle_without_a_log(cheated: Service, tmp_path: Path, cli: Cli) -> None:
    bundle = tmp_path / "trust.json"
    bundle.write_bytes(bundle_of(cheated.lab, 1, log=()))
    done = await audited(cli, cheated, "--trust", bundle)
    assert (done.code, "is needed the first time" in done.err) == (Exit.USAGE, True)


def bundle_of(lab: Lab, version: int, log: tuple[Verifier, ...] = (log_lab.KEY.verifier,)) -> bytes:
    issued = datetime(2026, 1, 1, tzinfo=UTC)
    return seal_bundle(TrustBundle(version, lab.root, log, None, None, issued), lab.root_key)


OTHER = CLI_KEY.replace("ca.example.org", "ca.example.com")
OTHER = OTHER.replace(
    CLI_KEY.split("+")[1],
    sha256(b"ca.example.com\n\x01" + log_lab.KEY.verifier.key).hexdigest()[:8],
)
