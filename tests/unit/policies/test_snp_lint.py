# SPDX-License-Identifier: Apache-2.0
"""What is unwise in a policy about SEV-SNP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from policies.lint import lint
from policies.loader import load_default
from tests.unit.policies.claims_factory import NOW
from tests.unit.policies.documents import SNP_RELEASE, snp_entry, snp_policy
from tests.unit.policies.snp_claims import REPORT
from tests.unit.policies.test_lint import errors, warnings
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from policies.loader import LoadedPolicy

FIXED = {"san": {"dns": ["web.example.org"]}}
AZURE = {"tee": "snp", "provider": "azure"}
CHIP = REPORT.chip_id.hex()
PCRS = {f"pcr{number}": f"{number:02x}" * 32 for number in (4, 8, 9, 11, 12)}


def test_a_good_policy_has_no_remarks() -> None:
    assert lint(snp_policy(), NOW) == ()


def test_the_default_is_refused_until_it_pins_something() -> None:
    default = load_default(Tee.SNP)
    assert list(errors(default)) == ["snp.measurements", "snp.measurements[0]"]
    assert list(warnings(default)) == ["snp.products", "snp.tcb.no_floor"]


@pytest.mark.parametrize(
    ("match", "entry", "open_"),
    [
        ({"tee": "snp"}, {"host_data": "01" * 32}, ["measurement"]),
        ({"tee": "snp", "provider": "direct"}, {"host_data": "01" * 32}, ["measurement"]),
        (AZURE, {"host_data": "01" * 32}, ["measurement", *PCRS]),
        (AZURE, PCRS | {"measurement": "01" * 48}, []),
        *(
            (
                AZURE,
                {k: v for k, v in PCRS.items() if k != left} | {"measurement": "01" * 48},
                [left],
            )
            for left in PCRS
        ),
    ],
)
def test_what_must_be_pinned_goes_by_the_provider(
    match: dict[str, str], entry: dict[str, str], open_: list[str]
) -> None:
    loaded = snp_policy(match=match, reference_sets={"release": [{"id": "a", "values": entry}]})
    found = [one.problem.message.split()[0] for one in lint(loaded, NOW) if one.is_error]
    assert found == open_


OPEN = {"measurement": "the cloud changes it"}
ANY, DIRECT = {"tee": "snp"}, {"tee": "snp", "provider": "direct"}


@pytest.mark.parametrize(
    ("match", "entries", "open_", "refused"),
    [
        (AZURE, [PCRS], OPEN, True),
        (ANY, [PCRS], OPEN, True),
        (AZURE, [PCRS | {"measurement": "01" * 48}, PCRS], OPEN, True),
        (AZURE, [PCRS | {"id_key_digest": "00" * 48}], OPEN, True),
        (AZURE, [PCRS | {"id_key_digest": "01" * 48}, PCRS], OPEN, True),
        (AZURE, [{"host_data": "01" * 32}], OPEN | dict.fromkeys(PCRS, "x y z"), True),
        (ANY, [{"host_data": "01" * 32}], OPEN | dict.fromkeys(PCRS, "x y z"), True),
        (AZURE, [PCRS | {"measurement": "01" * 48}], {}, False),
        (AZURE, [PCRS | {"id_key_digest": "01" * 48}], OPEN, False),
        (AZURE, [PCRS | {"author_key_digest": "01" * 48}], OPEN, False),
        (DIRECT, [{"host_data": "01" * 32}], OPEN, False),
        # of no provider in particular, but Azure's evidence lacks its PCRs
        (ANY, [{"host_data": "01" * 32}], OPEN, False),
    ],
)
def test_pcrs_are_worth_what_the_paravisor_is(
    match: dict[str, str], entries: list[dict[str, str]], open_: dict[str, str], *, refused: bool
) -> None:
    """Whose paravisor is not pinned may be anybody's guest, with a TPM and PCRs of its own making."""
    release = [{"id": f"r{index}", "values": one} for index, one in enumerate(entries)]
    section = {"unpinned": open_} if open_ else {}
    found = errors(snp_policy(section, match=match, reference_sets={"release": release}))
    assert list(found) == (["snp.unpinned.measurement"] if refused else [])
    assert all("a TPM of its own" in message for message in found.values())


