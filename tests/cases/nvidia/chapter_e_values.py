# SPDX-License-Identifier: Apache-2.0
"""Lines 40, 42 to 47 and 50: which manifest counts, and the golden values that it gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from simulator.nvidia import rims
from simulator.nvidia.certificates import SECOND
from simulator.nvidia.rims import SIGNER, document, envelope, resource
from tests import nvidia_vectors as vectors
from tests.cases.nvidia.case import Case
from tests.cases.nvidia.manifests import GENUINE, case, read
from tests.nvidia_devices import Exhibit, parsed
from verifiers.anchors import builtin
from verifiers.chain import check_validity
from verifiers.errors import Reason
from verifiers.nvidia.device import nvidia_roots
from verifiers.nvidia.measurements import compare, union
from verifiers.nvidia.rim import read_rim
from verifiers.nvidia.verify import verify

MALFORMED = Reason.MALFORMED
H100 = "h100-550.90.07"


def at(document: bytes, now: datetime) -> str:
    rim = read(document)
    check_validity(rim.certificates, now)
    return rim.version


def production(name: str, now: str) -> object:
    """One of the manifests that NVIDIA has signed, at an instant."""
    rim = read_rim(vectors.document(f"rims/{name}"), nvidia_roots(builtin()).rim)
    check_validity(rim.certificates, datetime.fromisoformat(now))
    return rim.version


def with_rims(*names: str, now: str | None = None) -> str:
    """The H100 of the vectors, with these manifests in the place of its own."""
    vector = vectors.load(H100)
    documents = tuple(vectors.document(name) for name in names)
    endorsements = replace(vector.endorsements, rims=documents)
    instant = vector.at if now is None else datetime.fromisoformat(now)
    return str(verify(vector.devices[0], endorsements, builtin(), None, instant).revocation)


ENDS = parsed(SIGNER).not_after
BEGINS = parsed(SIGNER).not_before
DRIVER, VBIOS = f"{H100}/driver_rim.xml", f"{H100}/vbios_rim.xml"
ISSUES = "vbios-96005E0001-three-issues/issue_"
DATES = [
    Case(40, "the last second of the signer", "550.90.07", lambda: at(GENUINE.xml, ENDS)),
    Case(
        40,
        "a second after the signer's end",
        Reason.CERTIFICATE_EXPIRED,
        lambda: at(GENUINE.xml, ENDS + SECOND),
    ),
    Case(
        40,
        "a second before the signer's beginning",
        Reason.CERTIFICATE_NOT_YET_VALID,
        lambda: at(GENUINE.xml, BEGINS - SECOND),
    ),
    Case(
        40,
        "the first of three issues of one manifest after its signer's end",
        Reason.CERTIFICATE_EXPIRED,
        lambda: production(f"{ISSUES}2023-06_production.xml", "2025-06-23T00:00:00Z"),
    ),
    Case(
        40,
        "the third of them while its signer lives",
        "96.00.5E.00.01",
        lambda: production(f"{ISSUES}2023-12.xml", "2025-06-23T00:00:00Z"),
    ),
    Case(
        40,
        "an H100 whose manifests have expired",
        Reason.CERTIFICATE_EXPIRED,
        lambda: with_rims(DRIVER, VBIOS, now="2026-11-22T00:00:00Z"),
    ),
]


MISSING = [
    Case(50, "no manifest", Reason.INCOMPLETE, with_rims),
    Case(50, "no driver manifest", Reason.INCOMPLETE, lambda: with_rims(VBIOS)),
    Case(50, "no VBIOS manifest", Reason.INCOMPLETE, lambda: with_rims(DRIVER)),
    Case(50, "both", "good", lambda: with_rims(VBIOS, DRIVER)),
]


PLAIN = Exhibit()
DRIVER_ID, VBIOS_ID = "NV_GPU_DRIVER_GH100_550.90.07", "NV_GPU_VBIOS_1010_0200_882_96009F0001"

OURS = [DRIVER_ID, VBIOS_ID]
OTHER_BOARD = envelope(
    replace(rims.VBIOS, resources=(resource(3, "99" * 48),)).xml,
    id="NV_GPU_VBIOS_1010_0210_886_96009F0001",
)


def from_service(driver_id: str = DRIVER_ID, vbios_id: str = VBIOS_ID) -> list[str]:
    """A fake GPU by manifests that the RIM service has under these names."""
    driver, vbios = (document(one) for one in (rims.DRIVER, rims.VBIOS))
    given = (envelope(driver, id=driver_id), envelope(vbios, id=vbios_id))
    return used(PLAIN.but(rims=given))


def used(exhibit: Exhibit) -> list[str]:
    """The names of the manifests that it is compared with."""
    return [one.rim_id for one in exhibit.verify().rims]


OTHERS = [
    Case(42, "manifests that the service has under these names", OURS, from_service),
    Case(
        42,
        "the VBIOS manifest of another board, of the same product and version",
        Reason.INCOMPLETE,
        lambda: from_service(vbios_id="NV_GPU_VBIOS_1010_0210_886_96009F0001"),
    ),
    Case(
        42,
        "a driver manifest that the service has under another name",
        Reason.INCOMPLETE,
        lambda: from_service(driver_id="NV_GPU_CC_DRIVER_GH100_550.90.07"),
    ),
    Case(
        42,
        "the manifest of another board beside that of ours",
        OURS,
        lambda: used(PLAIN.but(rims=(*PLAIN.rims, OTHER_BOARD))),
    ),
    Case(42, "bare manifests, which have no name", OURS, lambda: used(PLAIN)),
    Case(
        42,
        "the driver manifest of another version",
        Reason.INCOMPLETE,
        lambda: with_rims("rims/driver-gh100-550.144.03/NV_GPU_DRIVER_GH100_550.144.03.xml", VBIOS),
    ),
    Case(
        42,
        "the driver manifest of another product",
        Reason.INCOMPLETE,
        lambda: with_rims(
            "rims/driver-gb100-595.91.07/NV_GPU_CC_DRIVER_GB100_595.91.07.xml", VBIOS
        ),
    ),
    Case(
        42,
        "a VBIOS manifest of another board",
        Reason.INCOMPLETE,
        lambda: with_rims(DRIVER, "h100-580.95.05-trailing-byte/vbios_rim.xml"),
    ),
    Case(
        42,
        "manifests of other products beside the right ones",
        "good",
        lambda: with_rims(
            "rims/driver-gb100-595.91.07/NV_GPU_CC_DRIVER_GB100_595.91.07.xml", DRIVER, VBIOS
        ),
    ),
    case(42, "no product", MALFORMED, product=""),
    case(42, "no version", MALFORMED, version=""),
    case(42, "no tag", MALFORMED, tag_id=""),
    case(42, "an edition that is not known", MALFORMED, edition="CPU"),
]

ACTIVE = [
    case(43, f"active is {text!r}", MALFORMED, resources=(resource(7, active=text), resource(8)))
    for text in ("true", "FALSE", "1", "", " True", None)
]

NONE_ACTIVE = [
    case(44, "no measurement is active", MALFORMED, resources=(resource(7, active="False"),)),
    case(44, "no measurement", MALFORMED, resources=()),
    case(44, "no Payload", MALFORMED, body=GENUINE.meta),
    case(44, "no Meta", MALFORMED, body=GENUINE.payload),
]

ZEROS, ONES = "00" * 48, "11" * 48
WRONG = {
    "an index twice": (resource(7), resource(7)),
    "an index twice, once inactive": (resource(7), resource(7, active="False")),
    "an index past the last": (resource(64),),
    "a negative index": (resource(-1),),
    "an index with a leading zero": (resource("07"),),
    "an index with a sign": (resource("+7"),),
    "an index in other digits": (resource("\u0667"),),
    "no index": (resource(7, index=None),),
    "no alternatives": (resource(7, alternatives="0"),),
    "neither alternatives nor hashes": (
        resource(7, alternatives="0", **{"ns2:Hash0": None}),
        resource(8),
    ),
    "alternatives that nobody counts": (resource(7, alternatives=None),),
    "fewer hashes than alternatives": (resource(7, ONES, alternatives="2"),),
    "more hashes than alternatives": (resource(7, ONES, ZEROS, alternatives="1"),),
    "hashes that do not begin with Hash0": (
        resource(7, ONES, **{"ns2:Hash0": None, "ns2:Hash1": ONES}),
    ),
    "a hash of no namespace": (resource(7, **{"ns2:Hash0": None, "Hash0": ONES}),),
    "a hash of 47 bytes": (resource(7, "11" * 47),),
    "a hash of 49 bytes": (resource(7, "11" * 49),),
    "a hash in other letters": (resource(7, "gg" * 48),),
    "a wrong hash in a measurement that is not active": (
        resource(7),
        resource(8, "11", active="False"),
    ),
    "size 32": (resource(7, size="32"),),
    "no size": (resource(7, size=None),),
    "a size past all": (resource(7, size="999"),),
    "a measurement under another name": (resource(7).replace("ns0:Resource", "ns0:File"),),
    "another type": (resource(7, type="Firmware"),),
    "an attribute that is not known": (resource(7, mask="ff"),),
}
TABLES = [case(45, why, MALFORMED, resources=parts) for why, parts in WRONG.items()] + [
    Case(
        45,
        "an index that two manifests are active for",
        Reason.COLLATERAL_MALFORMED,
        lambda: union([golden(resource(7), resource(8)), golden(resource(7))]),
    ),
    Case(
        45,
        "two manifests that share no index",
        [7, 8],
        lambda: sorted(union([golden(resource(7)), golden(resource(8))])),
    ),
]


def golden(*resources: str) -> dict[int, frozenset[bytes]]:
    return dict(read(replace(GENUINE, resources=resources).xml).golden)


def compared(values: dict[int, frozenset[bytes]], *measurements: bytes) -> tuple[int, ...]:
    return compare(values, measurements).compared


COMPARISON = [
    Case(
        46,
        "a report that is shorter than the table",
        Reason.MEASUREMENT_MISMATCH,
        lambda: compared(golden(resource(0), resource(1)), bytes(48)),
    ),
    Case(
        46,
        "a refusal does not colour the next device",
        [Reason.MEASUREMENT_MISMATCH, (0,)],
        lambda: [
            Case(46, "", None, lambda: compared(golden(resource(0)), b"\x01" * 48)).outcome(),
            compared(golden(resource(0)), bytes(48)),
        ],
    ),
    Case(47, "zero for zero", (0,), lambda: compared(golden(resource(0)), bytes(48))),
    Case(
        47,
        "something for zero",
        Reason.MEASUREMENT_MISMATCH,
        lambda: compared(golden(resource(0)), b"\x01" * 48),
    ),
    Case(
        47,
        "zero for something",
        Reason.MEASUREMENT_MISMATCH,
        lambda: compared(golden(resource(0, ONES)), bytes(48)),
    ),
    Case(
        47,
        "zero as second of two",
        (0,),
        lambda: compared(golden(resource(0, ONES, ZEROS)), bytes(48)),
    ),
]

CASES = [*DATES, *MISSING, *OTHERS, *ACTIVE, *NONE_ACTIVE, *TABLES, *COMPARISON]
