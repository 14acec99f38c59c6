# SPDX-License-Identifier: Apache-2.0
"""R-07: one second before, at, and one second after each end of every part of the collateral and every certificate."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from simulator.collateral import rfc3339
from tests.tdx_lab import NOW, SECOND, Lab
from verifiers.errors import Reason
from verifiers.tcb import TcbStatus

if TYPE_CHECKING:
    from datetime import datetime

UP_TO_DATE = TcbStatus.UP_TO_DATE
CERTIFICATES = {
    "root": lambda lab: lab.intel.root,
    "PCK CA": lambda lab: lab.intel.platform_ca,
    "PCK": lambda lab: lab.platform.pck,
    "TCB signing": lambda lab: lab.intel.tcb_signing,
}
PARTS = ("tcb_info", "qe_identity", "pck_crl", "root_ca_crl")


def set_window(lab: Lab, part: str, start: datetime, end: datetime) -> None:
    if part in {"tcb_info", "qe_identity"}:
        statement = getattr(lab.intel, part)
        statement.update(issueDate=rfc3339(start), nextUpdate=rfc3339(end))
    else:
        crl = lab.intel.platform_crl if part == "pck_crl" else lab.intel.root_crl
        crl.alter(this_update=start, next_update=end)


@pytest.mark.parametrize("which", CERTIFICATES)
@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(-1, Reason.CERTIFICATE_NOT_YET_VALID), (0, UP_TO_DATE), (1, UP_TO_DATE)],
)
def test_start_of_a_certificate(which: str, seconds: int, outcome: object) -> None:
    lab = Lab.create()
    CERTIFICATES[which](lab).alter(not_before=NOW)
    lab.later(seconds=seconds)
    assert lab.exhibit().outcome() == outcome


@pytest.mark.parametrize("which", CERTIFICATES)
@pytest.mark.parametrize(
    ("seconds", "outcome"), [(-1, UP_TO_DATE), (0, UP_TO_DATE), (1, Reason.CERTIFICATE_EXPIRED)]
)
def test_end_of_a_certificate(which: str, seconds: int, outcome: object) -> None:
    lab = Lab.create()
    CERTIFICATES[which](lab).alter(not_after=NOW)
    lab.later(seconds=seconds)
    assert lab.exhibit().outcome() == outcome


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(-1, Reason.COLLATERAL_NOT_YET_VALID), (0, UP_TO_DATE), (1, UP_TO_DATE)],
)
def test_issue_of_a_part(part: str, seconds: int, outcome: object) -> None:
    lab = Lab.create()
    set_window(lab, part, NOW, NOW + timedelta(days=30))
    lab.later(seconds=seconds)
    assert lab.exhibit().outcome() == outcome


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_next_update_of_a_part(part: str, seconds: int) -> None:
    """Past its next update it is named with the date; only a policy tolerates that, by name (R-29)."""
    lab = Lab.create()
    set_window(lab, part, NOW - timedelta(days=1), NOW)
    lab.later(seconds=seconds)
    claims = lab.exhibit().verify()
    expected = [(part, NOW)] if seconds > 0 else []
    assert [(one.part, one.expired_since) for one in claims.expired_parts] == expected
    assert claims.expires == NOW


def test_the_whole_chain_of_the_collateral_is_dated_too() -> None:
    """The CRL issuer's chain and the signers' are not those of the quote: each is looked at."""
    lab = Lab.create()
    bundle = lab.intel.bundle(lab.platform)
    lab.intel.platform_ca.alter(not_after=NOW - SECOND)
    lab.edit(pck_crl_issuer_chain=lab.intel.bundle(lab.platform)["pck_crl_issuer_chain"])
    lab.intel.platform_ca.alter(not_after=NOW + timedelta(days=700))
    assert bundle["pck_crl_issuer_chain"] != lab.edits["pck_crl_issuer_chain"]
    assert lab.exhibit().outcome() is Reason.CERTIFICATE_EXPIRED