@pytest.mark.parametrize(
    ("loaded", "fixed"),
    [
        (snp_policy(issue=FIXED), True),
        (snp_policy(issue=FIXED | {"shared_name": "a pool of equals"}), False),
        (
            snp_policy(
                issue=FIXED,
                reference_sets={"release": [snp_entry("a", host_data=REPORT.host_data)]},
            ),
            False,
        ),
        (
            snp_policy(
                issue=FIXED, reference_sets={"release": [snp_entry("a", host_data=bytes(32))]}
            ),
            True,
        ),
        (
            snp_policy(
                issue=FIXED,
                reference_sets={"release": [snp_entry("a", id_key_digest=REPORT.id_key_digest)]},
            ),
            True,
        ),
        (snp_policy({"chips": [CHIP]}, issue=FIXED), False),
        (snp_policy({"chips": [CHIP]}, issue=FIXED, warn={"chip-list": "2027-01-01"}), True),
    ],
    ids=["plain", "reason", "host data", "zero", "id key", "chips", "chips only warned about"],
)
def test_a_fixed_name(loaded: LoadedPolicy, fixed: bool) -> None:  # noqa: FBT001  a table
    found = errors(loaded)
    assert list(found) == (["issue.san.dns[0]"] if fixed else [])
    assert all("Pin host_data (not all zero)" in message for message in found.values())


@pytest.mark.parametrize(
    ("section", "path", "message"),
    [
        ({"tcb": {"no_floor": "x y z"}}, "snp.tcb.no_floor", "known holes"),
        ({"tcb": {"advisories": ["AMD-SB-3019", "AMD-SB-1"]}}, "snp.tcb.advisories[1]", "newer"),
        ({"tcb": {"advisories": ["AMD-SB-3015"]}}, "snp.tcb.advisories", "there is no floor"),
        ({"tcb": {"advisories": ["AMD-SB-1"]}}, "snp.tcb.advisories[0]", "newer"),
        ({"vlek": {"csp_ids": ["CN=a"]}}, "snp.vlek", "no chip's"),
        ({"vmpl": [1]}, "snp.vmpl", "another level"),
        ({"products": {}}, "snp.products", "Milan is allowed"),
        ({"unpinned": {"measurement": "x y z"}}, "snp.unpinned.measurement", "all the same"),
        ({"unpinned": {"pcr4": "x y z"}}, "snp.unpinned.pcr4", "left open"),
    ],
)
def test_warnings(section: dict[str, Any], path: str, message: str) -> None:
    found = warnings(snp_policy(section))
    assert list(found) == [path]
    assert message in found[path]
    assert errors(snp_policy(section)) == {}


def test_a_floor_beside_an_advisory_about_the_platform_will_do() -> None:
    floors = {"19-11-1": {"reported": {"snp": 27}}}
    tcb = {"advisories": ["AMD-SB-3015"], "minimum": floors}
    assert lint(snp_policy({"tcb": tcb}), NOW) == ()
    both = {"advisories": ["AMD-SB-3015", "AMD-SB-3027"]}
    assert lint(snp_policy({"tcb": both}), NOW) == ()


@pytest.mark.parametrize(
    "products", [{"allow": ["Genoa"]}, {"deny": ["Milan"]}, {"allow": ["Milan"], "deny": ["Milan"]}]
)
def test_milan_can_be_kept_out(products: dict[str, Any]) -> None:
    assert warnings(snp_policy({"products": products})) == {}


def test_milan_machines_of_a_trusted_operator_can_be_listed() -> None:
    assert warnings(snp_policy({"products": {}, "chips": [CHIP]})) == {}


def test_an_all_zero_register_is_pointed_out() -> None:
    zero = {"release": [SNP_RELEASE | {"values": {"measurement": "00" * 48}}]}
    assert list(warnings(snp_policy(reference_sets=zero))) == [
        "reference_sets.release[0].values.measurement"
    ]


@pytest.mark.parametrize(
    ("pcr", "odd"), [(4, True), (8, False), (9, False), (11, False), (12, False)]
)
def test_a_pcr_that_a_boot_need_not_use_may_be_zero(pcr: int, *, odd: bool) -> None:
    """Zero says that nothing was measured: no command line, no credential from outside."""
    values = PCRS | {"measurement": "01" * 48, f"pcr{pcr}": "00" * 32}
    entry = {"id": "a", "values": values}
    found = warnings(snp_policy(match=AZURE, reference_sets={"release": [entry]}))
    assert list(found) == ([f"reference_sets.release[0].values.pcr{pcr}"] if odd else [])
