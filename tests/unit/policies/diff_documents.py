# SPDX-License-Identifier: Apache-2.0
"""Documents that differ in one thing, for the tables of differences."""

from __future__ import annotations

from typing import Any, TypeAlias

from policies.document import PolicyDocument
from policies.loader import load_policy
from tests.unit.policies.documents import RELEASE, snp_text, text

# the older document, the newer one, and path, effect, before and after of each difference
Case: TypeAlias = tuple[PolicyDocument, PolicyDocument, list[tuple[str, str, str, str]]]

NVIDIA: dict[str, Any] = {
    "gpus": 1,
    "models": ["GH100"],
    "modes": ["spt"],
    "driver": {"minimum": {"580": "580.178.04"}},
    "vbios": {"minimum": {"GH100": "96.00.CF.00.01"}},
}
ONE, TWO, ZERO = "11" * 16, "22" * 16, "00" * 48


def tdx(section: dict[str, Any] | None = None, **sections: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return load_policy(text(section, **sections)).document


def snp(section: dict[str, Any] | None = None, **sections: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return load_policy(snp_text(section, **sections)).document


def nvidia(**section: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return tdx(nvidia=NVIDIA | section)


def google(**section: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return tdx(google={"projects": ["web"]} | section)


def tcb(**section: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return tdx({"tcb": section})


def least(**section: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return tcb(minimum=section)


def floor(**section: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return snp({"tcb": section})


def sets(*entries: dict[str, Any], **others: Any) -> PolicyDocument:  # noqa: ANN401 - JSON values
    return tdx(reference_sets={"release": list(entries)} | others)


EXPIRES = RELEASE | {"expires": "2027-01-01"}
OUT_OF_DATE = {"status": "OutOfDate", "advisories": ["INTEL-SA-1"]}
