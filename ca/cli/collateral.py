# SPDX-License-Identifier: Apache-2.0
"""`attestca collateral`: the vendors' statements about one machine, in the form that other commands take them again.

Of a CPU one JSON bundle, printed, which `--collateral` takes. Of NVIDIA devices a new folder: `rims` for `--rim`,
`ocsp` for `--ocsp`, and where NVIDIA's attestation service was asked too, its answers in `nras` for `--nras-token`, and
`jwks.json` for `--jwks`. Asked for as the service asks: the same hosts, the same bounds, and only for evidence whose
certificate chain leads to the pinned root; of an SEV-SNP report that comes without its VCEK, for the chip and TCB that
it names. Nothing of it is judged here: whoever uses it verifies it. No other command asks a vendor.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ca.cli import foreign, inspect, machine, options, output
from ca.cli.exits import VERDICT_EXITS, UnreadableError
from ca.cli.inputs import now, read_input
from verifiers import registry
from verifiers.anchors import builtin
from verifiers.errors import Reason, VerificationError
from verifiers.nvidia.claims import AppraisedBy
from verifiers.nvidia.files import read_files
from verifiers.nvidia.gather import gather as gather_nvidia
from verifiers.nvidia.system import authenticate_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ca.config.model import Collateral
    from ca.fetch.client import FetchClient
    from verifiers.anchors import Anchors
    from verifiers.endorsements import Fetch, Gather, Response
    from verifiers.nvidia.endorsements import NvidiaEndorsements
    from verifiers.registry import Endorsements

T = TypeVar("T")

EvidenceArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="EVIDENCE…", help="One machine's evidence, as `attestca verify` takes it."
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="NVIDIA: new folder for what is said."),
]
NrasOption = Annotated[
    bool,
    typer.Option(
        "--nras", help="NVIDIA: show the evidence to its attestation service (NRAS) as well."
    ),
]


def collateral_command(
    evidence: EvidenceArgument,
    folder: FolderOption = None,
    nras: NrasOption = False,
    config: options.ConfigOption = None,
) -> None:
    """Ask the vendors (or, with --config, whom that says) about a machine; keep what they state for offline use."""
    settings, anchors = _settings(config)
    try:
        files = machine.sort_files(foreign.unpack(list(map(read_input, evidence))).files)
    except VerificationError as error:
        raise _stopped(evidence, error) from error
    if bool(files.devices) != (folder is not None):
        raise typer.BadParameter("--output names the folder for what is said of NVIDIA devices")
    if nras and not files.devices:
        raise typer.BadParameter("--nras is for NVIDIA devices")
    if folder is not None and folder.exists():
        raise UnreadableError(f"{folder}: exists; a new folder is wanted")
    by = AppraisedBy.BOTH if nras else AppraisedBy.LOCAL
    try:
        of_cpu = _of_cpu(files.cpu, settings, anchors) if files.cpu else None
        of_devices = _of_devices(files.devices, settings, anchors, by) if files.devices else None
    except VerificationError as error:
        raise _stopped(evidence, error) from error
    if of_cpu is not None:
        output.print_json(of_cpu.to_bundle())
    if of_devices is not None and folder is not None:
        _write(of_devices, folder)


def _stopped(evidence: Sequence[str], error: VerificationError) -> typer.Exit:
    """The end of the program with the verdict of an error, which is said."""
    output.say(f"attestca: {', '.join(evidence)}: {error.reason}: {error.detail}")
    return typer.Exit(VERDICT_EXITS[error.reason.verdict])


def _of_cpu(data: Sequence[bytes], settings: Collateral, anchors: Anchors) -> Endorsements:
    parsed = inspect.parse(inspect.identify(data))
    return asyncio.run(_ask(registry.gather(parsed, settings.sources, anchors), settings))


def _of_devices(
    data: Sequence[bytes], settings: Collateral, anchors: Anchors, by: AppraisedBy
) -> NvidiaEndorsements:
    try:
        found = authenticate_set(read_files(data).evidence, anchors, None, now())
    except VerificationError as error:
        if error.reason is Reason.EVIDENCE:
            raise typer.BadParameter(error.detail) from error
        raise
    source = settings.sources.nvidia
    return asyncio.run(_ask(gather_nvidia(found, source, anchors, by), settings))


def _write(found: NvidiaEndorsements, folder: Path) -> None:
    """Each document under a name that says what it is and is of its content. Raises UnreadableError."""
    try:
        for name in ("rims", "ocsp", "nras"):
            (folder / name).mkdir(parents=True)
        for path, data in _documents(found):
            (folder / path).write_bytes(data)
    except OSError as error:
        raise UnreadableError(f"{folder}: {error.strerror}") from error
    output.say(
        f"{folder}: manifests {len(found.rims)}, OCSP answers {len(found.ocsp)},"
        f" answers of NRAS {len(found.nras)}"
    )


def _documents(found: NvidiaEndorsements) -> Iterator[tuple[str, bytes]]:
    """Path in the folder, and content."""
    for rim in found.rims:
        yield f"rims/{_name(rim)}.json", rim
    for answer in found.ocsp:
        yield f"ocsp/{_name(answer)}.der", answer
    for token in found.nras:
        yield f"nras/{_name(token)}.json", token
    if found.jwks is not None:
        yield "jwks.json", found.jwks


def _name(document: bytes) -> str:
    return sha256(document).hexdigest()[:16]


def _settings(config: Path | None) -> tuple[Collateral, Anchors]:
    """Of the configuration that is named; without one, the defaults and the built-in anchors."""
    from ca.app.keys import anchors_of
    from ca.config.model import Collateral

    if config is None:
        return Collateral(), builtin()
    loaded = options.load_config(config)
    return loaded.collateral, anchors_of(loaded)


async def _ask(gather: Gather[T], settings: Collateral) -> T:
    """What the generator returns, given the answers that it wants. Raises Unavailable, and what it raises."""
    from ca.fetch.client import ClientLimits, FetchClient, tls_context

    limits = ClientLimits(settings.timeout_seconds, settings.connect_timeout_seconds)
    tls = tls_context(settings.extra_ca_file)
    async with FetchClient(settings.origins, limits, tls) as client:
        try:
            wanted = next(gather)
            while True:
                wanted = gather.send(await _round(client, wanted))
        except StopIteration as end:
            found: T = end.value
            return found


async def _round(client: FetchClient, wanted: tuple[Fetch, ...]) -> tuple[Response, ...]:
    """The answers, asked for at the same time; none is left running when one fails. Raises the first failure."""
    results = await asyncio.gather(*map(client.get, wanted), return_exceptions=True)
    answers = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        answers.append(result)
    return tuple(answers)
