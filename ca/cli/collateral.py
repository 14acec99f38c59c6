# SPDX-License-Identifier: Apache-2.0
"""`attestca collateral`: the vendor's statements about one machine, as the JSON bundle that `--collateral` takes.

Asked for as the service asks: the same hosts, the same bounds, and only for evidence whose certificate chain leads to
the pinned root; of an SEV-SNP report that comes without its VCEK, for the chip and TCB that it names. Nothing of it is
judged here: whoever uses the bundle verifies it. No other command asks a vendor.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ca.cli import inspect, options, output
from ca.cli.exits import VERDICT_EXITS
from ca.cli.inputs import read_input
from verifiers import registry
from verifiers.anchors import builtin
from verifiers.errors import VerificationError

if TYPE_CHECKING:
    from pathlib import Path

    from ca.config.model import Collateral
    from ca.fetch.client import FetchClient
    from verifiers.anchors import Anchors
    from verifiers.endorsements import Fetch, Gather, Response

T = TypeVar("T")

EvidenceArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="EVIDENCE…", help="One machine's evidence, as `attestca verify` takes it."
    ),
]


def collateral_command(evidence: EvidenceArgument, config: options.ConfigOption = None) -> None:
    """Ask Intel or AMD (or, with --config, whom that says) about a machine; print what they state as a JSON bundle."""
    settings, anchors = _settings(config)
    data = [read_input(name) for name in evidence]
    try:
        parsed = inspect.parse(inspect.identify(data))
        gather = registry.gather(parsed, settings.sources, anchors)
        endorsements = asyncio.run(_ask(gather, settings))
    except VerificationError as error:
        output.say(f"attestca: {', '.join(evidence)}: {error.reason}: {error.detail}")
        raise typer.Exit(VERDICT_EXITS[error.reason.verdict]) from error
    output.print_json(endorsements.to_bundle())


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
