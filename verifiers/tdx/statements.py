# SPDX-License-Identifier: Apache-2.0
"""Intel's signed statements on TCBs as typed values: TCB info v3 for TDX, QE identity v2.

Source: Intel PCS API v4. Only texts whose signature was checked come here (`verifiers.tdx.collateral`). Unknown members
are left aside (Intel adds some); known ones must have the exact type and length. Parsing raises ValueError, KeyError
or TypeError, and `endorsement-mismatch` for a statement about something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from verifiers import jsontext
from verifiers.errors import Reason, VerificationError
from verifiers.tcb import TcbStatus

COMPONENTS: Final = 16
_DATE_LENGTH: Final = len("2025-06-19T10:16:03Z")


@dataclass(frozen=True, slots=True)
class PlatformLevel:
    """One entry of `tcbLevels` in TCB info. `sgx` and `tdx` are the 16 component SVNs, one byte each."""

    sgx: bytes
    pcesvn: int
    tdx: bytes
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SvnLevel:
    """One entry of `tcbLevels` of a TDX module identity or of the QE identity."""

    isvsvn: int
    status: TcbStatus
    date: datetime
    advisory_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModuleIdentity:
    """`tdxModule` (no levels, id "") or an entry of `tdxModuleIdentities` (id "TDX_01", upper case)."""

    id: str
    mrsigner: bytes  # 48
    attributes: bytes  # 8
    attributes_mask: bytes  # 8
    levels: tuple[SvnLevel, ...]


@dataclass(frozen=True, slots=True)
class TcbInfo:
    """TCB info v3 for TDX. Levels are in descending order, whatever their order in the text."""

    issue_date: datetime
    next_update: datetime
    fmspc: bytes  # 6
    pceid: bytes  # 2
    evaluation_data_number: int
    module: ModuleIdentity | None
    module_identities: tuple[ModuleIdentity, ...]
    levels: tuple[PlatformLevel, ...]
    names: dict[
        str, tuple[tuple[str, str], ...]
    ]  # "sgxtcbcomponents" -> Intel's 16 (category, type)

    def identity(self, version: int) -> ModuleIdentity:
        """What Intel states of TDX module `version` (tee_tcb_svn[1]). Raises `tdx-module-mismatch`."""
        wanted = f"TDX_{version:02X}"
        for found in (self.module,) if version == 0 else self.module_identities:
            if found is not None and (version == 0 or found.id == wanted):
                return found
        raise VerificationError(
            Reason.TDX_MODULE_MISMATCH, f"TCB info knows no TDX module of version {version}"
        )


@dataclass(frozen=True, slots=True)
class QeIdentity:
    """Enclave identity v2 with id TD_QE. Levels are in descending order."""

    issue_date: datetime
    next_update: datetime
    evaluation_data_number: int
    miscselect: bytes  # 4
    miscselect_mask: bytes  # 4
    attributes: bytes  # 16
    attributes_mask: bytes  # 16
    mrsigner: bytes  # 32
    isvprodid: int
    levels: tuple[SvnLevel, ...]


def parse_tcb_info(text: bytes) -> TcbInfo:
    """Read TCB info."""
    members = jsontext.parse_signed(text)
    _expect(members, "id", "TDX")
    _expect(members, "version", 3)
    _expect(members, "tcbType", 0)
    identities = _list(members.get("tdxModuleIdentities", []))
    texts = _list(members["tcbLevels"])
    levels = [_platform_level(_object(level)) for level in texts]
    levels.sort(key=lambda level: (level.sgx, level.pcesvn, level.tdx), reverse=True)
    found = tuple([_module_identity(_object(identity)) for identity in identities])
    if len({identity.id for identity in found}) != len(found):
        raise ValueError("a TDX module identity stands twice")
    return TcbInfo(
        issue_date=_date(members["issueDate"]),
        next_update=_date(members["nextUpdate"]),
        fmspc=_hex(members["fmspc"], 6),
        pceid=_hex(members["pceId"], 2),
        evaluation_data_number=_number(members["tcbEvaluationDataNumber"]),
        module=_module(_object(members["tdxModule"])) if "tdxModule" in members else None,
        module_identities=found,
        levels=tuple(levels),
        names=_component_names(texts),
    )


def parse_qe_identity(text: bytes) -> QeIdentity:
    """Read the QE identity."""
    members = jsontext.parse_signed(text)
    _expect(members, "id", "TD_QE")
    _expect(members, "version", 2)
    return QeIdentity(
        issue_date=_date(members["issueDate"]),
        next_update=_date(members["nextUpdate"]),
        evaluation_data_number=_number(members["tcbEvaluationDataNumber"]),
        miscselect=_hex(members["miscselect"], 4),
        miscselect_mask=_hex(members["miscselectMask"], 4),
        attributes=_hex(members["attributes"], 16),
        attributes_mask=_hex(members["attributesMask"], 16),
        mrsigner=_hex(members["mrsigner"], 32),
        isvprodid=_number(members["isvprodid"]),
        levels=_svn_levels(members["tcbLevels"]),
    )


def _platform_level(level: dict[str, jsontext.Json]) -> PlatformLevel:
    tcb = _object(level["tcb"])
    return PlatformLevel(
        sgx=_svns(tcb["sgxtcbcomponents"]),
        pcesvn=_number(tcb["pcesvn"]),
        tdx=_svns(tcb["tdxtcbcomponents"]),
        status=TcbStatus.parse(_text(level["tcbStatus"])),
        date=_date(level["tcbDate"]),
        advisory_ids=_texts(level.get("advisoryIDs", [])),
    )


def _svns(value: jsontext.Json) -> bytes:
    """The SVNs of a component list, which must be 16 integers of one byte."""
    svns = bytes([component["svn"] for component in cast("list[dict[str, int]]", _list(value))])
    if len(svns) != COMPONENTS:
        raise ValueError(f"{len(svns)} TCB components, not {COMPONENTS}")
    return svns


def _component_names(levels: list[jsontext.Json]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Intel's words for the components; they are the same in every level, so the first level's serve."""
    if not levels:
        return {}
    tcb = _object(_object(levels[0])["tcb"])
    return {
        kind: tuple([_words(_object(component)) for component in _list(tcb[kind])])
        for kind in ("sgxtcbcomponents", "tdxtcbcomponents")
    }


