# SPDX-License-Identifier: Apache-2.0
"""Which manifests a report needs, and the union rule: no index twice, zero is a value, what is not covered is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.nvidia.reports import GPU, SWITCH
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import Coverage, Family, RimKind
from verifiers.nvidia.measurements import Reference, check_chip, compare, references, union
from verifiers.nvidia.report import ReportFields, parse_report

A, B, ZERO = b"a" * 48, b"b" * 48, bytes(48)


def gpu(driver: str = "550.90.07", vbios: str = "96.00.9F.00.01") -> ReportFields:
    fields = parse_report(GPU.encoded()).fields
    assert fields is not None
    return replace(fields, driver_version=driver, vbios_version=vbios)


def switch() -> ReportFields:
    fields = parse_report(SWITCH.encoded()).fields
    assert fields is not None
    return fields


def test_references_of_a_hopper_gpu() -> None:
    driver, vbios = references(gpu(), Family.GH100)
    assert driver == Reference(
        RimKind.DRIVER, "GH100", "550.90.07", "NV_GPU_DRIVER_GH100_550.90.07"
    )
    assert vbios == Reference(
        RimKind.VBIOS, "GH100", "96.00.9F.00.01", "NV_GPU_VBIOS_1010_0200_882_96009F0001"
    )
    assert str(driver) == "driver manifest NV_GPU_DRIVER_GH100_550.90.07"


@pytest.mark.parametrize("family", [Family.GB100, Family.GB202])
def test_references_of_a_blackwell_gpu(family: Family) -> None:
    driver, vbios = references(gpu("595.91.07", "97.00.D9.00.35"), family)
    assert (driver.product, driver.rim_id) == (family, f"NV_GPU_CC_DRIVER_{family}_595.91.07")
    assert (vbios.product, vbios.rim_id) == (family, "NV_GPU_VBIOS_1010_0200_882_9700D90035")


def test_the_reference_of_a_switch() -> None:
    (bios,) = references(switch(), Family.LS10)
    assert bios == Reference(
        RimKind.SWITCH_BIOS, "LS10", "96.10.55.00.01", "NV_SWITCH_BIOS_5612_0002_890_9610550001"
    )


@pytest.mark.parametrize(
    ("family", "chip", "known"),
    [
        (Family.GH100, None, True),
        (Family.GH100, "GH100", True),
        (Family.GH100, "GB100", False),
        (Family.GB100, None, True),
        (Family.GB100, "GB100", True),
        (Family.GB100, "GB102", False),
        (Family.GB100, "GH100", False),
        (Family.GB202, "GB202", True),
        (Family.GB202, "GB203", False),
        (Family.GB202, None, False),
        (Family.LS10, None, True),
        (Family.LS10, "GH100", False),
    ],
)
def test_chips(family: Family, chip: str | None, known: bool) -> None:  # noqa: FBT001 - a parameter of the test
    fields = replace(gpu(), chip_info=chip)
    if known:
        check_chip(fields, family)
        return
    with pytest.raises(VerificationError) as caught:
        check_chip(fields, family)
    assert caught.value.reason is Reason.PRODUCT_UNKNOWN


def test_union() -> None:
    assert union([]) == {}
    one, other = {0: frozenset({A})}, {7: frozenset({A, B})}
    assert union([one, other]) == {0: frozenset({A}), 7: frozenset({A, B})}
    assert one == {0: frozenset({A})}


def test_an_index_in_two_manifests() -> None:
    with pytest.raises(VerificationError, match=r"measurements 7, 9$") as caught:
        union(
            [
                {7: frozenset({A}), 9: frozenset({A}), 1: frozenset({A})},
                {9: frozenset({A}), 7: frozenset({B})},
            ]
        )
    assert caught.value.reason is Reason.COLLATERAL_MALFORMED


def test_coverage() -> None:
    golden = {2: frozenset({B, A}), 0: frozenset({ZERO})}
    assert compare(golden, (ZERO, B, A, ZERO)) == Coverage(compared=(0, 2), not_covered=(1, 3))


@pytest.mark.parametrize(
    ("golden", "named"),
    [
        ({0: {B}}, "0"),
        ({1: {A}}, "1"),
        ({1: {A, ZERO}}, "1"),
        ({0: {ZERO}}, "0"),
        ({0: {A[:47]}}, "0"),
        ({0: set()}, "0"),
        ({2: {A}}, "2"),
        ({0: {A}, 1: {B}, 63: {A, B, ZERO}}, "63"),
        ({1: {ZERO}, 0: {B}, 2: {ZERO}}, "0, 1, 2"),
    ],
)
def test_mismatches(golden: dict[int, set[bytes]], named: str) -> None:
    """A measurement that the report lacks is one; zero stands for nothing but zero."""
    table = {index: frozenset(values) for index, values in golden.items()}
    with pytest.raises(VerificationError, match=f"measurements {named} differ") as caught:
        compare(table, (A, B))
    assert caught.value.reason is Reason.MEASUREMENT_MISMATCH


@given(st.lists(st.sampled_from([A, B, ZERO]), max_size=8), st.data())
def test_the_rule(measurements: list[bytes], data: st.DataObject) -> None:
    values = st.frozensets(st.sampled_from([A, B, ZERO]))
    golden = data.draw(st.dictionaries(st.integers(0, 9), values))
    right = all(i < len(measurements) and measurements[i] in golden[i] for i in golden)
    try:
        coverage = compare(golden, measurements)
    except VerificationError:
        assert not right
    else:
        assert right
        assert sorted(coverage.compared + coverage.not_covered) == list(range(len(measurements)))
