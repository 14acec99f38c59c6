# SPDX-License-Identifier: Apache-2.0
"""`attestca verify`: what the vendors' own verification says of one machine's evidence, offline and without a policy.

A CPU's evidence (`ca.cli.inspect`), NVIDIA devices (`ca.cli.devices`), or both, each judged by itself; which file is
what is found by its content, never by an option, after those of other tools were unpacked (`ca.cli.foreign`). Event
logs are replayed against the CPU's registers, or by themselves (`ca.cli.boot`). The worst verdict is that of the
machine. Tokens of NVIDIA's attestation service count beside devices, or are looked at alone (`ca.cli.nras`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import typer

from ca.cli import (
    boot,
    boot_view,
    devices,
    foreign,
    given,
    inspect,
    inspect_view,
    launch_fields,
    machine,
    nras,
    nvidia_view,
    output,
)
from ca.cli.exits import VERDICT_EXITS
from ca.cli.inputs import parse_instant, read_input
from verifiers.claims import to_json
from verifiers.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from verifiers.claims import JsonValue
    from verifiers.errors import Verdict
    from verifiers.eventlog.events import Register
    from verifiers.nvidia.claims import AppraisedBy


_ONLY_A_TABLE: Final = (
    "the ACPI table CCEL says where a log is and holds none: Linux has the log in"
    " /sys/firmware/acpi/tables/data/CCEL"
)


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of a machine's evidence; None of what was not given."""

    cpu: inspect.Inspection | None
    devices: devices.DeviceInspection | None
    checked_at: datetime
    boot: boot.BootInspection | None = None
    launch: launch_fields.LaunchInspection | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst."""
        parts = (self.cpu, self.devices, self.boot, self.launch)
        return machine.worst(one.verdict for one in parts if one is not None)

    def dated(self) -> Verified:
        """The same where nobody tolerates collateral past its next update."""
        return replace(
            self,
            cpu=self.cpu and inspect.judge_dates(self.cpu),
            devices=self.devices and devices.judge_dates(self.devices),
        )


def verify_command(
    files: inspect.OptionalFilesArgument = None,
    collateral: inspect.CollateralOption = None,
    rim: given.RimOption = None,
    ocsp: given.OcspOption = None,
    nonce: given.NonceOption = None,
    nras_token: given.TokenOption = None,
    jwks: given.JwksOption = None,
    register: boot.RegisterOption = None,
    init_data: launch_fields.InitDataOption = None,
    at: inspect.AtOption = None,
    json_: inspect.JsonOption = False,
) -> None:
    """Verify evidence as its vendor would, without a policy. Exit: 0 verified, 1 rejected, 2 undetermined."""
    now = parse_instant(at)
    named = given.Given(tuple(rim or ()), ocsp, nonce, tuple(nras_token or ()), jwks)
    if files:
        data = [read_input(name) for name in files]
        stated = boot.parse_registers(register or ())
        handed = launch_fields.read_file(init_data)
        found = inspect_machine(data, collateral, named, now, stated=stated, init_data=handed)
        verdict = _verified(found.dated(), as_json=json_)
    elif init_data is not None:
        raise typer.BadParameter("--init-data is for CPUs' evidence")
    else:
        verdict = _verify_tokens(collateral, named, now, as_json=json_)
    raise typer.Exit(VERDICT_EXITS[verdict])


def _verified(found: Verified, *, as_json: bool) -> Verdict:
    """No policy is asked, so collateral past its next update is a refusal."""
    if as_json:
        output.print_json({**verified_json(found), **_not_as_stated(found)})
    else:
        show(found)
    return found.verdict


def _not_as_stated(found: Verified) -> dict[str, JsonValue]:
    """Verdict and reason where nothing is wrong but that another file was handed over than `--init-data`."""
    others = (found.cpu, found.boot)
    if found.launch is None or found.launch.reason is None or found.devices is not None:
        return {}  # beside devices each part has a reason of its own
    if any(one is not None and one.reason is not None for one in others):
        return {}
    return {"verdict": str(found.verdict), "reason": launch_fields.reason_json(found.launch)}


def _verify_tokens(
    collateral: str | None, named: given.Given, now: datetime, *, as_json: bool
) -> Verdict:
    if not named.tokens:
        raise typer.BadParameter("evidence is wanted, or --nras-token")
    if named.rims or named.ocsp is not None or collateral is not None:
        raise typer.BadParameter("with tokens alone go --jwks and --nonce, and nothing else")
    found = nras.inspect_tokens(named.read(), now)
    if as_json:
        output.print_json(nras.inspection_json(found))
    else:
        nras.show(found)
    return found.verdict


def inspect_machine(
    data: Sequence[bytes],
    collateral: str | None,
    named: given.Given,
    now: datetime,
    by: AppraisedBy | None = None,
    stated: Mapping[Register, bytes] | None = None,
    init_data: tuple[str, bytes] | None = None,
) -> Verified:
    """Verify what files hold; collateral past its next update is no fault yet.

    Args:
        data: of the files.
        collateral: its file.
        named: of devices.
        now: at which to judge.
        by: whose comparison of devices with their manifests counts, as `devices.inspect_devices` takes it.
        stated: registers that event logs without evidence are compared with.
        init_data: name and content of a file that a field of the CPU's evidence should hold a hash of.

    Raises:
        BadParameter: files that make no evidence, options of evidence that is not given.
        UnreadableError: what an option names and cannot be read.
    """
    try:
        unpacked = foreign.unpack(data)
    except VerificationError as error:
        return Verified(inspect.refused(error, data, None, now), None, now)
    for note in unpacked.notes:
        output.say(f"attestca: {note}")
    files = machine.sort_files(unpacked.files)
    check_options(files, collateral, named)
    evidence = boot.beside(files.cpu)
    if not evidence and (unpacked.bundles or collateral is not None):
        raise typer.BadParameter("--collateral, or its file, is for CPUs: none is here")
    cpu = logs = None
    if evidence:
        bundle = inspect.one_bundle(collateral, unpacked.bundles)
        cpu = inspect.verify_bytes(files.cpu, bundle, now)
    claims = None if cpu is None else cpu.claims
    if boot.sent(files.cpu):
        logs = boot.inspect_logs(files.cpu, claims, evidence, stated or {})
    elif stated:
        raise typer.BadParameter("--register is for event logs")
    launch = launch_fields.inspect(claims, evidence, None if logs is None else logs.boot, init_data)
    if launch is None and init_data is not None:
        raise typer.BadParameter("--init-data: no evidence of a CPU that can be read is here")
    found = None
    if files.devices:
        found = devices.inspect_devices(files.devices, named.read(), now, by)
    if cpu is None and logs is None and found is None:
        raise typer.BadParameter(_ONLY_A_TABLE)
    return Verified(cpu, found, now, logs, launch)


def check_options(files: machine.MachineFiles, collateral: str | None, named: given.Given) -> None:
    """Raises BadParameter for options of evidence that is not given."""
    if collateral is not None and not files.cpu:
        raise typer.BadParameter("--collateral is for CPUs; for NVIDIA there are --rim, --ocsp")
    if named != given.Given() and not files.devices:
        raise typer.BadParameter("--rim, --ocsp, --nonce and --nras-token are for NVIDIA devices")


def verified_json(found: Verified) -> dict[str, JsonValue]:
    """The object that `--json` prints: that of the CPU or of the devices, or both objects in one; logs as `boot`."""
    if found.devices is None:
        logs = _boot_json(found)
        return {**_cpu_json(found), **logs, "checked_at": to_json(found.checked_at)}
    if found.cpu is None and found.boot is None:
        return devices.inspection_json(found.devices)
    return {
        "verdict": str(found.verdict),
        "binding": machine.NOT_COMPARED,
        "cpu": _cpu_json(found) or None,
        "devices": devices.inspection_json(found.devices),
        **_boot_json(found),
        "checked_at": to_json(found.checked_at),
    }


def _cpu_json(found: Verified) -> dict[str, JsonValue]:
    """The CPU's part: its evidence, and what was chosen at launch."""
    cpu = {} if found.cpu is None else inspect.inspection_json(found.cpu)
    launch = {} if found.launch is None else {"launch": launch_fields.launch_json(found.launch)}
    return {**cpu, **launch}


def _boot_json(found: Verified) -> dict[str, JsonValue]:
    """The logs' part of the object, with the verdict of the whole; nothing where there are none."""
    if found.boot is None:
        return {}
    said = boot_view.boot_json(found.boot)
    reason = (
        {} if found.cpu is not None and found.cpu.reason is not None else {"reason": said["reason"]}
    )
    return {"verdict": str(found.verdict), **reason, "boot": said}


def show(found: Verified) -> None:
    """For people."""
    both = found.cpu is not None and found.devices is not None
    if both:
        output.print_facts(
            {"verdict": str(found.verdict), "binding": machine.WHY_NOT_COMPARED}, "Machine"
        )
        output.say_blank()
    if found.cpu is not None:
        inspect_view.show(found.cpu, "CPU" if both else "")
    if found.cpu is not None and found.launch is not None:
        launch_fields.show(found.launch, first=found.cpu.claims is None and found.cpu.tcb is None)
    if found.boot is not None:
        if found.cpu is not None:
            output.say_blank()
        boot_view.show(found.boot)
    if found.devices is not None and (found.cpu is not None or found.boot is not None):
        output.say_blank()
    if found.devices is not None:
        nvidia_view.show(found.devices, "NVIDIA devices" if both else "")
