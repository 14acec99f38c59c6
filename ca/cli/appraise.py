# SPDX-License-Identifier: Apache-2.0
"""`attestca appraise`: verify, then the policy's word, offline. What the service would decide, but for nonce and key.

Evidence that does not verify is denied (or undetermined) before any rule of the policy is asked. Collateral past its
next update is the policy's to judge (rule collateral-stale).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import inspect, inspect_view, options, output
from ca.cli.exits import Exit, UnreadableError
from ca.cli.inputs import parse_instant, read_input
from verifiers.errors import Verdict
from verifiers.evidence import Tee

if TYPE_CHECKING:
    from policies.floors import Floors
    from policies.loader import LoadedPolicy
    from policies.result import AttestationResult
    from verifiers.claims import JsonValue

PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="Default: the built-in strict one of the technology, which pins nothing.",
    ),
]
FloorsOption = Annotated[
    str | None,
    typer.Option(
        "--amd-floors",
        metavar="FILE",
        help="Floors by AMD's advisories, if newer than the built-in ones.",
    ),
]


@dataclass(frozen=True, slots=True)
class Appraisal:
    """One appraisal; `result` is None where the evidence did not verify."""

    inspection: inspect.Inspection
    policy: LoadedPolicy
    result: AttestationResult | None

    @property
    def verdict(self) -> str:
        """accepted, denied, undetermined."""
        if self.result is not None:
            return str(self.result.decision)
        undetermined = self.inspection.verdict is Verdict.UNDETERMINED
        return str(Verdict.UNDETERMINED) if undetermined else "denied"


EXITS = {"accepted": Exit.OK, "denied": Exit.REFUSED, "undetermined": Exit.UNDETERMINED}


def appraise_command(
    files: inspect.FilesArgument,
    collateral: inspect.CollateralOption = None,
    at: inspect.AtOption = None,
    policy: PolicyOption = None,
    amd_floors: FloorsOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Verify evidence and judge it by a policy. Exit: 0 accepted, 1 denied, 2 undetermined."""
    done = appraise(files, collateral, at, policy, amd_floors)
    if json_:
        output.print_json(appraisal_json(done))
    else:
        show(done)
    raise typer.Exit(EXITS[done.verdict])


def appraise(
    files: list[str],
    collateral: str | None,
    at: str | None,
    policy: str | None,
    amd_floors: str | None,
) -> Appraisal:
    """Read, verify, judge. Raises UnreadableError for a policy or floors that do not load."""
    from policies.appraise import appraise as judge
    from policies.loader import load_default

    named = None if policy is None else _policy(policy)
    floors = None if amd_floors is None else _floors(amd_floors)
    now = parse_instant(at)
    data = [read_input(name) for name in files]
    bundle = None if collateral is None else read_input(collateral)
    found = inspect.verify_bytes(data, bundle, now)
    loaded = named or load_default(found.tee or Tee.TDX)
    if found.claims is None:
        return Appraisal(found, loaded, None)
    return Appraisal(found, loaded, judge(found.claims, loaded, found.checked_at, floors))


def _policy(name: str) -> LoadedPolicy:
    from policies.errors import PolicyError
    from policies.loader import load_policy

    try:
        return load_policy(read_input(name))
    except PolicyError as error:
        raise UnreadableError(f"{name}:\n{error}") from error


def _floors(name: str) -> Floors:
    """The newest of this file and the built-in ones."""
    from policies.errors import PolicyError
    from policies.floors import builtin_floors, load_floors, newest

    try:
        return newest(builtin_floors(), load_floors(read_input(name)))
    except PolicyError as error:
        raise UnreadableError(f"{name}:\n{error}") from error


def appraisal_json(done: Appraisal) -> dict[str, JsonValue]:
    """The object that `--json` prints: that of `verify`, with the policy and its findings."""
    document = done.policy.document
    findings: list[JsonValue] = []
    floors: JsonValue = None
    if done.result is not None:
        findings = [{**finding.as_json()} for finding in done.result.findings]
        if (asked := done.result.floors) is not None:
            floors = {"version": asked.version, "sha256": asked.sha256.hex()}
    return {
        **inspect.inspection_json(done.inspection),
        "verdict": done.verdict,
        "policy": {
            "name": document.name,
            "version": document.version,
            "sha256": done.policy.sha256.hex(),
        },
        **({} if floors is None else {"floors": floors}),
        "findings": findings,
    }


def show(done: Appraisal) -> None:
    """For people."""
    document = done.policy.document
    policy = f"{document.name}@{document.version}"
    inspect_view.show_appraisal(done.inspection, done.verdict, policy, done.result)
