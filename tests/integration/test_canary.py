# SPDX-License-Identifier: Apache-2.0
"""R-41 at the running service, at log level DEBUG: what goes wrong tells no secret, and the database holds none.

What the service's processes wrote in the whole session is searched when the stage ends (`tests.stage_lab`).
"""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from attestca_client.protocol import binding
from ca.issuance import csr
from ca.ports import PolicyState
from ca.store import tables
from ca.store.sql import SqlStore
from simulator.cvm import SimulatedQuotes
from tests import records
from tests.app_lab import PASSPHRASE, App
from tests.authority_lab import make_csr
from tests.canary import leaks, private_parts, secrets_of, spellings
from tests.databases import run_to_end
from tests.service_lab import body_of
from tests.stage_lab import Enrolled, ask, database_url, enroll_gpu_machine, operate, written_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.stage import Stage

HARDWARE = ("ppid", "chip id", "serial of GPU 0", "serial of GPU 1")
MARKED_TOKEN = "attestca_" + "marked-token-that-was-never-made-xxxxxxxxxxx"


@given(st.binary(min_size=16, max_size=40), st.binary(max_size=9), st.binary(max_size=9))
def test_the_search_finds_a_secret_in_every_spelling(
    secret: bytes, before: bytes, after: bytes
) -> None:
    around = before + secret + after
    texts = {
        "raw": around,
        "hex": around.hex().encode(),
        "base64": base64.b64encode(around),
        "base64url": base64.urlsafe_b64encode(around).rstrip(b"="),
        "repr": repr({"value": secret}).encode(),
    }
    assert leaks(texts, {"it": secret}) == [f"it in {name}" for name in texts]
    assert all(len(one) >= 8 for one in spellings(secret))


def failures(stage: Stage) -> dict[str, bytes]:
    """What is answered and printed where things go wrong."""
    said: dict[str, bytes] = {}
    for path in ("/v1/admin/policies", "/v1/admin/actions", "/nothing"):
        said[f"refused token {path}"] = operate(stage, "GET", path, MARKED_TOKEN).body
    said["public"] = ask(stage, "GET", "/v1/nonce", Authorization=f"Bearer {MARKED_TOKEN}").body
    said["garbage"] = ask(stage, "POST", "/v1/enrollments", b'{"nonce": "' + PASSPHRASE).body
    wrong = stage.folder / "wrong-passphrase"
    wrong.write_bytes(PASSPHRASE)
    wrong.chmod(0o600)
    done = stage.run(
        ["-m", "ca", "--traceback", "serve", "--config", str(stage.config)],
        ATTESTCA_CA__PASSPHRASE=f"file:{wrong}",
    )
    assert done.returncode == 66, done.stderr
    said["wrong passphrase"] = (done.stdout + done.stderr).encode()
    return said


async def unhandled(stage: Stage) -> bytes:
    """The answer to an enrollment while the database holds what never came through our own door."""
    async with _broken_policy(database_url(stage)):
        nonce = json.loads(ask(stage, "GET", "/v1/nonce").body)
        quotes = SimulatedQuotes(stage.world.machine)
        value = base64.b64decode(nonce["nonce"])
        request = make_csr()
        spki = csr.parse(request).spki_der
        report_data = binding(
            ca_id=bytes.fromhex(nonce["ca_id"]), profile="default", nonce=value, spki_der=spki
        )
        evidence, *_ = quotes(report_data)
        answer = ask(
            stage,
            "POST",
            "/v1/enrollments",
            body_of(value, request, [(evidence.kind, evidence.data)]),
        )
        assert answer.status == 500, answer.body
        return answer.body


@asynccontextmanager
async def _broken_policy(url: str) -> AsyncIterator[None]:
    broken = records.policy("broken", 1, document=b"{" + PASSPHRASE, state=PolicyState.ACTIVE)
    store = await SqlStore.open(url)
    try:
        await store.add_policy(broken, records.ACTION)
        yield
    finally:
        await store._database.write(_remove_broken)
        await store.close()


def _remove_broken(connection: Connection) -> None:
    connection.execute(tables.policies.delete().where(tables.policies.c.name == "broken"))


