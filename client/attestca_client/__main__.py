# SPDX-License-Identifier: Apache-2.0
"""attestca-client: the command line.

Exit codes: 0 issued, collected, or accepted; 1 refused by the authority, or by `verify`, which also has 2 for what it
cannot decide (`verify_command`); 64 usage; 66 unreadable input (root file, or no evidence here); 69 authority or
platform service unavailable or not trusted; 70 internal. Progress and errors go to stderr, the result to stdout (JSON
with --json). There is deliberately no option for where the evidence comes from, but for event logs, which prove nothing
by themselves, and for whether this machine's own vTPM is asked as well; and what `evidence` writes is good for no
enrollment.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from attestca_client import verify_command
from attestca_client.enroll import DeviceSource, Enrollment, QuoteSource, enroll, enrolled
from attestca_client.errors import ClientError, Misconfigured, Refused, Unreadable
from attestca_client.files import NAMES, default_directory
from attestca_client.hook import run_hook
from attestca_client.inspection import inspect, parse_nonce
from attestca_client.machine import MachineQuoteSource
from attestca_client.nvidia import NvmlDeviceSource
from attestca_client.renewal import Daemon
from attestca_client.runtime import Runtime
from attestca_client.sent_logs import Choice, WithEventLogs

if TYPE_CHECKING:
    from collections.abc import Sequence

EX_USAGE = 64
EX_INTERNAL = 70
MAX_ROOT_FILE = 64 * 1024
DEVICES = ("auto", "none", "required")
DEVICES_HELP = (
    "GPUs: those in confidential-computing mode, if there are any (auto, the default); none; or"
    " required, so that it is an error if there is none"
)
VTPMS = ("auto", "google")
VTPM_HELP = (
    "a virtual TPM: where the CPU's evidence goes through it, as in Azure (auto, the default); or google, on Compute"
    " Engine, so that evidence of Google's vTPM goes along with the CPU's"
)
EVENT_LOG_HELP = (
    "what was booted, for the authority to replay: the firmware's log, if there is one (auto, the default); none; or a"
    " file with a log, of the firmware, an application or IMA. May be repeated: what is named is sent, and nothing else"
)


class _Parser(argparse.ArgumentParser):
    """argparse, with the exit code 64 of this project for usage errors."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="attestca-client",
        description="Enrolls this confidential VM, and verifies the certificates of others.",
        allow_abbrev=False,
    )
    version = metadata.version("attestca-client")
    top.add_argument("--version", action="version", version=f"attestca-client {version}")
    commands = top.add_subparsers(dest="command", required=True)
    add_enroll(commands)
    add_evidence(commands)
    verify = commands.add_parser(
        "verify", help="whether a certificate is good for use", allow_abbrev=False
    )
    verify_command.add_options(verify)
    return top


def add_enroll(commands: argparse._SubParsersAction[_Parser]) -> None:
    """`enroll` with its options."""
    add = commands.add_parser(
        "enroll",
        help="get a certificate for a new key, with a quote of this machine",
        allow_abbrev=False,
    ).add_argument
    add("--ca", required=True, metavar="URL", help="the authority, https://host[:port]")
    add("--ca-root", required=True, type=Path, metavar="FILE", help="its root certificate, PEM")
    add("--profile", default="default", help="certificate profile (default: %(default)s)")
    add("--out", type=Path, metavar="DIR", help="where to write (default: a directory in memory)")
    add("--devices", choices=DEVICES, default="auto", help=DEVICES_HELP)
    add("--vtpm", choices=VTPMS, default="auto", help=VTPM_HELP)
    add("--event-log", action="append", default=[], metavar="LOG", help=EVENT_LOG_HELP)
    add("--json", action="store_true", help="print the result as one line of JSON")
    add("--daemon", action="store_true", help="stay, and renew at two thirds of the lifetime")
    add("--metrics", type=Path, metavar="FILE", help="with --daemon: Prometheus text file")
    add(
        "--hook",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="run this after each new certificate; takes the rest of the line, so it comes last",
    )


def add_evidence(commands: argparse._SubParsersAction[_Parser]) -> None:
    """`evidence` with its options."""
    add = commands.add_parser(
        "evidence",
        help="write evidence of this machine to files, for inspection: of no use for an enrollment",
        allow_abbrev=False,
    ).add_argument
    add("--nonce", required=True, metavar="HEX", help="16 to 64 bytes; hashed before they are used")
    add("--out", required=True, type=Path, metavar="DIR", help="a new or empty directory")
    add("--devices", choices=DEVICES, default="auto", help=DEVICES_HELP)
    add("--vtpm", choices=VTPMS, default="auto", help=VTPM_HELP)
    add("--event-log", action="append", default=[], metavar="LOG", help=EVENT_LOG_HELP)
    add("--json", action="store_true", help="print the result as one line of JSON")


def main() -> int:
    """The console script."""
    return run(sys.argv[1:])


