# SPDX-License-Identifier: Apache-2.0
"""`attestca certs|refusals|actions`: what is on record, through the operators' API; `--json` prints its answer."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from ca.cli import options, output, remote
from ca.cli.exits import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

certs = typer.Typer(name="certs", help="Certificates on record.", no_args_is_help=True)
refusals = typer.Typer(name="refusals", help="What was refused, and why.", no_args_is_help=True)
actions = typer.Typer(name="actions", help="What operators did.", no_args_is_help=True)

CERTIFICATES = "/v1/admin/certificates"


class Outcome(StrEnum):
    """How an enrollment ended, as far as it used a serial number."""

    INTENT = "intent"
    ISSUED = "issued"
    ABANDONED = "abandoned"


class Format(StrEnum):
    """How an export is written."""

    JSON = "json"
    CSV = "csv"


class Kind(StrEnum):
    """Of refusals: of authentic evidence and on record, or a sample of the others."""

    RECORDED = "recorded"
    SAMPLED = "sampled"


SanOption = Annotated[str | None, typer.Option(metavar="TEXT", help="Part of a name.")]
PolicyOption = Annotated[str | None, typer.Option(metavar="NAME", help="Issued under this policy.")]
TcbOption = Annotated[str | None, typer.Option(metavar="STATUS", help="E.g. UpToDate.")]
OutcomeOption = Annotated[Outcome | None, typer.Option()]
ValidAtOption = Annotated[
    str | None, typer.Option(metavar="RFC3339", help="Valid at this instant.")
]
LimitOption = Annotated[int, typer.Option(min=1, max=1000, help="Lines at most.")]
AfterOption = Annotated[str | None, typer.Option(metavar="SERIAL", help="Go on after this one.")]
BeforeIdOption = Annotated[int | None, typer.Option(metavar="ID", help="Go on before this one.")]
BeforeOption = Annotated[str | None, typer.Option(metavar="RFC3339", help="Go on before this.")]
KindOption = Annotated[Kind, typer.Option(help="On record, or a sample of unauthentic ones.")]
FormatOption = Annotated[Format, typer.Option("--format")]
SerialArgument = Annotated[str, typer.Argument(metavar="SERIAL", help="Hexadecimal.")]
SaveOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="New file. Default: standard output."),
]


@certs.command("list")
def list_certificates(
    san: SanOption = None,
    policy: PolicyOption = None,
    tcb_status: TcbOption = None,
    outcome: OutcomeOption = None,
    valid_at: ValidAtOption = None,
    limit: LimitOption = 100,
    after: AfterOption = None,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Search certificates; all given conditions hold."""
    found = remote.connect(url, token_file, ca_root).get(
        CERTIFICATES,
        "certificates",
        san=san,
        policy=policy,
        tcb_status=tcb_status,
        outcome=outcome,
        valid_at=valid_at,
        limit=limit,
        after=after,
    )
    if json_:
        output.print_json(found)
        return
    output.print_table(
        ("serial", "outcome", "not after", "names", "policy", "TCB"),
        (
            (
                one["serial"],
                one["outcome"],
                one["not_after"],
                "\n".join(one["names"]),
                _policy(one["policy"]),
                one["tcb_status"],
            )
            for one in found["certificates"]
        ),
        "Certificates",
    )
    _say_more(found, "--after")


