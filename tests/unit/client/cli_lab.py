# SPDX-License-Identifier: Apache-2.0
"""What tests of the client's command line share; the fixtures are beside it, in conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.client.fake_authority import Pki

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.client.fake_authority import FakeAuthority

PKI = Pki()
FINDING = {"rule": "measurements", "path": "mr_td", "result": "fail", "hint": "not a known image"}


def arguments(authority: FakeAuthority, root_file: Path, *more: str) -> list[str]:
    """`enroll` at this authority, into the folder `out` beside the root certificate."""
    out = str(root_file.parent / "out")
    return ["enroll", "--ca", authority.url, "--ca-root", str(root_file), "--out", out, *more]
