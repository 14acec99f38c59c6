# SPDX-License-Identifier: Apache-2.0
"""Loading: every fault at once, each with its path, line and column; JSON and YAML alike."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.document import PolicyDocument
from policies.loader import default_text, load, load_default, load_policy
from policies.registers import Register
from policies.rules import RELAXABLE, WARNABLE, RuleId
from tests.unit.policies.documents import (
    RELEASE,
    attempt,
    entry,
    faults,
    policy,
    problems,
    tdx_rules,
    text,
)
from verifiers.evidence import Tee
from verifiers.tcb import TcbStatus

FULL = b"""
name: full
version: 7
description: every key there is
not_before: 2026-01-01
not_after: 2027-01-01T00:00:00Z
match: {tee: tdx, provider: direct}
reference_sets:
  release:
    - id: r1
      values:
        mr_td: "%s"
        rtmr0: ["%s", "%s"]
      note: text
      added: 2026-01-01
      expires: 2026-12-31
      source: {kind: capture, sha256: "%s", note: machine 7}
tdx:
  measurements: [release]
  unpinned: {rtmr1: kernels change hourly, rtmr2: so do initrds}
  attributes: {required: [pks], forbidden: [perfmon], allowed: [pks, kl]}
  xfam: {required: "0000000000000003", allowed: "00000000000602e7"}
  tcb:
    accept:
      - {status: OutOfDate, until: 2026-03-01, advisories: [INTEL-SA-1], note: next week}
    refuse_advisories: [INTEL-SA-2]
    minimum:
      tcb_evaluation_data_number: 18
      tee_tcb_svn: [0, 0, 7]
      tdx_module: {"1": 5, "3": 0}
      sgx_tcb_components: [1, 2]
      pcesvn: 11
      qe_isvsvn: 4
  tolerate_stale: {tcb_info: P7D, pck_crl: 12h}
  platforms:
    fmspc: ["b0c06f000000"]
    platform_instance_id: ["%s"]
    ppid: ["%s"]
relax: {sept-ve-disable-clear: our cloud clears it}
warn: {fmspc: 2026-02-01}
issue:
  profile: web
  lifetime: PT12H
  san:
    dns: ["{policy}.example.org"]
    uri: ["spiffe://example.org/{mr_config_id}"]
  shared_name: a pool of equals
  withhold_chip_handle: true
