# SPDX-License-Identifier: Apache-2.0
"""What reports of NVIDIA devices say, and what they were compared with, for people."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from ca.cli import output
from verifiers.nvidia.claims import DeviceKind, Topology
from verifiers.nvidia.measurements import references

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ca.cli.devices import DeviceInspection
    from verifiers.nvidia.claims import NvidiaClaims, NvidiaSetClaims
    from verifiers.nvidia.device import Device

_TOPOLOGIES = {
    Topology.INDEPENDENT: "none proven: each device is genuine for itself",
    Topology.PPCIE: "each GPU and each switch names exactly the certified identities of the others",
}


def show(found: DeviceInspection, title: str = "") -> None:
    """Verdict and reason, then the devices as far as verification came."""
    reason = {} if found.reason is None else {"reason": f"{found.reason}: {found.detail}"}
    facts = {"verdict": str(found.verdict), **reason, "judged at": found.checked_at.isoformat()}
    output.print_facts(facts, title)
    if found.claims is not None or found.authentic:
        output.say_blank()
        show_evidence(found)


def show_evidence(found: DeviceInspection) -> None:
    """The devices as far as verification came."""
    if found.claims is not None:
        _show_claims(found.claims)
    elif found.authentic:
        _show_authentic(found.authentic)
        if found.topology is not None:
            output.say_blank()
            output.print_facts({"topology": _topology(found.topology)})


def _show_claims(claims: NvidiaSetClaims) -> None:
    output.print_facts(_set_facts(claims), "Devices")
    for place, device in enumerate(claims.devices):
        output.say_blank()
        output.print_facts(_device_facts(device), f"Device {place}: {device.kind}")
    output.say_blank()
    output.print_table(
        ("device", "manifest", "id", "version", "signer until", "revocation"),
        _rim_rows(claims.devices),
        "Reference manifests",
    )
    output.say_blank()
    output.print_table(
        ("devices", "part", "from", "until", ""), _window_rows(claims.devices), "Collateral"
    )


def _set_facts(claims: NvidiaSetClaims) -> dict[str, str]:
    nonce = "as asked for" if claims.bound else "compared with none"
    return {
        "number": f"{_count(len(claims.gpus), 'GPU', 'GPUs')},"
        f" {_count(len(claims.switches), 'switch', 'switches')}",
        "mode": _mode(claims.mode),
        "topology": _topology(claims.topology),
        "nonce": f"{claims.nonce.hex()}, {nonce}",
    }


def _topology(topology: Topology) -> str:
    return f"{topology}: {_TOPOLOGIES[topology]}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _mode(mode: str | None) -> str:
    return "not said" if mode is None else str(mode)


def _device_facts(device: NvidiaClaims) -> dict[str, str]:
    facts = {
        "family": f"{device.family}, {device.model}",
        "chip": device.chip_info,
        "serial": device.device_serial,
        "leaf": f"{device.ueid:x}",
        "driver": device.driver_version,
        "VBIOS": device.vbios_version,
        "mode": _mode(device.mode) if device.kind is DeviceKind.GPU else None,
        "FWID": _fwid(device.kind, device.fwid),
        **_comparison_facts(device),
        "revocation": f"device chain {device.revocation}",
        "expires": device.expires.isoformat(),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _comparison_facts(device: NvidiaClaims) -> dict[str, str]:
    """By whom measurements were compared, and which; a mismatch would have been a refusal that names it."""
    facts = {"appraised": str(device.appraised_by)}
    if device.nras is not None:
        facts["NRAS"] = (
            f"accepted, claims {device.nras.claims_version}, until {device.nras.expires.isoformat()}"
        )
    if device.rims:
        compared, others = device.coverage.compared, device.coverage.not_covered
        count = f"{len(compared)} of {len(device.measurements)} measurements"
        facts["compared"] = f"{count}: {ranges(compared)}"
        facts["not covered"] = f"{len(others)}: {ranges(others)}" if others else "none"
        facts["mismatches"] = "none"
    return facts


def _fwid(kind: DeviceKind, fwid: bytes | None) -> str | None:
    """A switch has none; a GPU without one is not tied to the firmware that its key was certified for."""
    if fwid is not None:
        return fwid.hex()
    return "missing: not tied to the firmware of its key" if kind is DeviceKind.GPU else None


def ranges(indexes: Iterable[int]) -> str:
    """Ascending numbers as "0-12, 21, 23-40"."""
    runs = []
    for _, run in groupby(enumerate(indexes), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in run]
        runs.append(str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}")
    return ", ".join(runs)


def _rim_rows(devices: Sequence[NvidiaClaims]) -> Iterator[tuple[str, ...]]:
    for place, device in enumerate(devices):
        for rim in device.rims:
            signer_until = rim.signer_not_after.isoformat()
            named = (str(place), str(rim.kind), rim.rim_id, rim.version)
            yield (*named, signer_until, str(rim.revocation))


def _window_rows(devices: Sequence[NvidiaClaims]) -> Iterator[tuple[str, ...]]:
    """Each window once, with the devices that it is of."""
    windows: dict[tuple[str, ...], list[int]] = {}
    for place, device in enumerate(devices):
        for part in dict.fromkeys(device.collateral):
            expired = "EXPIRED" if part.expired_since else ""
            row = (part.part, part.issued.isoformat(), part.next_update.isoformat(), expired)
            windows.setdefault(row, []).append(place)
    for window, places in windows.items():
        yield (ranges(places), *window)


def _show_authentic(devices: Sequence[Device]) -> None:
    """Devices that are genuine and were yet not verified, and what they must be compared with."""
    output.print_table(
        ("device", "model", "serial", "driver", "VBIOS", "mode", "FWID", "manifests"),
        (_authentic_row(place, device) for place, device in enumerate(devices)),
        "Genuine devices, not verified",
    )


def _authentic_row(place: int, device: Device) -> tuple[str, ...]:
    chain, fields = device.chain, device.report.fields
    head = (str(place), chain.model, chain.serial)
    if fields is None:
        return (*head, "", "", "", "", "none is known")
    needed = "\n".join(one.rim_id for one in references(fields, chain.family))
    fwid = "" if chain.family.kind is DeviceKind.SWITCH else _short(fields.fwid)
    driver = fields.driver_version or ""
    mode = "" if chain.family.kind is DeviceKind.SWITCH else _mode(fields.mode)
    return (*head, driver, fields.vbios_version, mode, fwid, needed)


def _short(fwid: bytes | None) -> str:
    return "missing" if fwid is None else "as certified"
