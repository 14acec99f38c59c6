# SPDX-License-Identifier: Apache-2.0
"""R-52: a whole generation of CPUs falls: the policy denies it, and one revocation takes what is live of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attestca_client.protocol import HandleKind, handle
from tests.revoking import issued, listed, preview, publish, refused, revoke
from tests.snp_app import open_snp_app, policy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.vendor_lab import Clock

MILAN = {"kind": "product", "value": "Milan"}


async def test_a_generation_is_revoked_and_denied(
    app_clock: Clock, database_url: str, tmp_path: Path
) -> None:
    async with open_snp_app(tmp_path, database_url, app_clock, ("Milan", "Genoa")) as snp:
        await snp.accept()
        milans = [snp.amd.machine("Milan") for _ in range(3)]
        genoa = snp.amd.machine("Genoa")
        fallen = [issued(await snp.enroll(machine)) for machine in milans]
        stays = issued(await snp.enroll(genoa))
        seen = await preview(snp.app, **MILAN)
        assert (seen["count"], seen["revoked"]) == (3, None)
        assert {int(one["serial"], 16) for one in seen["certificates"]} == {
            leaf.serial_number for leaf in fallen
        }

        done = await revoke(snp.app, **MILAN, note="every Milan leaks")
        assert done["handle"] == handle(HandleKind.PRODUCT, b"Milan").hex()
        assert len(await snp.app.service.store.revocations(10, None)) == 1
        for machine in milans:
            refused(await snp.enroll(machine), "product")
        await publish(snp.app)
        for leaf in fallen:
            assert await listed(snp.app, leaf) is not None
        assert await listed(snp.app, stays) is None
        issued(await snp.enroll(genoa))

        # From now on the policy says it too, and what it says comes before what is revoked.
        denying = policy(version=2, rules="  products: {deny: [Milan]}")
        await snp.app.accept_image(denying)
        denied = await snp.enroll(milans[0])
        assert denied.code == "denied"
        assert [one["rule"] for one in denied.json()["findings"]] == ["product"]
        issued(await snp.enroll(genoa))