def _words(component: dict[str, jsontext.Json]) -> tuple[str, str]:
    return _text(component.get("category", "")), _text(component.get("type", ""))


def _module(module: dict[str, jsontext.Json], levels: tuple[SvnLevel, ...] = ()) -> ModuleIdentity:
    return ModuleIdentity(
        id=_text(module.get("id", "")).upper(),
        mrsigner=_hex(module["mrsigner"], 48),
        attributes=_hex(module["attributes"], 8),
        attributes_mask=_hex(module["attributesMask"], 8),
        levels=levels,
    )


def _module_identity(identity: dict[str, jsontext.Json]) -> ModuleIdentity:
    return _module(identity, _svn_levels(identity["tcbLevels"]))


def _svn_levels(value: jsontext.Json) -> tuple[SvnLevel, ...]:
    levels = [
        SvnLevel(
            isvsvn=_number(_object(level["tcb"])["isvsvn"]),
            status=TcbStatus.parse(_text(level["tcbStatus"])),
            date=_date(level["tcbDate"]),
            advisory_ids=_texts(level.get("advisoryIDs", [])),
        )
        for level in map(_object, _list(value))
    ]
    return tuple(sorted(levels, key=lambda level: level.isvsvn, reverse=True))


def _expect(members: dict[str, jsontext.Json], name: str, wanted: str | int) -> None:
    if members[name] != wanted or type(members[name]) is not type(wanted):
        raise VerificationError(
            Reason.ENDORSEMENT_MISMATCH, f"{name} is {members[name]!r}, not {wanted!r}"
        )


def _object(value: jsontext.Json) -> dict[str, jsontext.Json]:
    if not isinstance(value, dict):
        raise TypeError("an object is wanted")
    return value


def _list(value: jsontext.Json) -> list[jsontext.Json]:
    if not isinstance(value, list):
        raise TypeError("a list is wanted")
    return value


def _text(value: jsontext.Json) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is wanted")
    return value


def _texts(value: jsontext.Json) -> tuple[str, ...]:
    return tuple([_text(item) for item in _list(value)])


def _number(value: jsontext.Json) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("a non-negative integer is wanted")
    return value


def _hex(value: jsontext.Json, length: int) -> bytes:
    text = _text(value)
    data = bytes.fromhex(text)
    if len(text) != 2 * length or len(data) != length:
        raise ValueError(f"{len(data)} bytes where {length} belong")
    return data


def _date(value: jsontext.Json) -> datetime:
    text = _text(value)
    if len(text) != _DATE_LENGTH or not text.endswith("Z"):
        raise ValueError(f"{text!r} is no UTC time to the second")
    return datetime.fromisoformat(text)
