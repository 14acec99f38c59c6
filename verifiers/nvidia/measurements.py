# SPDX-License-Identifier: Apache-2.0
"""Which reference manifests a report needs, and how its measurements are compared with their golden values.

Golden values of all manifests are one table: no index may stand in two of them. A measurement must equal one of the
alternatives of its index. Zero is a value as any other (a register that was never extended). Index i is block i + 1 of
the report. Measurements without a golden value are nobody's claim and are counted as not covered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import Coverage, Family, RimKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from verifiers.nvidia.report import ReportFields

# family -> the CHIP_INFO that its reports may give; None where they may give none.
_CHIPS: Final[dict[Family, tuple[str | None, ...]]] = {
    Family.GH100: (None, "GH100"),
    Family.GB100: (None, "GB100"),  # the first drivers did not say
    Family.GB202: ("GB202",),
    Family.LS10: (None,),
}
_SWITCH_BOARD: Final = "5612_0002_890"  # the only one; a switch's report does not name it


@dataclass(frozen=True, slots=True)
class Reference:
    """One manifest that a report needs. `rim_id` is its name at NVIDIA's service, made of signed fields alone."""

    kind: RimKind
    product: str
    version: str
    rim_id: str

    def __str__(self) -> str:
        return f"{self.kind} manifest {self.rim_id}"


def check_chip(fields: ReportFields, family: Family) -> None:
    """Demand that the report names a chip of the family that its device is certified in.

    Raises:
        VerificationError: `product-unknown`.
    """
    if fields.chip_info not in _CHIPS[family]:
        raise VerificationError(
            Reason.PRODUCT_UNKNOWN,
            f"CHIP_INFO is {fields.chip_info}, the certificates say {family}",
        )


def references(fields: ReportFields, family: Family) -> tuple[Reference, ...]:
    """What the report must be compared with: for a GPU driver and VBIOS, for a switch its BIOS."""
    firmware = fields.vbios_version.replace(".", "")
    if fields.driver_version is None:
        name = f"NV_SWITCH_BIOS_{_SWITCH_BOARD}_{firmware}"
        return (Reference(RimKind.SWITCH_BIOS, family, fields.vbios_version, name),)
    driver = "DRIVER_GH100" if family is Family.GH100 else f"CC_DRIVER_{family}"
    return (
        Reference(
            RimKind.DRIVER,
            family,
            fields.driver_version,
            f"NV_GPU_{driver}_{fields.driver_version}",
        ),
        Reference(
            RimKind.VBIOS,
            family,
            fields.vbios_version,
            f"NV_GPU_VBIOS_{fields.board}_{firmware}",
        ),
    )


def union(
    tables: Iterable[Mapping[int, frozenset[bytes]]],
) -> dict[int, frozenset[bytes]]:
    """One table of several.

    Raises:
        VerificationError: `collateral-malformed` for an index that stands in two of them.
    """
    golden: dict[int, frozenset[bytes]] = {}
    for table in tables:
        if twice := golden.keys() & table.keys():
            raise VerificationError(
                Reason.COLLATERAL_MALFORMED,
                f"two manifests have golden values for the measurements {_list(twice)}",
            )
        golden |= table
    return golden


def compare(golden: Mapping[int, frozenset[bytes]], measurements: Sequence[bytes]) -> Coverage:
    """Demand that every golden value is met.

    Raises:
        VerificationError: `measurement-mismatch`, naming the indexes; one that the report does not have is among them.
    """
    mismatches = {
        index
        for index, values in golden.items()
        if index >= len(measurements) or measurements[index] not in values
    }
    if mismatches:
        raise VerificationError(
            Reason.MEASUREMENT_MISMATCH,
            f"measurements {_list(mismatches)} differ from NVIDIA's golden values",
        )
    return Coverage(
        compared=tuple(sorted(golden)),
        not_covered=tuple(index for index in range(len(measurements)) if index not in golden),
    )


def _list(indexes: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(indexes)))
