# SPDX-License-Identifier: Apache-2.0
"""Line 113 of the TDX corpus: statements of Intel that are older than those that decided before decide nothing.

Two evaluations are validly signed and in date side by side; a cache on the way, a PCCS or whoever writes to our
database could hand out the one that does not know of an attack yet.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.app_lab import open_app, problem_of
from tests.tdx_lab import Lab
from verifiers import registry
from verifiers.errors import Reason, VerificationError
from verifiers.tdx.endorsements import PcsSource, TdxEndorsements
from verifiers.tdx.quote import parse_quote

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app_lab import App
    from tests.vendor_lab import Clock
    from verifiers.tdx.endorsements import Update

RECOVERED = 21


def publish(
    app: App,
    number: int,
    status: str = "UpToDate",
    *,
    part: str = "tcb_info",
    after: timedelta = timedelta(hours=7),
) -> None:
    """Intel states another evaluation; after seven hours what we hold is old enough to be asked for anew."""
    statement = app.intel.tcb_info if part == "tcb_info" else app.intel.qe_identity
    statement["tcbEvaluationDataNumber"] = number
    if part == "tcb_info":
        statement["tcbLevels"][0]["tcbStatus"] = status
    app.clock.advance(seconds=after.total_seconds())


@pytest.mark.parametrize("status", ["OutOfDate", "Revoked"])
async def test_a_denial_is_not_undone_by_an_older_statement(app_on_both: App, status: str) -> None:
    """By the policy (OutOfDate) and by Intel's own rules (Revoked)."""
    app = app_on_both
    before = app.intel.tcb_info["tcbEvaluationDataNumber"]
    assert (await app.enroll()).status == 201
    publish(app, RECOVERED, status)
    assert (await app.enroll()).status == 403
    publish(app, before)
    body = app.body(await app.nonce())
    problem_of(await app.post(body), 503, "collateral-unusable")
    assert len(await app.service.store.refusals(10, None)) == 1
    problem_of(await app.post(body), 503, "collateral-unusable")
    # an answer that proved outdated is asked for anew, once a minute; the nonce is still good
    publish(app, RECOVERED, after=timedelta(minutes=1))
    assert (await app.post(body)).status == 201


async def test_the_same_and_newer_ones_go_on(app: App) -> None:
    for number in (RECOVERED, RECOVERED, RECOVERED + 1):
        publish(app, number)
        assert (await app.enroll()).status == 201


@pytest.mark.parametrize(
    ("part", "other"), [("tcb_info", "qe_identity"), ("qe_identity", "tcb_info")]
)
async def test_each_statement_by_itself(app: App, part: str, other: str) -> None:
    """Were only the lower of the two numbers kept, one that lags would hide that the other goes back."""
    publish(app, 30, part=part)
    publish(app, 20, part=other)
    assert (await app.enroll()).status == 201
    publish(app, 21, part=other)
    publish(app, 29, part=part)
    problem_of(await app.enroll(), 503, "collateral-unusable")


async def test_a_restart_forgets_nothing(app_clock: Clock, sqlite_url: str, tmp_path: Path) -> None:
    """Nor does another replica: the store is what knows."""
    async with open_app(tmp_path, sqlite_url, app_clock) as app:
        publish(app, RECOVERED)
        assert (await app.enroll()).status == 201
    app_clock.advance(hours=7)
    async with open_app(tmp_path, sqlite_url, app_clock) as app:
        assert app.intel.tcb_info["tcbEvaluationDataNumber"] < RECOVERED
        problem_of(await app.enroll(), 503, "collateral-unusable")


def evaluations(update: Update, *, missing: bool = False) -> dict[str, int]:
    exhibit = Lab.create().exhibit()
    endorsements = TdxEndorsements() if missing else exhibit.endorsements
    sources = registry.Sources(PcsSource(update=update))
    return registry.evaluations(parse_quote(exhibit.quote), endorsements, sources, exhibit.anchors)


def test_what_is_published_early_is_a_line_of_its_own() -> None:
    """So that an operator can go back to `standard`, which is behind for months."""
    standard, early = evaluations("standard"), evaluations("early")
    fmspc = Lab.create().intel.fmspc
    assert standard.keys() == {f"tdx/standard/tcb_info/{fmspc}", "tdx/standard/qe_identity"}
    assert early.keys() == {f"tdx/early/tcb_info/{fmspc}", "tdx/early/qe_identity"}


def test_numbers_come_from_authentic_statements_alone() -> None:
    with pytest.raises(VerificationError) as error:
        evaluations("standard", missing=True)
    assert error.value.reason is Reason.INCOMPLETE
