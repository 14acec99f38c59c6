# SPDX-License-Identifier: Apache-2.0
"""Claims of a TD under Azure's paravisor, and the policy that accepts them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from policies.loader import load_policy
from policies.registers import MUST_PIN, read
from tests.unit.policies.claims_factory import GOOD, TD
from tests.unit.policies.documents import text
from tests.unit.policies.snp_claims import HCL, TPM
from verifiers.evidence import Provider, Tee

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy

AZURE_TD = replace(
    GOOD,
    provider=Provider.AZURE,
    td=replace(TD, **{f"rtmr{number}": bytes(48) for number in range(4)}),
    attributes=frozenset(),
    hcl=HCL,
    tpm=TPM,
)
MUST = MUST_PIN[Tee.TDX, Provider.AZURE]
VALUES = {one.value: (read(AZURE_TD, one) or b"").hex() for one in MUST}
MATCH = {"tee": "tdx", "provider": "azure"}
RELAX = {"sept-ve-disable-clear": "the paravisor handles exceptions"}


def td_policy(tdx: dict[str, Any] | None = None, **sections: Any) -> LoadedPolicy:  # noqa: ANN401  JSON values
    """A policy that accepts AZURE_TD; arguments as those of `documents.text`."""
    sets = {"release": [{"id": "r1", "values": VALUES}]}
    said = {"match": MATCH, "relax": RELAX, "reference_sets": sets} | sections
    return load_policy(text(tdx, **said))
