# SPDX-License-Identifier: Apache-2.0
"""TCB info and QE identity as values: exact types and lengths; unknown members are Intel's own affair."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests import tdx_vectors
from tests.tdx_lab import Lab, svn
from verifiers.errors import Reason, VerificationError
from verifiers.tcb import TcbStatus
from verifiers.tdx.statements import parse_qe_identity, parse_tcb_info

if TYPE_CHECKING:
    from collections.abc import Callable

LAB = Lab.create(b"statements")
BAD = (ValueError, KeyError, TypeError, OverflowError)


def text(statement: object) -> bytes:
    return json.dumps(statement).encode()


def info(change: Callable[[Any], object]) -> bytes:
    statement = copy.deepcopy(LAB.intel.tcb_info)
    change(statement)
    return text(statement)


def identity(change: Callable[[Any], object]) -> bytes:
    statement = copy.deepcopy(LAB.intel.qe_identity)
    change(statement)
    return text(statement)


def test_tcb_info() -> None:
    found = parse_tcb_info(text(LAB.intel.tcb_info))
    assert (found.fmspc.hex(), found.pceid.hex()) == (LAB.intel.fmspc, LAB.intel.pceid)
    assert found.evaluation_data_number == 20
    assert found.issue_date == datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert found.next_update == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert [level.status for level in found.levels][:2] == [
        TcbStatus.UP_TO_DATE,
        TcbStatus.OUT_OF_DATE,
    ]
    assert found.levels[0].tdx == svn(5, 0, 4)
    assert found.levels[0].pcesvn == 11
    assert found.levels[1].advisory_ids == ("INTEL-SA-01192", "INTEL-SA-01245")
    assert found.levels[1].date == datetime(2025, 5, 14, tzinfo=UTC)
    assert [one.id for one in found.module_identities] == ["TDX_03", "TDX_01"]
    assert found.identity(1).levels[0].isvsvn == 11
    assert found.identity(0) is found.module
    assert found.names["sgxtcbcomponents"][7] == ("OS/VMM", "SEAMLDR ACM")
    assert found.names["tdxtcbcomponents"][3] == ("", "")


def test_qe_identity() -> None:
    found = parse_qe_identity(text(LAB.intel.qe_identity))
    assert found.mrsigner.hex().startswith("dc9e2a7c")
    assert (found.isvprodid, found.evaluation_data_number) == (2, 20)
    assert [level.isvsvn for level in found.levels] == [4, 3, 1]


def test_levels_are_sorted_by_sgx_then_pcesvn_then_tdx() -> None:
    def shuffle(statement: Any) -> None:  # noqa: ANN401 - JSON
        level = statement["tcbLevels"][0]
        levels = []
        for sgx, pcesvn, tdx in ((1, 5, 9), (1, 6, 0), (2, 0, 0), (1, 5, 8)):
            one = copy.deepcopy(level)
            one["tcb"]["sgxtcbcomponents"][0]["svn"] = sgx
            one["tcb"]["pcesvn"] = pcesvn
            one["tcb"]["tdxtcbcomponents"][0]["svn"] = tdx
            levels.append(one)
        statement["tcbLevels"] = levels

    found = parse_tcb_info(info(shuffle))
    order = [(level.sgx[0], level.pcesvn, level.tdx[0]) for level in found.levels]
    assert order == [(2, 0, 0), (1, 6, 0), (1, 5, 9), (1, 5, 8)]


def test_what_may_be_absent() -> None:
    def strip(statement: Any) -> None:  # noqa: ANN401 - JSON
        del statement["tdxModule"], statement["tdxModuleIdentities"]
        for level in statement["tcbLevels"]:
            level.pop("advisoryIDs", None)

    found = parse_tcb_info(info(strip))
    assert found.module is None
    assert found.module_identities == ()
    assert {level.advisory_ids for level in found.levels} == {()}
    for version in (0, 1):
        with pytest.raises(VerificationError) as caught:
            found.identity(version)
        assert caught.value.reason is Reason.TDX_MODULE_MISMATCH


def test_module_ids_are_two_hex_digits_in_any_case() -> None:
    def rename(statement: Any) -> None:  # noqa: ANN401 - JSON
        statement["tdxModuleIdentities"][0]["id"] = "tdx_0a"
        statement["tdxModuleIdentities"][1]["id"] = "TDX_FF"

    found = parse_tcb_info(info(rename))
    assert found.identity(0x0A).id == "TDX_0A"
    assert found.identity(0xFF).id == "TDX_FF"


def test_unknown_members_are_left_aside() -> None:
    assert parse_tcb_info(info(lambda one: one.update(new={"a": [1]}))) == parse_tcb_info(
        text(LAB.intel.tcb_info)
    )


def put(path: str, value: object) -> Callable[[Any], None]:
    """Sets a member by its path; numbers are indices."""
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]

    def change(statement: Any) -> None:  # noqa: ANN401 - JSON
        for step in way:
            statement = statement[step]
        statement[last] = value

    return change


WRONG_INFO: dict[str, list[object]] = {
    "issueDate": [
        None,
        5,
        "",
        "2025-06-19T10:16:03",
        "2025-06-19T10:16:03+00:00",
        "20250619T101603+0000",
        "2025-13-19T10:16:03Z",
        "2025-06-19T10:16:03.5Z",
        "x" * 19 + "Z",
    ],
    "nextUpdate": ["2025-06-19T10:16:3Z"],
    "fmspc": [
        "b0c06f0000",
        "b0c06f00000000",
        "b0c06f0000 0",
        "b0c06f00  00",
        "b0 c0 6f 00 00 00",
        "x" * 12,
        5,
        None,
    ],
    "pceId": ["000", "00000", 0],
    "tcbEvaluationDataNumber": [-1, "20", 20.0, True, None],
    "tdxModule": [None, [], {"mrsigner": "00" * 48}],
    "tdxModule.mrsigner": ["00" * 47, 0],
    "tdxModule.attributes": ["00" * 9],
    "tdxModule.attributesMask": ["f" * 15],
    "tdxModule.id": [5],
    "tdxModuleIdentities": [None, {}, [5]],
    "tdxModuleIdentities.0.id": [None, "TDX_01"],
    "tdxModuleIdentities.0.tcbLevels": [None, {}, [{}], [5]],
    "tdxModuleIdentities.0.tcbLevels.0.tcb.isvsvn": [-1, "5", 5.0, None],
    "tcbLevels": [None, {}, [{}], [5]],
    "tcbLevels.0.tcb": [None, {}],
    "tcbLevels.0.tcb.pcesvn": [-1, "11", None, True],
    "tcbLevels.0.tcb.sgxtcbcomponents": [
        None,
        [],
        [{"svn": 0}] * 15,
        [{"svn": 0}] * 17,
        [0] * 16,
        {},
    ],
    "tcbLevels.0.tcb.sgxtcbcomponents.3": [None, 5, [], {}, {"svn": None}, {"svn": "5"}],
    "tcbLevels.0.tcb.sgxtcbcomponents.3.svn": [-1, 256, 10**30, 1.5],
    "tcbLevels.0.tcb.sgxtcbcomponents.3.category": [5, None, []],
    "tcbLevels.0.tcb.tdxtcbcomponents.3.type": [5, None],
    "tcbLevels.0.tcbStatus": [None, 5],
    "tcbLevels.0.tcbDate": [None, "2025-08-13"],
    "tcbLevels.0.advisoryIDs": [None, "INTEL-SA-1", [5]],
}
WRONG_IDENTITY: dict[str, list[object]] = {
    "miscselect": ["000000", "0" * 10, 0],
    "miscselectMask": ["FFFFFFF"],
    "attributes": ["00" * 15],
    "attributesMask": ["00" * 17],
    "mrsigner": ["00" * 31, None],
    "isvprodid": [-1, "2", None, True],
    "tcbLevels": [None, [{}]],
    "issueDate": ["yesterday"],
}


def flat(table: dict[str, list[object]]) -> list[Any]:
    pairs = [(path, value) for path, values in table.items() for value in values]
    return [
        pytest.param(path, value, id=f"{n} {path} {value!r:.40}")
        for n, (path, value) in enumerate(pairs)
    ]


@pytest.mark.parametrize(("path", "value"), flat(WRONG_INFO))
def test_wrong_values_of_tcb_info(path: str, value: object) -> None:
    with pytest.raises(BAD):
        parse_tcb_info(info(put(path, value)))


@pytest.mark.parametrize(("path", "value"), flat(WRONG_IDENTITY))
def test_wrong_values_of_the_qe_identity(path: str, value: object) -> None:
    with pytest.raises(BAD):
        parse_qe_identity(identity(put(path, value)))


@pytest.mark.parametrize(
    "member", sorted(set(LAB.intel.tcb_info) - {"tdxModule", "tdxModuleIdentities"})
)
def test_members_that_tcb_info_must_have(member: str) -> None:
    with pytest.raises(BAD):
        parse_tcb_info(info(lambda one: one.pop(member)))


@pytest.mark.parametrize("member", sorted(LAB.intel.qe_identity))
def test_members_that_the_qe_identity_must_have(member: str) -> None:
    with pytest.raises(BAD):
        parse_qe_identity(identity(lambda one: one.pop(member)))


@pytest.mark.parametrize("name", tdx_vectors.names("tdx"))
def test_real_statements(name: str) -> None:
    bundle = tdx_vectors.load(name).bundle
    if bundle:
        found = parse_tcb_info(bundle["tcb_info"].encode())
        assert parse_qe_identity(bundle["qe_identity"].encode()).levels
        assert list(found.levels) == sorted(
            found.levels, key=lambda level: (level.sgx, level.pcesvn, level.tdx), reverse=True
        )
        written = json.loads(bundle["tcb_info"])["tcbLevels"]
        assert [str(level.status) for level in found.levels] == [
            one["tcbStatus"] for one in written
        ]
