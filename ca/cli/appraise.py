# SPDX-License-Identifier: Apache-2.0
"""`attestca appraise`: verify, then the policy's word, offline. What the service would decide, but for nonce and key.

Evidence that does not verify is denied (or undetermined) before any rule of the policy is asked. Collateral past its
next update is the policy's to judge (rule collateral-stale). NVIDIA devices are judged by the policy's section
`nvidia`, which also says whose comparison with the manifests counts: beside their CPU, or alone. Alone they are looked
at, but get no certificate, which is said. Beside a CPU whose policy has no such section they are unexpected, however
genuine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import typer

from ca.cli import appraise_view, given, inspect, judges, launch_fields, options, output, verify
from ca.cli.exits import Exit
from ca.cli.inputs import parse_instant, read_input
from verifiers.errors import Verdict
from verifiers.evidence import Tee
from verifiers.nvidia.claims import AppraisedBy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ca.cli.judges import Judged, Judges
    from ca.cli.verify import Verified
    from policies.appraise import Devices
    from policies.loader import LoadedPolicy
    from verifiers.claims import JsonValue

EXITS: Final = {"accepted": Exit.OK, "denied": Exit.REFUSED, "undetermined": Exit.UNDETERMINED}


@dataclass(frozen=True, slots=True)
class Appraisal:
    """One appraisal; `judged` is None where the evidence did not verify. Dates are the policy's to judge."""

    verified: Verified
    policy: LoadedPolicy
    judged: Judged | None

    @property
    def verdict(self) -> str:
        """accepted, denied, undetermined."""
        if self.judged is not None:
            return "accepted" if self.judged.accepted else "denied"
        verified = replace(self.verified, launch=None)  # whose fields the policy judges
        undetermined = verified.verdict is Verdict.UNDETERMINED
        return str(Verdict.UNDETERMINED) if undetermined else "denied"


def appraise_command(
    files: inspect.FilesArgument,
    collateral: inspect.CollateralOption = None,
    rim: given.RimOption = None,
    ocsp: given.OcspOption = None,
    nonce: given.NonceOption = None,
    nras_token: given.TokenOption = None,
    jwks: given.JwksOption = None,
    init_data: launch_fields.InitDataOption = None,
    at: inspect.AtOption = None,
    policy: judges.PolicyOption = None,
    amd_floors: judges.FloorsOption = None,
    nvidia_minimums: judges.MinimumsOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Verify evidence and judge it by a policy. Exit: 0 accepted, 1 denied, 2 undetermined."""
    who = judges.load(policy, amd_floors, nvidia_minimums)
    named = given.Given(tuple(rim or ()), ocsp, nonce, tuple(nras_token or ()), jwks)
    now = parse_instant(at)
    handed = launch_fields.read_file(init_data)
    done = appraise([read_input(name) for name in files], collateral, named, who, now, handed)
    if json_:
        output.print_json(appraisal_json(done))
    else:
        appraise_view.show(done)
    raise typer.Exit(EXITS[done.verdict])


def appraise(
    data: Sequence[bytes],
    collateral: str | None,
    named: given.Given,
    who: Judges,
    now: datetime,
    init_data: tuple[str, bytes] | None = None,
) -> Appraisal:
    """Verify what files hold, and judge it.

    Raises BadParameter for tokens that the policy does not ask for; what `verify.inspect_machine` raises.
    """
    by = _appraised_by(who.policy, named)
    found = verify.inspect_machine(data, collateral, named, now, by, init_data=init_data)
    policy = who.policy or _default(found)
    return Appraisal(found, policy, _judge(found, policy, who, now))


def _appraised_by(policy: LoadedPolicy | None, named: given.Given) -> AppraisedBy:
    rules = None if policy is None else policy.document.nvidia
    by = AppraisedBy.LOCAL if rules is None else rules.appraisal
    if by is AppraisedBy.LOCAL and named.tokens:
        raise typer.BadParameter("--nras-token: the policy asks for no token (nvidia.appraisal)")
    return by


def _default(found: Verified) -> LoadedPolicy:
    """The strict document of the technology, with devices if there are any; for devices alone that of TDX serves."""
    from policies.loader import load_default

    tee = None if found.cpu is None else found.cpu.tee
    return load_default(tee or Tee.TDX, devices=found.devices is not None)


def _judge(found: Verified, policy: LoadedPolicy, who: Judges, now: datetime) -> Judged | None:
    """None where something did not verify that the policy would have looked at."""
    if found.cpu is None:
        if found.boot is not None:
            raise typer.BadParameter("event logs are judged beside a quote: none is here")
        alone = found.devices and found.devices.claims
        return judges.judge_devices(alone, policy, who, now) if alone else None
    devices = _beside(found, policy)
    logs = None if found.boot is None else found.boot.boot
    unread = found.boot is not None and logs is None
    if found.cpu.claims is None or (found.devices is not None and devices is None) or unread:
        return None
    return judges.judge_machine(found.cpu.claims, devices, policy, who, now, logs)


def _beside(found: Verified, policy: LoadedPolicy) -> Devices:
    """The devices as the service shows them to the policy: one without a section for them has nobody verify any."""
    from policies.case import UnverifiedDevices

    if found.devices is None:
        return None
    if policy.document.nvidia is None and found.devices.count:
        return UnverifiedDevices(found.devices.count)
    return found.devices.claims


def appraisal_json(done: Appraisal) -> dict[str, JsonValue]:
    """The object that `--json` prints: that of `verify`, with the policy and its findings."""
    document, judged = done.policy.document, done.judged
    asked = {} if judged is None else {"floors": judged.floors, "minimums": judged.minimums}
    lists: dict[str, JsonValue] = {
        name: {"version": one.version, "sha256": one.sha256.hex()}
        for name, one in asked.items()
        if one is not None
    }
    findings: list[JsonValue] = (
        [] if judged is None else [{**one.as_json()} for one in judged.findings]
    )
    return {
        **verify.verified_json(done.verified),
        "verdict": done.verdict,
        "policy": {
            "name": document.name,
            "version": document.version,
            "sha256": done.policy.sha256.hex(),
        },
        **lists,
        **({"note": appraise_view.NOTE} if done.verified.cpu is None else {}),
        "findings": findings,
    }
