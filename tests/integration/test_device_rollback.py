# SPDX-License-Identifier: Apache-2.0
"""A device that NVIDIA was heard to revoke: no answer of before that is accepted later, from whoever gives it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from simulator.nvidia.vendor import GOOD, ON_HOLD, REVOKED
from tests.app_lab import problem_of
from tests.device_app import DeviceApp, open_device_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.nvidia.certificates import Party
    from simulator.nvidia.hardware import NvidiaDevice
    from tests.vendor_lab import Clock


@pytest.fixture
async def lab(app_clock: Clock, sqlite_url: str, tmp_path: Path) -> AsyncIterator[DeviceApp]:
    async with open_device_app(tmp_path, sqlite_url, app_clock) as running:
        await running.accept()
        yield running


def board(gpu: NvidiaDevice) -> Party:
    """Whose status is asked for: the certificate of the board."""
    return gpu.device.parties[1]


def recorded(lab: DeviceApp, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - of an Answer
    """What whoever is on the way can have kept: a good answer of now, which ends in a day."""
    now = lab.app.clock().replace(microsecond=0)
    return GOOD | {"this_update": now, "next_update": now + timedelta(days=1)} | changes


def hour_later(lab: DeviceApp) -> None:
    """What is kept is asked for anew."""
    lab.app.clock.advance(minutes=61)


async def refusals(lab: DeviceApp) -> list[str]:
    """Their codes, the last first."""
    found = await lab.app.service.store.refusals(10, None)
    return [json.loads(one.decision.result_json)["reason"]["code"] for one in found]


@pytest.mark.parametrize("said", [REVOKED, ON_HOLD], ids=["revoked", "on hold"])
@pytest.mark.parametrize("algorithm", ["sha384", "sha1"])
async def test_an_answer_of_before_a_revocation_is_no_answer(
    lab: DeviceApp, said: dict[str, Any], algorithm: str
) -> None:
    gpu, other = lab.nvidia.gpu(), lab.nvidia.gpu()
    before = recorded(lab, algorithm=algorithm)
    assert (await lab.enroll(gpu)).status == 201
    lab.nvidia.status(board(gpu), said)
    hour_later(lab)
    problem_of(await lab.enroll(gpu), 403, "certificate-revoked")
    lab.nvidia.status(board(gpu), before)
    hour_later(lab)
    problem_of(await lab.enroll(gpu), 503, "collateral-unusable")
    assert await refusals(lab) == ["certificate-revoked"]
    assert (await lab.enroll(other)).status == 201, "no other device is held back"
    # NVIDIA itself may say another thing later, as it does of what was on hold
    lab.nvidia.status(board(gpu), GOOD)
    lab.app.clock.advance(minutes=2)  # what was outdated is asked for anew
    assert (await lab.enroll(gpu)).status == 201


async def test_nor_is_one_about_who_signed_a_manifest(lab: DeviceApp) -> None:
    gpu = lab.nvidia.gpu()
    signer = lab.nvidia.manifests[gpu.rim_ids[0]].chain[0]
    before = recorded(lab)
    lab.nvidia.status(signer, REVOKED)
    hour_later(lab)
    problem_of(await lab.enroll(gpu), 403, "certificate-revoked")
    lab.nvidia.status(signer, before)
    hour_later(lab)
    problem_of(await lab.enroll(gpu), 503, "collateral-unusable")


async def test_a_revocation_is_heard_where_another_reason_refuses(lab: DeviceApp) -> None:
    """Two devices, one of them revoked: the other one's good answer is remembered by nobody."""
    good, bad = lab.nvidia.gpu(), lab.nvidia.gpu()
    before = recorded(lab)
    lab.nvidia.status(board(bad), REVOKED)
    problem_of(await lab.enroll(good, bad), 403, "certificate-revoked")
    lab.nvidia.status(board(good), before)
    lab.nvidia.status(board(bad), before)
    hour_later(lab)
    assert (await lab.enroll(good)).status == 201
    problem_of(await lab.enroll(good, bad), 503, "collateral-unusable")
