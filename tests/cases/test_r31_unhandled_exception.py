# SPDX-License-Identifier: Apache-2.0
"""R-31: an exception that nobody expected is a 500 problem, an alarm and no change of state."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest
from sqlalchemy import create_engine, func, select
from structlog.testing import capture_logs

from ca.errors import AuthorityError, LintFailed
from ca.store.tables import metadata
from tests.service_lab import open_service

if TYPE_CHECKING:
    from verifiers.endorsements import Gather

T = TypeVar("T")
CANARY = "words-that-may-hold-anything"


class Failing:
    """An endorser with a fault that no type of ours describes."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def distrust(self, gather: Gather[T]) -> None:
        gather.close()

    async def run(self, gather: Gather[T]) -> T:
        gather.close()
        raise self.error


def rows(url: str) -> dict[str, int]:
    """Rows of every table that a request could fill."""
    engine = create_engine(url)
    with engine.connect() as connection:
        counted = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }
    engine.dispose()
    return counted


@pytest.mark.parametrize(
    ("error", "alarm"),
    [
        (ZeroDivisionError(CANARY), "unhandled"),
        (KeyError(CANARY), "unhandled"),
        (RecursionError(CANARY), "unhandled"),
        (MemoryError(CANARY), "unhandled"),
        (LintFailed(CANARY), "internal"),
        (AuthorityError(CANARY), "internal"),
    ],
)
async def test_in_the_middle_of_an_enrollment(
    sqlite_url: str, error: Exception, alarm: str
) -> None:
    async with open_service(sqlite_url) as service:
        broken = await service.add_variant(endorser=Failing(error))
        nonce = await service.nonce()
        body, before = service.request(nonce), rows(sqlite_url)
        with capture_logs() as logs:
            reply = await service.post(body, to=broken.public)
        problem = reply.json()
        assert (reply.status, problem["code"]) == (500, "internal")
        assert set(problem) == {"type", "title", "status", "code", "detail", "incident"}
        assert CANARY not in reply.body.decode()
        metrics = broken.doors.state.metrics.exposition().decode()
        assert f'attestca_alarms_total{{kind="{alarm}"}} 1.0' in metrics
        assert 'attestca_enrollments_total{outcome="error"} 1.0' in metrics
        (line,) = [entry for entry in logs if entry["event"] == "http.failed"]
        assert line["request_id"] == problem["incident"] == reply.headers["X-Request-Id"]
        assert (CANARY in str(line)) == isinstance(error, AuthorityError)
        # nothing was changed: not a row, no signature, and the nonce is as good as before
        assert rows(sqlite_url) == before
        assert service.signer.asked == 0
        assert (await service.post(body)).status == 201


async def test_the_log_says_where(sqlite_url: str) -> None:
    def jwks() -> dict[str, object]:
        raise KeyError(CANARY)

    async with open_service(sqlite_url, accepting=False) as service:
        broken = await service.add_replica(sqlite_url, jwks=jwks)
        with capture_logs() as logs:
            reply = await service.send("GET", broken.public + "/.well-known/jwks.json")
        assert (reply.status, reply.code) == (500, "internal")
        (line,) = [entry for entry in logs if entry["event"] == "http.failed"]
        assert line["error"] == "KeyError"
        assert any("handlers.py" in place for place in line["places"])


async def test_the_service_goes_on(sqlite_url: str) -> None:
    async with open_service(sqlite_url) as service:
        broken = await service.add_variant(endorser=Failing(ZeroDivisionError()))
        for _ in range(5):
            body = service.request(await service.nonce())
            assert (await service.post(body, to=broken.public)).status == 500
        admission = broken.doors.state.admission
        assert (admission.under_way, admission.waiting) == (0, 0)
        healthy = replace(service.doors.authority)
        again = await service.add_replica(sqlite_url, authority=healthy)
        assert (
            await service.post(service.request(await service.nonce()), to=again.public)
        ).status == 201
