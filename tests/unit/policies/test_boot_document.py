# SPDX-License-Identifier: Apache-2.0
"""The section `boot`: every key is read, what is wrong has its place, and what cannot be softened is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import event_types, patterns
from policies.boot_document import BootRules
from policies.boot_values import MAX_DATA
from policies.document import PolicyDocument
from policies.loader import load
from policies.rules import BOOT_RULES, RELAXABLE, WARNABLE, RuleId
from tests.unit.policies.documents import attempt, faults, policy, snp_entry, snp_text, text
from verifiers.eventlog.claims import SecureBoot
from verifiers.eventlog.events import Register

D48, D32, D20 = "ab" * 48, "cd" * 32, "ef" * 20
EVERYTHING: dict[str, Any] = {
    "require_replay": ["rtmr0", "rtmr3"],
    "secure_boot": ["enabled", "absent"],
    "db_certificates": [D32],
    "db_hashes": [D32],
    "images": [D48],
    "kernel_cmdline": {"patterns": ["a.*"], "files": [D48]},
    "cmdline_digest": D48,
    "initrd_digest": [D48],
    "events": [
        {"id": "one", "register": "rtmr0", "at": 1, "digests": D48},
        {
            "id": "two",
            "register": "rtmr3",
            "type": "EV_IPL",
            "name": "n",
            "data": "00",
            "patterns": ["b"],
            "at_least": 2,
        },
    ],
    "reference_logs": {"good": {"rtmr1": [{"digest": D48, "label": "x"}, {"digest": D48}]}},
    "dstack": {
        "app_id": [D20],
        "compose_hash": [D32],
        "instance_id": [D20],
        "os_image_hash": [D32],
        "key_provider": [{"name": "kms", "id": "k"}],
        "events": {"storage-fs": ["00"]},
    },
    "coco": {
        "init_data": D48,
        "aael": [{"domain": "d", "operation": "o", "contents": ["c"], "required": True}],
    },
    "confidential_space": {
        "image_digest": "sha256:a",
        "image_id": ["sha256:b"],
        "image_reference": ["r"],
        "restart_policy": "Never",
        "gpu_cc_mode": "ON",
        "args": ["a"],
        "env": ["e"],
        "override_args": ["oa"],
        "override_env": ["oe"],
    },
    "ima": {
        "allow": [
            {"path": "/a", "digests": [D32, "12" * 64]},
            {"path": "/b", "any_content": "because"},
        ],
        "files": D48,
    },
}


def rules(section: dict[str, Any]) -> BootRules:
    found = policy(boot=section).document.boot
    assert found is not None
    return found


def test_every_key_is_read() -> None:
    read = rules(EVERYTHING)
    assert read.require_replay == frozenset({Register.RTMR0, Register.RTMR3})
    assert read.secure_boot == frozenset({SecureBoot.ENABLED, SecureBoot.ABSENT})
    assert read.db_certificates == read.db_hashes == frozenset({bytes.fromhex(D32)})
    assert (
        read.images == read.cmdline_digest == read.initrd_digest == frozenset({bytes.fromhex(D48)})
    )
    assert read.kernel_cmdline is not None
    assert read.kernel_cmdline.patterns == ("a.*",)
    one, two = read.events
    assert (one.register_, one.at, one.type, one.looks_at_data) == (Register.RTMR0, 1, None, False)
    assert (two.type, two.name, two.data, two.patterns, two.at_least) == (
        13,
        "n",
        frozenset({b"\0"}),
        ("b",),
        2,
    )
    assert [one.label for one in read.reference_logs["good"][Register.RTMR1]] == ["x", ""]
    assert read.dstack is not None
    assert read.dstack.events == {"storage-fs": {b"\0"}}
    assert read.coco is not None
    assert read.coco.aael is not None
    assert read.coco.aael[0].required
    assert read.confidential_space is not None
    assert read.confidential_space.override_env == ("oe",)
    assert read.ima is not None
    assert [one.any_content for one in read.ima.allow] == [None, "because"]
    assert read.facts == set(EVERYTHING) - {
        "require_replay",
        "db_hashes",
        "reference_logs",
        "coco",
    } | {"coco.aael"}


def test_what_is_not_said_asks_for_nothing() -> None:
    read = rules({})
    assert read == BootRules()
    assert (read.require_replay, read.facts, read.wants_log) == (None, frozenset(), False)


EVENT = {"id": "x", "register": "rtmr0", "digests": D48}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"kernel": 1}, "unknown key"),
    "secure_boot.0": ({"secure_boot": "undetermined"}, "never accepted"),
    "secure_boot": ({"secure_boot": []}, "at least 1 item"),
    "require_replay.0": ({"require_replay": ["mrtd"]}, "no event extends it"),
    "images": ({"images": []}, "at least 1 item"),
    "images.0": ({"images": "ab" * 20}, "wants 64 or 96 hexadecimal digits"),
    "images.1": ({"images": [D48, 5]}, "wants 64 or 96 hexadecimal digits"),
    "db_certificates.0": ({"db_certificates": [D48]}, "wants exactly 64 hexadecimal digits"),
    "": ({"db_hashes": [D32]}, "db_certificates"),
    "kernel_cmdline.patterns": ({"kernel_cmdline": {"patterns": []}}, "at least 1 item"),
    "kernel_cmdline.patterns.0": (
        {"kernel_cmdline": {"patterns": ["(a"]}},
        "no RE2 pattern: missing ): (a",
    ),
    "events.0": ({"events": [{"id": "x", "register": "rtmr0"}]}, "wants digests, data or patterns"),
    "events.0.register": ({"events": [EVENT | {"register": "mrtd"}]}, "no event extends it"),
    "events.0.at": ({"events": [EVENT | {"at": 4096}]}, "less than 4096"),
    "events.0.type": (
        {"events": [EVENT | {"type": "EV_NONE"}]},
        "wants a name such as EV_EFI_ACTION",
    ),
    "events.0.data.0": ({"events": [EVENT | {"data": "0"}]}, "hexadecimal digits in quotes"),
    "dstack": ({"dstack": {}}, "asks for nothing"),
    "dstack.app_id.0": ({"dstack": {"app_id": [D32]}}, "wants exactly 40"),
    "coco": ({"coco": {"init_data": None}}, "asks for nothing"),
    "confidential_space": ({"confidential_space": {"args": ["a"]}}, "wants image_digest"),
    "ima.allow.0": ({"ima": {"allow": [{"path": "/a"}]}}, "wants digests, or the reason"),
    "ima.allow.0.digests.0": (
        {"ima": {"allow": [{"path": "a", "digests": D20}]}},
        "wants 64, 96 or 128",
    ),
    "reference_logs.good": ({"reference_logs": {"good": {}}}, "at least 1 item"),
}


@pytest.mark.parametrize("path", WRONG)
def test_what_is_wrong_has_its_place(path: str) -> None:
    section, message = WRONG[path]
    found = {
        one.replace("[", ".").replace("]", ""): said
        for one, said in faults(text(boot=section)).items()
    }
    wanted = f"boot.{path}".rstrip(".") if path != "unknown" else "boot.kernel"
    assert wanted in found
    assert message in found[wanted]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"digests": [], "data": "00"}, "want a type or a name"),
        ({"digests": [], "patterns": ["a"]}, "want a type or a name"),
        ({"type": "EV_IPL"}, "the log's word for a digest"),
        ({"name": "a"}, "the log's word for a digest"),
        ({"at_least": 2}, "counts events with such data"),
        ({"at_least": 2, "at": 1, "name": "a", "data": "00"}, "counts events with such data"),
    ],
)
def test_rules_over_events_that_mean_nothing(rule: dict[str, Any], message: str) -> None:
    (said,) = faults(text(boot={"events": [EVENT | rule]})).values()
    assert message in said


def test_both_digests_and_a_reason_are_refused() -> None:
    line = {"path": "/a", "digests": D32, "any_content": "because"}
    found = faults(text(boot={"ima": {"allow": [line]}}))
    assert found["boot.ima.allow[0]"].startswith("wants digests, or the reason")


def test_data_have_an_end() -> None:
    def data(size: int) -> dict[str, Any]:
        return {"events": [{"id": "x", "register": "rtmr0", "name": "a", "data": "00" * size}]}

    assert rules(data(MAX_DATA)).events[0].data == {bytes(MAX_DATA)}
    assert rules(data(0)).events[0].data == {b""}
    assert faults(text(boot=data(MAX_DATA + 1)))


# several values


def test_ids_of_rules_are_unique() -> None:
    found = faults(text(boot={"events": [EVENT, EVENT]}))
    assert found == {"boot.events[1].id": "x is the id of another rule"}


AZURE: dict[str, Any] = {
    "match": {"tee": "snp", "provider": "azure"},
    "reference_sets": {
        "release": [snp_entry(**{f"pcr{one}": bytes(32) for one in (4, 8, 9, 11, 12)})]
    },
}


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"require_replay": ["pcr4"]}, "boot.require_replay"),
        ({"events": [EVENT | {"register": "pcr4"}]}, "boot.events[0].register"),
        (
            {"reference_logs": {"good": {"pcr4": [{"digest": D48}]}}},
            "boot.reference_logs.good.pcr4",
        ),
    ],
)
def test_registers_are_those_of_the_technology(section: dict[str, Any], path: str) -> None:
    direct = {"tee": "tdx", "provider": "direct"}
    assert faults(text(boot=section, match=direct)) == {path: "evidence of tdx has no pcr4"}


DIGESTS: dict[str, dict[str, Any]] = {
    "images": {"images": "D"},
    "cmdline_digest": {"cmdline_digest": "D"},
    "initrd_digest": {"initrd_digest": "D"},
    "kernel_cmdline.files": {"kernel_cmdline": {"patterns": ["a"], "files": "D"}},
    "ima.files": {"ima": {"allow": [{"path": "a", "digests": D32}], "files": "D"}},
    "events[0].digests": {"events": [{"id": "x", "register": "R", "digests": "D"}]},
    "reference_logs.good.R": {"reference_logs": {"good": {"R": [{"digest": "D"}]}}},
}


def put(value: Any, digest: str, register: str) -> Any:  # noqa: ANN401  JSON values
    if isinstance(value, dict):
        return {
            register if key == "R" else key: put(one, digest, register)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [put(one, digest, register) for one in value]
    return {"D": digest, "R": register}.get(value, value)


@pytest.mark.parametrize("path", DIGESTS)
def test_digests_are_of_the_registers_algorithm(path: str) -> None:
    of_a_td, of_a_tpm = (put(DIGESTS[path], D48, "rtmr1"), put(DIGESTS[path], D32, "pcr4"))
    direct = {"match": {"tee": "tdx", "provider": "direct"}}
    load(text(boot=of_a_td, **direct))
    load(snp_text(boot=of_a_tpm, **AZURE))
    wrong = "hexadecimal digits: registers are extended with no other"
    short = put(DIGESTS[path], D32, "rtmr1")
    place = f"boot.{path}"
    assert faults(text(boot=short, **direct)) == {place.replace("R", "rtmr1"): f"wants 96 {wrong}"}
    long = put(DIGESTS[path], D48, "pcr4")
    assert faults(snp_text(boot=long, **AZURE)) == {place.replace("R", "pcr4"): f"wants 64 {wrong}"}


def test_init_data_have_the_length_of_their_register() -> None:
    load(text(boot={"coco": {"init_data": D48}}, match={"tee": "tdx", "provider": "direct"}))
    load(snp_text(boot={"coco": {"init_data": D32}}))
    wrong = faults(snp_text(boot={"coco": {"init_data": D48}}))
    assert wrong == {"boot.coco.init_data": "wants 64 hexadecimal digits"}
    direct = text(boot={"coco": {"init_data": D32}}, match={"tee": "tdx", "provider": "direct"})
    assert faults(direct) == {"boot.coco.init_data": "wants 96 hexadecimal digits"}


def test_a_report_of_snp_has_no_register_for_a_log() -> None:
    direct = {"match": {"tee": "snp", "provider": "direct"}}
    found = faults(snp_text(boot={"secure_boot": "enabled"}, **direct))
    assert found == {"boot": "a report of snp from direct has no register that a log could explain"}
    load(snp_text(boot={"coco": {"init_data": D32}}, **direct))
    load(snp_text(boot={"secure_boot": "enabled"}))  # those from azure have


# softening


@pytest.mark.parametrize("rule", sorted(BOOT_RULES))
def test_which_rules_can_be_softened(rule: RuleId) -> None:
    for key, allowed, value in (("relax", RELAXABLE, "because"), ("warn", WARNABLE, "2030-01-01")):
        found = attempt(load, text(boot={}, **{key: {rule.value: value}}))
        assert isinstance(found, PolicyDocument) == (rule in allowed)


def test_which_these_are() -> None:
    """None that names what runs; and of those, what is not proven denies all the same."""
    assert {RuleId.SECURE_BOOT, RuleId.DB_CERTIFICATES, RuleId.IMA} == WARNABLE & BOOT_RULES
    assert not RELAXABLE & BOOT_RULES


# patterns and types


@given(st.text(max_size=12))
def test_whatever_text_is_a_pattern_or_is_not(said: str) -> None:
    found = attempt(load, text(boot={"kernel_cmdline": {"patterns": [said]}}))
    if isinstance(found, PolicyDocument):
        assert isinstance(patterns.matches((said,), said), bool)


@pytest.mark.parametrize(
    ("pattern", "said", "good"),
    [
        ("a.c", "abc", True),
        ("a.c", "abcd", False),
        ("a.c", "xabc", False),
        ("a.*", "a\nb", False),
        ("a|bc", "bc", True),
        ("a|bc", "abc", False),
        ("A", "a", False),
        ("", "", False),
    ],
)
def test_a_pattern_matches_the_whole_text(pattern: str, said: str, *, good: bool) -> None:
    assert patterns.matches(["nothing", pattern] if pattern else [], said) is good


def test_a_pattern_that_takes_other_engines_for_ever() -> None:
    assert not patterns.matches(["(a*)*b"], "a" * 100_000)


@pytest.mark.parametrize(
    ("pattern", "open_ended"),
    [
        ("a.*", True),
        ("a.+", True),
        ("(a.*)", True),
        ("a.*$", True),
        (r"a\.*", False),
        ("a.*b", False),
        ("a", False),
    ],
)
def test_open_ends(pattern: str, *, open_ended: bool) -> None:
    assert patterns.open_ended(pattern) is open_ended


def test_types_have_names() -> None:
    numbers = list(event_types.EVENT_TYPES.values())
    assert len(set(numbers)) == len(numbers)
    for name, number in event_types.EVENT_TYPES.items():
        assert event_types.type_name(number) == name
    assert event_types.type_name(0x8000_00FF) == "type 0x800000ff"
    assert event_types.type_name(None) == "no type"


@pytest.mark.parametrize(
    ("said", "good"),
    [(0, True), (2**32 - 1, True), (2**32, False), (-1, False), (True, False), (1.0, False)],
)
def test_numbers_of_types(said: object, *, good: bool) -> None:
    rule = {"id": "x", "register": "rtmr0", "type": said, "data": "00"}
    assert isinstance(attempt(load, text(boot={"events": [rule]})), PolicyDocument) is good


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 300)
    | st.sampled_from([D48, D32, "rtmr0", "enabled", ".*", "(", "EV_IPL"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *EVERYTHING,
                    "id",
                    "register",
                    "digests",
                    "type",
                    "data",
                    "allow",
                    "path",
                    "files",
                    "aael",
                    "rtmr1",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(list(EVERYTHING)), json_values, max_size=4))
def test_whatever_the_section_says_it_loads_or_has_faults(section: dict[str, Any]) -> None:
    found = attempt(load, text(boot=section))
    assert isinstance(found, PolicyDocument) or found