@certs.command("show")
def show_certificate(
    serial: SerialArgument,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Show everything on record about one certificate: the decision, its findings, the certificate itself."""
    path = f"{CERTIFICATES}/{remote.segment(serial.lower().lstrip('0'))}"
    found = remote.connect(url, token_file, ca_root).get(path, "summary")
    if json_:
        output.print_json(found)
        return
    summary = found["summary"]
    output.print_facts(
        {
            "serial": summary["serial"],
            "outcome": summary["outcome"],
            "valid": f"{summary['not_before']} to {summary['not_after']}",
            "names": "\n".join(summary["names"]),
            "policy": _policy(summary["policy"]),
            "evidence": f"{summary['tee']}, TCB {summary['tcb_status']}",
            "decided at": summary["decided_at"],
            "issuer key id": summary["issuer_key_id"],
            "SHA-256": summary["certificate_sha256"] or "none",
            "revoked": "\n".join(map(_revoked, found["revocations"])) or "no",
        }
    )
    output.say_blank()
    rows = ((one["kind"], one["handle"]) for one in found["handles"])
    output.print_table(("kind", "handle"), rows, "Handles")
    output.say_blank()
    _show_findings(found["decision"]["result"])
    if found["certificate"] is not None:
        output.write("\n" + found["certificate"])


@certs.command("export")
def export_certificates(
    san: SanOption = None,
    policy: PolicyOption = None,
    tcb_status: TcbOption = None,
    outcome: OutcomeOption = None,
    valid_at: ValidAtOption = None,
    format_: FormatOption = Format.JSON,
    file: SaveOption = None,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
) -> None:
    """Write the whole of a search as JSON or CSV."""
    asked = remote.connect(url, token_file, ca_root)
    with _sink(file) as sink:
        asked.save(
            f"{CERTIFICATES}/export",
            sink,
            san=san,
            policy=policy,
            tcb_status=tcb_status,
            outcome=outcome,
            valid_at=valid_at,
            format=format_,
        )


@refusals.command("list")
def list_refusals(
    kind: KindOption = Kind.RECORDED,
    limit: LimitOption = 20,
    before: BeforeIdOption = None,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Show refusals, newest first, with every finding that refused."""
    found = remote.connect(url, token_file, ca_root).get(
        "/v1/admin/refusals", "refusals", kind=kind, limit=limit, before=before
    )
    if json_:
        output.print_json(found)
    elif kind is Kind.SAMPLED:
        columns = ("at", "code", "address prefix", "detail")
        rows = ([one[name.replace(" ", "_")] for name in columns] for one in found["refusals"])
        output.print_table(columns, rows, "Refusals (sample)")
    else:
        _show_refusals(found)


@actions.command("list")
def list_actions(
    limit: LimitOption = 50,
    before: BeforeOption = None,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Show the operators' log, newest first."""
    found = remote.connect(url, token_file, ca_root).get(
        "/v1/admin/actions", "actions", limit=limit, before=before
    )
    if json_:
        output.print_json(found)
        return
    columns = ("done_at", "actor", "action", "target", "detail")
    rows = ([_text(one[name]) for name in columns] for one in found["actions"])
    output.print_table(columns, rows, "Actions")
    _say_more(found, "--before")


def _show_refusals(found: dict[str, Any]) -> None:
    if not found["refusals"]:
        output.print_table((), (), "Refusals")
    for one in found["refusals"]:
        decision = one["decision"]
        output.print_facts(
            {
                "refusal": str(one["id"]),
                "at": decision["decided_at"],
                "evidence": f"{decision['tee']}, TCB {decision['tcb_status']}",
                "policy": _policy(decision["policy"]),
                "key SHA-256": decision["key_sha256"],
            }
        )
        _show_findings(decision["result"])
        output.say_blank()
    _say_more(found, "--before")


def _show_findings(result: dict[str, Any]) -> None:
    """The verifier's reason, or the findings that did not simply hold."""
    if (reason := result.get("reason")) is not None:
        output.print_facts({"reason": f"{reason['code']}: {reason['detail']}"})
    columns = ("result", "rule", "path", "expected", "actual", "hint")
    notable = [one for one in result.get("findings", ()) if one["result"] != "pass"]
    if notable:
        output.print_table(
            columns, ([one[name] for name in columns] for one in notable), "Findings"
        )


def _revoked(one: dict[str, Any]) -> str:
    what = " ".join(filter(None, (one["kind"], one["subject"])))
    return f"{one['revoked_at']} {one['reason']}: {what}"


def _policy(policy: dict[str, Any] | None) -> str:
    return "none" if policy is None else f"{policy['name']}@{policy['version']}"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_text(one)}" for name, one in value.items())
    return ",".join(map(_text, value)) if isinstance(value, list) else str(value)


def _say_more(found: dict[str, Any], option: str) -> None:
    if found.get("next") is not None:
        output.say(f"More: {option} {found['next']}")


@contextlib.contextmanager
def _sink(file: Path | None) -> Iterator[Callable[[bytes], None]]:
    """Where an export goes. A file that did not become whole is taken away again."""
    if file is None:
        yield output.write_bytes
        return
    try:
        with file.open("xb") as opened:
            try:
                yield lambda data: _write(opened, data)
            except BaseException:
                file.unlink()
                raise
    except OSError as error:
        raise UnreadableError(f"{file}: {error.strerror}") from error


def _write(file: IO[bytes], data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:  # a full disk is no fault of the service
        raise UnreadableError(f"{file.name}: {error.strerror}") from error
