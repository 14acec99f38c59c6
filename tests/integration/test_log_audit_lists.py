# SPDX-License-Identifier: Apache-2.0
"""`attestca log audit` and the lists of revoked certificates: those that are served are those of the checkpoint."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from attestca_client.protocol import crls_digest
from attestca_client.protocol.checkpoint import EMPTY_HEAD
from ca.cli import log_lists
from ca.cli.exits import Exit
from ca.store.database import Database
from ca.store.tables import crls
from tests.cli_lab import Cli
from tests.log_lab import KEY, MemoryWitness, no_lists, sequencer
from tests.service_lab import open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.service_lab import Service

NOW = datetime.now(UTC)
OTHER = "the checkpoint names other lists than v1/crls"


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with open_service(sqlite_url) as running:
        yield running


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr(log_lists, "PATIENCE", 0.0)
    return Cli(capsys)


async def sign(service: Service, *, lists: bool = True, later: int = 0) -> None:
    served = service.doors.lists if lists else no_lists
    now = NOW + timedelta(seconds=later)
    await sequencer(service.store.log, MemoryWitness(), lists=served).run(now)


async def audited(cli: Cli, url: str) -> tuple[int, list[str], str]:
    words = ("log", "audit", url, "--key", KEY.verifier.text, "--json")
    done = await asyncio.to_thread(cli, *words)
    _, brace, rest = done.out.partition("{\n")  # lines of the service stand around it
    found = json.loads(brace + rest[: rest.find("\n}\n") + 2])["findings"]
    return (
        done.code,
        [one for one in found if "which the log does not tell of" not in one],
        done.err,
    )


async def test_lists_of_the_checkpoint(service: Service, cli: Cli) -> None:
    await sign(service)
    code, found, said = await audited(cli, service.public)
    assert (code, found, "waiting" in said) == (Exit.OK, [], False)
    assert len(await service.doors.lists()) > 1  # type: ignore[arg-type] # it is a tuple


async def test_a_checkpoint_of_other_lists(service: Service, cli: Cli) -> None:
    await sign(service, lists=False)
    assert (await audited(cli, service.public))[:2] == (Exit.REFUSED, [OTHER])


async def test_lists_that_changed_meanwhile(
    service: Service, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next checkpoint has them: that is looked at, and nothing is wrong."""
    monkeypatch.setattr(log_lists, "PATIENCE", 60.0)
    monkeypatch.setattr(log_lists, "EVERY", 0.05)
    await sign(service, lists=False)
    auditing = asyncio.create_task(audited(cli, service.public))
    await asyncio.sleep(1)
    await sign(service, later=61)
    code, found, said = await auditing
    assert (code, found) == (Exit.OK, [])
    assert said.count("waiting up to 60 s") == 1


async def test_another_list_than_is_named(service: Service, sqlite_url: str, cli: Cli) -> None:
    """What relying parties are given is what counts."""
    await sign(service)
    database = Database(sqlite_url)
    try:
        await database.write(lambda connection: connection.execute(crls.update().values(der=b"0")))
    finally:
        await database.close()
    code, found, _ = await audited(cli, service.public)
    named = {one.url for one in await service.doors.lists() if "/2" in one.url}
    assert code == Exit.REFUSED
    assert len(found) == 20 < len(named), "not all of them are told one by one"
    assert {one.split()[0] for one in found} < named
    assert all(one.endswith("is another list than v1/crls names") for one in found)


async def test_a_list_that_is_named_and_not_served(
    service: Service, sqlite_url: str, cli: Cli
) -> None:
    lists = await service.doors.lists()
    gone = [replace(one, url=f"{one.url}x") for one in tuple(lists)[:2]]

    async def named() -> Any:  # noqa: ANN401 - a tuple of what is named
        return tuple(gone)

    liar = await service.add_replica(sqlite_url, lists=named)
    await sequencer(service.store.log, lists=named).run(NOW)
    code, found, _ = await audited(cli, liar.public)
    assert (code, found) == (Exit.REFUSED, [f"{one.url} is not served" for one in gone])


LIST = b"a list"
GOOD = {"http://ca.example/v1/crl/1.crl": sha256(LIST).digest()}


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        (None, "the authority has no v1/crls"),
        ("{", "v1/crls: "),
        ({"digest": "", "lists": []}, "v1/crls has not the digest of the lists that it names"),
        ({"digest": "00", "lists": [1]}, "v1/crls: not the lists"),
        ({"digest": "x", "lists": []}, "v1/crls: not the lists"),
        ({"digest": "00", "lists": [{"url": "u", "sha256": "00"}]}, "v1/crls: not the lists"),
        ({"digest": "00", "lists": [{"url": "u", "sha256": "00" * 32}] * 2}, "v1/crls: not the"),
    ],
    ids=["absent", "no JSON", "another digest", "no list", "no digest", "short", "twice"],
)
async def test_what_is_no_answer(
    service: Service,
    cli: Cli,
    body: Any,  # noqa: ANN401 - any JSON
    finding: str,
) -> None:
    """A server that is not ours."""
    code, found, _ = await audited(cli, await somebody(service, body))
    assert code == Exit.REFUSED
    assert found[0].startswith(finding)


async def test_nobody_else_is_asked_for_a_list(service: Service, cli: Cli) -> None:
    """Whatever host a list's URL names; and what is no URL is said."""
    lists = {
        url: sha256(LIST).digest() for url in (*GOOD, "http://x//ca.invalid/a", "b", "http://[")
    }
    named = [{"url": url, "sha256": one.hex()} for url, one in lists.items()]
    body = {"digest": crls_digest(lists).hex(), "lists": named}
    url = await somebody(service, body, digest=crls_digest(lists))
    assert (await audited(cli, url))[:2] == (Exit.REFUSED, ["http://[ is no URL"])


async def somebody(service: Service, body: Any, digest: bytes = b"d" * 32) -> str:  # noqa: ANN401
    """An empty log with such an answer beside it, and one list at every other address."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/log/checkpoint":
            return web.Response(body=KEY.sign(replace(EMPTY_HEAD, crls_digest=digest)))
        if request.path != "/v1/crls":
            return web.Response(body=LIST)
        if body is None:
            raise web.HTTPNotFound
        return web.Response(text=body if isinstance(body, str) else json.dumps(body))

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    return await service.listen(application)


@given(
    st.binary()
    | st.builds(
        lambda value: json.dumps(value).encode(),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["digest", "lists", "url", "sha256"]), inner, max_size=4
                )
            ),
        ),
    )
)
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    try:
        digest, lists = log_lists._read(body)
    except ValueError:
        return
    assert isinstance(digest, bytes)
    assert all(len(one) == 32 for one in lists.values())
