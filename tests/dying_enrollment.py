# SPDX-License-Identifier: Apache-2.0
"""A process whose children enroll as the service would, and die at a step (see `tests.dying`).

A line names where the service's files, database and vendor are, the body of the request, and the step. Store and signer
are wrapped from outside.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import sqlalchemy.dialects.postgresql.asyncpg  # noqa: F401 - loaded by name later; once is enough

from ca.app.service import clock, opened
from ca.enrollment import enroll
from ca.http.wire import decode_enrollment
from ca.policy_admin import ActivePolicies
from tests import dying
from tests.app_lab import cheap_passphrases, make_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.authority import Authority, Issuing
    from ca.ports import Signer, Store


def announced(authority: Authority, step: Callable[[str], None]) -> Authority:
    """The same authority, watched."""
    store = cast("Store", dying.Announced(authority.store, step))

    def issuing() -> Issuing:
        real = authority.issuing()
        return replace(real, signer=cast("Signer", dying.Announced(real.signer, step)))

    return replace(authority, store=store, policies=ActivePolicies(store), issuing=issuing)


async def enroll_and_die(order: dict[str, str], steps: dying.Steps) -> None:
    config = make_config(
        Path(order["folder"]), order["database"], vendor=order["vendor"], root_pem=order["root"]
    )
    async with opened(config) as service:
        request = decode_enrollment(order["body"].encode())
        await enroll(request, announced(service.authority, steps), clock())


if __name__ == "__main__":
    cheap_passphrases()
    dying.serve(enroll_and_die)