""" % (b"ab" * 48, b"01" * 48, b"02" * 48, b"cd" * 32, b"11" * 16, b"22" * 16)


def test_every_key_is_read() -> None:
    document, tdx = load(FULL), tdx_rules(load_policy(FULL))
    (release,) = document.reference_sets["release"]
    assert (document.name, document.version, document.issue.profile) == ("full", 7, "web")
    assert release.values[Register.RTMR0] == (b"\x01" * 48, b"\x02" * 48)
    assert release.expires == datetime(2026, 12, 31, tzinfo=UTC)
    assert tdx.tcb.accept[0].status is TcbStatus.OUT_OF_DATE
    assert tdx.tcb.minimum.tdx_module == {1: 5, 3: 0}
    assert tdx.xfam.allowed == bytes.fromhex("00000000000602e7")
    assert tdx.platforms.ppid == {b"\x22" * 16}
    assert document.issue.lifetime == timedelta(hours=12)
    assert document.warn == {RuleId.FMSPC: datetime(2026, 2, 1, tzinfo=UTC)}


def test_the_digest_is_of_the_exact_bytes() -> None:
    assert load_policy(FULL).sha256 == hashlib.sha256(FULL).digest()
    assert load_policy(FULL + b"\n").sha256 != load_policy(FULL).sha256
    assert load_policy(FULL + b"\n").document == load_policy(FULL).document


def test_json_and_yaml_load_alike() -> None:
    assert load(text()) == load(json.dumps(json.loads(text()), indent=2).encode())


def test_a_document_does_not_change() -> None:
    document = policy().document
    with pytest.raises(ValidationError, match="frozen"):
        setattr(document, "name", "other")  # noqa: B010  mypy refuses it too


def test_the_default_pins_nothing_and_relaxes_nothing() -> None:
    default = load_default(Tee.TDX)
    assert default.sha256 == hashlib.sha256(default_text(Tee.TDX)).digest()
    document = default.document
    assert document.reference_sets == {"release": ()}
    tdx = tdx_rules(default)
    assert (document.relax, document.warn, tdx.tcb.accept) == ({}, {}, ())
    assert (tdx.tolerate_stale, tdx.unpinned) == ({}, {})


def test_all_faults_of_a_text_come_at_once_in_its_order() -> None:
    broken = (
        b"name: Web\nversion: 0\nversions: 1\nmatch: {tee: tdx, cloud: x}\n"
        b"reference_sets:\n  r:\n    - id: r1\n      values: {mr_td: 0x12, rtmr9: '00'}\n"
        b"tdx:\n  measurements: r\nname: web\n"
    )
    found = [(problem.line, problem.path) for problem in problems(broken)]
    assert found == [
        (1, "name"),
        (2, "version"),
        (3, "versions"),
        (4, "match.cloud"),
        (8, "reference_sets.r[0].values.mr_td"),
        (8, "reference_sets.r[0].values.rtmr9"),
        (8, "reference_sets.r[0].values.rtmr9[0]"),
        (10, "tdx.measurements"),
        (11, "name"),
    ]


def test_faults_of_structure_alone_refuse_too() -> None:
    (problem,) = problems(text() + b"\n---\n{}\n")
    assert "second document" in problem.message


@pytest.mark.parametrize("key", ["name", "version", "match", "tdx"])
def test_required_keys(key: str) -> None:
    document = json.loads(text())
    del document[key]
    assert faults(json.dumps(document).encode()) == {key: "required, but not said"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", 1),
        ("name", "Web"),
        ("version", "1"),
        ("version", True),
        ("version", 0),
        ("version", 2**31),
        ("not_before", "soon"),
        ("description", ["x"]),
        ("match", {"tee": "sgx"}),
        ("match", {"tee": "tdx", "provider": "cloud"}),
        ("match", "tdx"),
        ("tdx", {"xfam": {"required": "3"}}),
        ("tdx", {"attributes": {"required": ["PKS"]}}),
        ("tdx", {"tolerate_stale": {"tcb_info": "31d"}}),
        ("tdx", {"tolerate_stale": {"tcbinfo": "1d"}}),
        ("tdx", {"platforms": {"fmspc": []}}),
        ("tdx", {"platforms": {"fmspc": ["00"]}}),
        ("tdx", {"platforms": {"ppid": ["00" * 16]}}),
        ("tdx", {"platforms": {"platform_instance_id": ["00" * 16]}}),
        ("tdx", {"tcb": {"minimum": {"pcesvn": -1}}}),
        ("tdx", {"tcb": {"minimum": {"tee_tcb_svn": [0] * 17}}}),
        ("tdx", {"tcb": {"minimum": {"tdx_module": {"a": 1}}}}),
        ("tdx", {"tcb": {"accept": [{"status": "UpToDate"}]}}),
        ("tdx", {"tcb": {"accept": [{"status": "Revoked"}]}}),
        ("tdx", {"tcb": {"accept": [{"status": "Unknown"}]}}),
        ("tdx", {"tcb": {"accept": [{"status": "outofdate"}]}}),
        ("tdx", {"unpinned": {"rtmr0": ""}}),
        ("issue", {"lifetime": "8d"}),
        ("issue", {"lifetime": "59s"}),
        ("issue", {"lifetime": 24}),
        ("issue", {"profile": "A B"}),
        ("issue", {"shared_name": ""}),
        ("issue", {"withhold_chip_handle": "yes"}),
        ("relax", {"debug": ""}),
        ("relax", {"debugging": "an unknown rule"}),
        ("warn", {"fmspc": "later"}),
        ("reference_sets", {"r": [{"id": "a", "values": {}}]}),
        ("reference_sets", {"r": [{"id": "a", "values": {"mr_td": []}}]}),
        ("reference_sets", {"r": [{"id": "a", "values": {"mr_td": "00" * 47}}]}),
        ("reference_sets", {"r": [{"id": "a", "values": {"mr_td": 7}}]}),
        ("reference_sets", {"r": [{"id": "a", "values": {"mrtd": "00" * 48}}]}),
        ("reference_sets", {"r": [{"id": "a", "values": "mr_td"}]}),
        ("reference_sets", {"r s": []}),
        ("reference_sets", {"r": [RELEASE | {"source": {"kind": "hearsay"}}]}),
    ],
)
def test_a_value_of_another_form_is_refused(path: str, value: Any) -> None:  # noqa: ANN401  JSON values
    found = faults(text(**{path: value}) if path != "tdx" else text(value))
    assert any(where.startswith(path) for where in found)


@pytest.mark.parametrize("rule", sorted(set(RuleId) - RELAXABLE))
def test_a_rule_that_must_hold_cannot_be_relaxed(rule: RuleId) -> None:
    assert "cannot be relaxed" in faults(text(relax={rule.value: "because"}))[f"relax.{rule}"]


@pytest.mark.parametrize("rule", sorted(set(RuleId) - WARNABLE))
def test_a_rule_that_must_hold_cannot_be_made_a_warning(rule: RuleId) -> None:
    assert (
        "cannot be made a warning" in faults(text(warn={rule.value: "2030-01-01"}))[f"warn.{rule}"]
    )


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        (text(not_before="2026-01-02", not_after="2026-01-02"), "not_after", "not after"),
        (text({"measurements": ["other"]}), "tdx.measurements[0]", "no reference set"),
        (text({"measurements": ["release"] * 2}), "tdx.measurements[1]", "twice"),
        (text({"unpinned": {"rtmr3": "why not"}}), "tdx.unpinned.rtmr3", "only mr_td"),
        (
            text({"attributes": {"required": ["pks", "kl"], "forbidden": ["pks"]}}),
            "tdx.attributes.forbidden",
            "required as well: pks",
        ),
        (
            text(reference_sets={"release": [entry("a"), entry("a")]}),
            "reference_sets.release[1].id",
            "another entry",
        ),
        (
            text(reference_sets={"release": [entry("a")], "second": [entry("a")]}),
            "reference_sets.second[0].id",
            "another entry",
        ),
        (text(issue={"san": {"dns": ["*.example.org"]}}), "issue.san.dns[0]", "lower-case"),
        (
            text(issue={"san": {"uri": ["spiffe://x/a", "spiffe://x/{pid}"]}}),
            "issue.san.uri[1]",
            "unknown variable",
        ),
        (
            text(issue={"san": {"dns": [f"{i}.example.org" for i in range(17)]}}),
            "issue.san",
            "more than 16",
        ),
    ],
)
def test_what_values_say_together(document: bytes, path: str, message: str) -> None:
    assert message in faults(document)[path]


def test_two_not_before_without_end_is_fine() -> None:
    assert policy(not_before="2026-01-01").document.not_after is None
    assert policy(not_after="2026-01-01").document.not_before is None


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 100)
    | st.sampled_from(["tdx", "r1", "00" * 48, "24h", "2026-01-01"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(PolicyDocument.model_fields)), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*PolicyDocument.model_fields, "x"]), json_values))
def test_whatever_a_document_holds_only_policy_errors_come_out(sections: dict[str, Any]) -> None:
    data = json.dumps(json.loads(text()) | sections).encode()
    found = attempt(load, data)
    assert isinstance(found, PolicyDocument) or all(problem.line for problem in found)


@given(st.data())
def test_a_damaged_document_loads_or_is_refused(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(FULL) - 1))
    piece = data.draw(st.binary(max_size=3))
    damaged = FULL[:position] + piece + FULL[position + data.draw(st.integers(0, 3)) :]
    found = attempt(load, damaged)
    assert isinstance(found, PolicyDocument) or len(found) > 0


def test_a_certificate_has_one_spiffe_id() -> None:
    names = ["spiffe://a.example/{fmspc}", "spiffe://b.example/{fmspc}"]
    assert list(faults(text(issue={"san": {"uri": names}}))) == ["issue.san.uri"]


def test_as_many_names_as_there_may_be() -> None:
    names = [f"n{number}.example.org" for number in range(16)]
    assert policy(issue={"san": {"dns": names}}).document.issue.san.dns == tuple(names)
