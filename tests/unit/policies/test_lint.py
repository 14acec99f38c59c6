# SPDX-License-Identifier: Apache-2.0
"""What is unwise: errors that refuse a document, warnings that are shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from policies.lint import Severity, lint
from policies.loader import LoadedPolicy, load_default
from tests.unit.policies.claims_factory import NOW, register
from tests.unit.policies.documents import MUST_PIN, RELEASE, entry, policy
from verifiers.evidence import Tee

FIXED = {"san": {"dns": ["web.example.org"]}}
ZERO = bytes(48)


def remarks(loaded: LoadedPolicy, severity: Severity) -> dict[str, str]:
    return {
        remark.problem.path: remark.problem.message
        for remark in lint(loaded, NOW)
        if remark.severity is severity
    }


def errors(loaded: LoadedPolicy) -> dict[str, str]:
    return remarks(loaded, Severity.ERROR)


def warnings(loaded: LoadedPolicy) -> dict[str, str]:
    return remarks(loaded, Severity.WARNING)


def test_a_good_policy_has_no_remarks() -> None:
    assert lint(policy(), NOW) == ()


def test_the_default_is_refused_until_it_pins_something() -> None:
    found = [
        remark.problem.message for remark in lint(load_default(Tee.TDX), NOW) if remark.is_error
    ]
    assert sum("is not pinned" in message for message in found) == len(MUST_PIN)
    assert sum("no entry in force" in message for message in found) == 1
    assert len(found) == len(MUST_PIN) + 1


def test_a_remark_has_its_place() -> None:
    (remark,) = lint(policy(warn={"fmspc": "2020-01-01"}), NOW)
    assert remark.problem.line == 1
    assert remark.problem.column > 1
    assert str(remark) == f"warning: {remark.problem}"
    assert not remark.is_error


def test_without_marks_there_is_no_place() -> None:
    loaded = policy(relax={"debug": "a test"})
    (remark,) = lint(LoadedPolicy(loaded.document, loaded.sha256), NOW)
    assert (remark.problem.line, remark.problem.path) == (0, "relax.debug")


def test_a_certificate_needs_a_name() -> None:
    assert errors(policy(issue={})) == {
        "issue.san": "grants no name; a certificate needs at least one"
    }


@pytest.mark.parametrize(
    "san", [{"dns": ["web.example.org"]}, {"uri": ["spiffe://example.org/{mr_td}/{fmspc}"]}]
)
def test_a_fixed_name_is_an_error(san: dict[str, list[str]]) -> None:
    (path,) = errors(policy(issue={"san": san}))
    assert path == f"issue.san.{next(iter(san))}[0]"


def test_only_the_fixed_ones_are_named() -> None:
    san = {"dns": ["{mr_owner_32}.example.org", "web.example.org"]}
    assert list(errors(policy(issue={"san": san}))) == ["issue.san.dns[1]"]


def test_a_fixed_name_may_be_shared_by_name() -> None:
    assert errors(policy(issue=FIXED | {"shared_name": "a pool of equals"})) == {}


@pytest.mark.parametrize("name", ["mr_config_id", "mr_owner", "mr_owner_config"])
def test_a_pinned_instance_field_allows_a_fixed_name(name: str) -> None:
    pinned = {
        "release": [
            entry("a", **{name: register(1)}),
            entry("b", **{name: [register(2), register(3)]}),
        ]
    }
    assert errors(policy(reference_sets=pinned, issue=FIXED)) == {}


@pytest.mark.parametrize(
    "entries",
    [
        [entry("a", mr_config_id=ZERO)],
        [entry("a", mr_config_id=[register(1), ZERO])],
        [entry("a", mr_config_id=register(1)), RELEASE],
        [entry("a", mr_config_id=register(1)), entry("b", mr_owner=register(1))],
        [entry("a", rtmr3=register(1))],
    ],
    ids=["zero", "zero among others", "not in every entry", "another field", "no instance field"],
)
def test_half_a_pin_does_not_allow_a_fixed_name(entries: list[dict[str, Any]]) -> None:
    assert list(errors(policy(reference_sets={"release": entries}, issue=FIXED))) == [
        "issue.san.dns[0]"
    ]


def test_an_empty_set_pins_no_instance() -> None:
    assert "issue.san.dns[0]" in errors(policy(reference_sets={"release": []}, issue=FIXED))


def test_the_pin_may_stand_in_another_used_set() -> None:
    sets = {"release": [RELEASE], "owner": [{"id": "o", "values": {"mr_owner": "01" * 48}}]}
    used = policy({"measurements": ["release", "owner"]}, reference_sets=sets, issue=FIXED)
    assert errors(used) == {}
    assert list(errors(policy(reference_sets=sets, issue=FIXED))) == ["issue.san.dns[0]"]


@pytest.mark.parametrize("kind", ["ppid", "platform_instance_id"])
def test_a_list_of_machines_allows_a_fixed_name(kind: str) -> None:
    listed = {"platforms": {kind: ["01" * 16]}}
    assert errors(policy(listed, issue=FIXED)) == {}
    warned = policy(listed, issue=FIXED, warn={"chip-list": "2027-01-01"})
    assert list(errors(warned)) == ["issue.san.dns[0]"]


def test_a_set_without_an_entry_in_force_is_an_error() -> None:
    expired = RELEASE | {"expires": "2026-06-01T12:00:00Z"}
    found = policy(reference_sets={"release": [expired]})
    assert errors(found) == {
        "tdx.measurements[0]": "the reference set release has no entry in force"
    }
    assert warnings(found) == {"reference_sets.release[0]": "r1 has expired"}
    assert not any(remark.is_error for remark in lint(found, NOW - timedelta(seconds=1)))


@pytest.mark.parametrize(
    ("loaded", "path", "message"),
    [
        (policy(not_after="2026-06-01T12:00:00Z"), "not_after", "denies everything"),
        (
            policy(reference_sets={"release": [RELEASE], "old": [entry("x")]}),
            "reference_sets.old",
            "not used",
        ),
        (
            policy(reference_sets={"release": [entry("a", rtmr2=ZERO)]}),
            "reference_sets.release[0].values.rtmr2",
            "nothing was measured",
        ),
        (policy({"unpinned": {"rtmr0": "it varies"}}), "tdx.unpinned.rtmr0", "pinned all the same"),
        (
            policy(
                {"measurements": [], "unpinned": dict.fromkeys(MUST_PIN, "a research cluster")},
                reference_sets={},
            ),
            "tdx.unpinned.rtmr1",
            "left open",
        ),
        (
            policy({"tcb": {"accept": [{"status": "OutOfDate", "until": "2026-06-01"}]}}),
            "tdx.tcb.accept[0]",
            "has ended",
        ),
        (policy(relax={"migratable": "our cluster"}), "relax.migratable", "is off"),
        (policy(warn={"fmspc": "2026-06-01T12:00:00Z"}), "warn.fmspc", "has ended"),
        (policy(warn={"fmspc": "2026-06-01T12:00:01Z"}), "warn.fmspc", "only warns"),
        (
            policy(issue={"lifetime": "25h", "san": {"dns": ["{mr_owner_32}.example.org"]}}),
            "issue.lifetime",
            "longer than",
        ),
        (
            policy(
                issue={"withhold_chip_handle": True, "san": {"dns": ["{mr_owner_32}.example.org"]}}
            ),
            "issue.withhold_chip_handle",
            "keeps those that it has to their end",
        ),
    ],
)
def test_warnings(loaded: LoadedPolicy, path: str, message: str) -> None:
    assert message in warnings(loaded)[path]
    assert errors(loaded) == {}


def test_what_is_still_to_come_is_not_remarked_on() -> None:
    ahead = policy(
        {
            "tcb": {
                "accept": [
                    {"status": "OutOfDate", "until": "2026-07-01"},
                    {"status": "SWHardeningNeeded"},
                ]
            }
        },
        not_after="2026-07-01",
        reference_sets={"release": [RELEASE | {"expires": "2026-07-01"}]},
    )
    assert lint(ahead, NOW) == ()