def rows(connection: Connection) -> dict[str, bytes]:
    """Every value of every table, by table."""
    found: dict[str, bytes] = {}
    for table in tables.metadata.sorted_tables:
        values = (value for row in connection.execute(select(table)) for value in row)
        found[f"table {table.name}"] = b"\n".join(map(_plain, values))
    return found


def _plain(value: Any) -> bytes:  # noqa: ANN401 - of a column
    return value if isinstance(value, bytes) else str(value).encode()


def test_nothing_secret_is_told(stage: Stage, enrolled: Enrolled) -> None:
    marked = secrets_of(stage)
    said = failures(stage)
    answers: list[bytes] = []

    async def talk() -> None:
        answers.append(await unhandled(stage))

    run_to_end(talk())
    said["unhandled"] = answers[0]
    for path in ("/metrics", "/openapi.json", "/.well-known/jwks.json", "/v1/ca/chain", "/readyz"):
        said[path] = ask(stage, "GET", path).body
    said["certificate"] = ask(
        stage, "GET", f"/v1/certificates/{enrolled.leaf.serial_number:x}"
    ).body
    for path in ("whoami", "policies", "certificates", "refusals", "refusals?kind=sampled"):
        answer = operate(stage, "GET", f"/v1/admin/{path}")
        assert answer.status == 200, answer.body
        said[path] = answer.body
    said |= written_by(stage)
    more = {"token of nobody": MARKED_TOKEN.encode(), "other passphrase": PASSPHRASE}
    assert leaks(said, marked | more) == []
    assert b"unhandled" in said["1.log"], "the failure of before is in the log, by its kind"


def test_the_database_holds_no_secret(stage: Stage, enrolled: Enrolled, tmp_path: Path) -> None:
    """Hardware ids stand in the evidence, and AMD's in the kept VCEK; what opens or signs stands nowhere."""
    assert enrolled.folder.exists()
    enroll_gpu_machine(stage, tmp_path)
    marked = secrets_of(stage)
    found: list[dict[str, bytes]] = []

    async def read() -> None:
        store = await SqlStore.open(database_url(stage))
        try:
            found.append(await store._database.read(rows))
        finally:
            await store.close()

    run_to_end(read())
    everything = found[0]
    hardware = {name: marked.pop(name) for name in HARDWARE}
    assert leaks(everything, marked) == []
    evidence, kept = everything.pop("table blobs"), everything.pop("table cached_responses")
    assert leaks(everything, hardware) == []
    assert leaks({"kept": kept}, {"ppid": hardware["ppid"]}) == []
    assert stage.world.machine.chain in evidence, (
        "the counter-check: the quote is there, with the PPID in its chain"
    )
    assert stage.world.gpus[0].chain in evidence, "and the chain of a GPU, with its serial number"


def test_no_secret_file_is_readable_by_others(stage: Stage) -> None:
    for path in stage.root.parent.iterdir():
        if path.suffix in {".key", ".secret"}:
            assert path.stat().st_mode & 0o077 == 0, path
    if not stage.overrides.get("ATTESTCA_DATABASE__URL"):
        assert (stage.config.parent / "attestca.db").stat().st_mode & 0o077 == 0


async def test_no_secret_in_repr(app: App) -> None:
    """What a debugger, a log call in haste or a traceback with locals would print."""
    keys = app.service.keys
    marked = {
        "passphrase": PASSPHRASE,
        "nonce key": keys.folder.secret("nonce"),
        "chip key": keys.folder.secret("chip"),
    }
    for held in (*keys.issuing_cas, *keys.tls, *keys.ear):
        marked |= private_parts(held.ends.isoformat(), held.key)
    shown: dict[str, bytes] = {
        type(thing).__name__: repr(thing).encode()
        for thing in (
            *(app.config, app.service, keys, keys.folder, keys.issuing_cas[0], app.doors),
            *(app.service.authority, app.service.authority.issuing()),
        )
    }
    assert len(shown) == 8
    assert leaks(shown, marked) == []


async def test_the_search_would_find_it(app: App) -> None:
    key = app.service.keys.folder.secret("chip")
    shown = {"repr": repr((1, key)).encode(), "nothing": b""}
    assert leaks(shown, {"chip key": key}) == ["chip key in repr"]
