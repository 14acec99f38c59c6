# SPDX-License-Identifier: Apache-2.0
"""What Intel says of platforms and quoting enclaves: TCB info and QE identity as dictionaries a test may alter.

Form, order of keys and kinds of levels are those of Intel's PCS API v4; the levels are like those of a real server
generation, with a Revoked one at the end. `signed` gives the exact text and its signature.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

    from simulator.pki import Key

Json: TypeAlias = dict[str, Any]

QE_MRSIGNER = bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")
QE_ISVPRODID = 2
SGX_COMPONENTS = (4, 4, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0)
PCESVN = 11

_SGX_KINDS: dict[int, Json] = {
    0: {"category": "BIOS", "type": "Early Microcode Update"},
    1: {"category": "OS/VMM", "type": "SGX Late Microcode Update"},
    2: {"category": "OS/VMM", "type": "TXT SINIT"},
    3: {"category": "BIOS"},
    4: {"category": "BIOS"},
    5: {"category": "BIOS"},
    7: {"category": "OS/VMM", "type": "SEAMLDR ACM"},
}
_TDX_KINDS: dict[int, Json] = {
    0: {"category": "OS/VMM", "type": "TDX Module"},
    1: {"category": "OS/VMM", "type": "TDX Module"},
    2: {"category": "OS/VMM", "type": "TDX Late Microcode Update"},
}


def rfc3339(instant: datetime) -> str:
    """UTC with whole seconds and Z, as all of Intel's dates."""
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def signed(content: Json | str, key: Key) -> tuple[str, str]:
    """The text without white space (a string is taken as it is) and r||s over it, 128 hex digits."""
    text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))
    return text, key.sign_raw(text.encode()).hex()


def tcb_info(issued: datetime, next_update: datetime, fmspc: str, pceid: str = "0000") -> Json:
    """TCB info v3 for TDX: levels UpToDate, OutOfDate (three) and Revoked, modules TDX_03 and TDX_01."""
    return {
        "id": "TDX",
        "version": 3,
        "issueDate": rfc3339(issued),
        "nextUpdate": rfc3339(next_update),
        "fmspc": fmspc,
        "pceId": pceid,
        "tcbType": 0,
        "tcbEvaluationDataNumber": 20,
        "tdxModule": _module(),
        "tdxModuleIdentities": [_module_03(), _module_01()],
        "tcbLevels": _platform_levels(),
    }


def qe_identity(issued: datetime, next_update: datetime) -> Json:
    """QE identity v2 of the TD quoting enclave: ISVSVN 4 UpToDate, 3 OutOfDate, 1 Revoked."""
    return {
        "id": "TD_QE",
        "version": 2,
        "issueDate": rfc3339(issued),
        "nextUpdate": rfc3339(next_update),
        "tcbEvaluationDataNumber": 20,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": QE_MRSIGNER.hex().upper(),
        "isvprodid": QE_ISVPRODID,
        "tcbLevels": [
            level({"isvsvn": 4}, "2025-08-13", "UpToDate"),
            level({"isvsvn": 3}, "2024-03-13", "OutOfDate", "INTEL-SA-01245"),
            level({"isvsvn": 1}, "2023-08-09", "Revoked", "INTEL-SA-01036"),
        ],
    }


def level(tcb: Json, date: str, status: str, *advisories: str) -> Json:
    """One TCB level; `date` is YYYY-MM-DD, advisories are left out where there are none."""
    names = {"advisoryIDs": list(advisories)} if advisories else {}
    return {"tcb": tcb, "tcbDate": f"{date}T00:00:00Z", "tcbStatus": status, **names}


def platform_tcb(sgx: tuple[int, ...], pcesvn: int, tdx: tuple[int, ...]) -> Json:
    """The `tcb` of a platform level; shorter lists are filled with zeros to 16."""
    return {
        "sgxtcbcomponents": _components(sgx, _SGX_KINDS),
        "pcesvn": pcesvn,
        "tdxtcbcomponents": _components(tdx, _TDX_KINDS),
    }


def _components(svns: tuple[int, ...], kinds: dict[int, Json]) -> list[Json]:
    filled = svns + (0,) * (16 - len(svns))
    return [{"svn": svn, **kinds.get(i, {})} for i, svn in enumerate(filled)]


def _platform_levels() -> list[Json]:
    a, b, c = "INTEL-SA-01036", "INTEL-SA-01192", "INTEL-SA-01245"
    middle = (3, 3, 2, 2, 4, 1, 0, 5)
    old = (2, 2, 2, 2, 3, 1, 0, 5)
    oldest = (1, 1, 0, 0, 1, 0, 0, 0)
    return [
        level(platform_tcb(SGX_COMPONENTS, PCESVN, (5, 0, 4)), "2025-08-13", "UpToDate"),
        level(platform_tcb(middle, PCESVN, (5, 0, 3)), "2025-05-14", "OutOfDate", b, c),
        level(platform_tcb(old, PCESVN, (5, 0, 2)), "2024-03-13", "OutOfDate", a, b, c),
        level(
            platform_tcb(old, 5, (5, 0, 2)), "2018-01-04", "OutOfDate", "INTEL-SA-00106", a, b, c
        ),
        level(platform_tcb(oldest, 5, (1, 0, 1)), "2018-01-04", "Revoked", "INTEL-SA-00106", a),
    ]


def _module() -> Json:
    return {
        "mrsigner": "00" * 48,
        "attributes": "00" * 8,
        "attributesMask": "FF" * 8,
    }


def _module_03() -> Json:
    levels = [
        level({"isvsvn": 5}, "2025-08-13", "UpToDate"),
        level({"isvsvn": 3}, "2025-05-14", "OutOfDate", "INTEL-SA-01245", "INTEL-SA-01312"),
    ]
    return {"id": "TDX_03", **_module(), "tcbLevels": levels}


def _module_01() -> Json:
    a, b = "INTEL-SA-01036", "INTEL-SA-01245"
    levels = [
        level({"isvsvn": 11}, "2025-08-13", "UpToDate"),
        level({"isvsvn": 6}, "2025-05-14", "OutOfDate", b, "INTEL-SA-01312"),
        level({"isvsvn": 4}, "2024-03-13", "OutOfDate", a, b, "INTEL-SA-01312"),
        level({"isvsvn": 2}, "2023-08-09", "Revoked", a, b, "INTEL-SA-01312"),
    ]
    return {"id": "TDX_01", **_module(), "tcbLevels": levels}