def run(
    argv: Sequence[str],
    quote_source: QuoteSource | None = None,
    device_source: DeviceSource | None = None,
) -> int:
    """One command; the exit code.

    The sources are for the simulator and tests, in place of both of the machine's: no option or variable sets them.
    """
    top = parser()
    options = top.parse_args(argv)
    if options.command == "enroll" and options.metrics and not options.daemon:
        top.error("--metrics needs --daemon")
    runtime = Runtime(say=say)
    try:
        if options.command == "verify":
            return verify(options, runtime)
        attest(options, quote_source, device_source, runtime)
    except ClientError as error:
        report(error, as_json=options.json)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception:  # noqa: BLE001 - ours; exit code 1 would read as the authority's refusal
        traceback.print_exc()
        return EX_INTERNAL
    return 0


def attest(
    options: argparse.Namespace,
    quote_source: QuoteSource | None,
    device_source: DeviceSource | None,
    runtime: Runtime,
) -> None:
    """`enroll` or `evidence`, with what this machine has where nothing else is given."""
    logs = Choice.of(options.event_log)
    if quote_source is None:
        google = options.vtpm == "google"
        quote_source = MachineQuoteSource.of(runtime, with_log=logs.firmware, google=google)
        device_source = NvmlDeviceSource(runtime, required=options.devices == "required")
    quotes = WithEventLogs(quote_source, logs, runtime)
    devices = None if options.devices == "none" else device_source
    if options.command == "evidence":
        collect(options, quotes, devices)
    else:
        _Command(options, quotes, devices, runtime).run()


def verify(options: argparse.Namespace, runtime: Runtime) -> int:
    """`verify`, its result on stdout; the exit code. Raises Misconfigured."""
    try:
        plan = verify_command.Plan.of(options, runtime.now)
    except ValueError as error:
        raise Misconfigured(str(error)) from error
    result = verify_command.carry_out(plan)
    out(verify_command.shown(result, as_json=options.json))
    return verify_command.EXITS[result.verdict]


def collect(
    options: argparse.Namespace, quote_source: QuoteSource, device_source: DeviceSource | None
) -> None:
    """`evidence`, and its result on stdout."""
    nonce = parse_nonce(options.nonce)
    found = inspect(nonce, quote_source, device_source, options.out)
    derived = {
        "report_data": found.report_data.hex(),
        "tpm_extra": found.tpm_extra.hex(),
        "gpu_nonce": found.gpu_nonce.hex(),
    }
    files = [str(path) for path in found.files]
    if options.json:
        out(json.dumps({"result": "collected", **derived, "files": files}))
        return
    out("evidence for inspection; what it carries is derived from the nonce:")
    out("\n".join([*(f"{name} {value}" for name, value in derived.items()), *files]))


class _Command:
    """`enroll` with its options."""

    def __init__(
        self,
        options: argparse.Namespace,
        quote_source: QuoteSource,
        device_source: DeviceSource | None,
        runtime: Runtime,
    ) -> None:
        self._options = options
        self._runtime = runtime
        self._root = read_root(options.ca_root)
        self._out: Path = options.out or default_directory(os.environ)
        self._hook: list[str] = options.hook or []
        self._enroll = partial(
            enroll,
            options.ca,
            self._root,
            options.profile,
            quote_source,
            self._out,
            runtime,
            device_source=device_source,
        )

    def run(self) -> None:
        if not self._options.daemon:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
            self._issued(self._enroll())
            return
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        Daemon(
            attempt=self._enroll,
            issued=self._issued,
            failed=partial(report, as_json=self._options.json),
            runtime=self._runtime,
            metrics=self._options.metrics,
            current=enrolled(self._root, self._out, self._runtime.now()),
        ).run()

    def _issued(self, enrollment: Enrollment) -> None:
        show(enrollment, as_json=self._options.json)
        if self._hook:
            run_hook(self._hook, enrollment, self._runtime)


def read_root(path: Path) -> bytes:
    """The bytes of --ca-root. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_ROOT_FILE)
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror}") from error


def show(enrollment: Enrollment, *, as_json: bool) -> None:
    """The result, on stdout."""
    paths = {name: str(enrollment.directory.file(name)) for name in NAMES}
    times = {
        "not_before": f"{enrollment.not_before:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{enrollment.not_after:%Y-%m-%dT%H:%M:%SZ}",
    }
    result = {
        "result": "issued",
        "serial": enrollment.serial,
        **times,
        "policy": enrollment.policy,
        "assurance": enrollment.assurance,
        "files": paths,
    }
    if as_json:
        out(json.dumps(result))
        return
    out(f"issued {enrollment.serial}, valid until {times['not_after']}")
    out(f"policy {enrollment.policy}, assurance {enrollment.assurance}")
    out("\n".join(paths.values()))


def report(error: ClientError, *, as_json: bool) -> None:
    """An error: for people on stderr, and with --json as one line on stdout."""
    refused = isinstance(error, Refused)
    say(f"refused ({error.code}): {error.detail}" if refused else f"error: {error.detail}")
    findings = error.findings if isinstance(error, Refused) else ()
    for finding in findings:
        say(f"  {finding.result}: {finding.rule} at {finding.path}: {finding.hint}")
    if error.hint:
        say(f"  {error.hint}")
    if as_json:
        result = {
            "result": "refused" if refused else "error",
            "code": error.code,
            "detail": error.detail,
            "findings": [asdict(finding) for finding in findings],
        }
        out(json.dumps(result))


def say(line: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"attestca-client: {line}\n")
    sys.stderr.flush()


def out(text: str) -> None:
    """Lines on stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
