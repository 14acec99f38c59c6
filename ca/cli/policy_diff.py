# SPDX-License-Identifier: Apache-2.0
"""`attestca policy diff OLD NEW`: what NEW asks otherwise than OLD, key by key, and whether that is more or less.

Each of the two is a file, or NAME@VERSION: through the operators' API, or with --config from the database itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ca.cli import options, output, policy_texts, remote
from ca.cli.exits import Exit, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from policies.difference import Difference
    from policies.loader import LoadedPolicy

OldArgument = Annotated[str, typer.Argument(metavar="OLD", help="A file, or NAME@VERSION.")]
NewArgument = Annotated[str, typer.Argument(metavar="NEW", help="A file, or NAME@VERSION.")]

_EFFECTS: Final = ("stricter", "looser", "other", "none")  # in the order in which they are shown


def diff_command(
    old: OldArgument,
    new: NewArgument,
    config: options.ConfigOption = None,
    url: remote.UrlOption = remote.DEFAULT_URL,
    token_file: remote.TokenFileOption = None,
    ca_root: remote.CaRootOption = None,
    json_: options.JsonOption = False,
) -> None:
    """Show what two policies differ in. Exit: 0 no machine is judged otherwise, 1 some may be."""
    from policies.diff import diff
    from policies.difference import Effect

    if config is not None:
        texts = asyncio.run(_from_database((old, new), config))
    else:
        texts = tuple(
            policy_texts.from_api(name, lambda: remote.connect(url, token_file, ca_root))
            for name in (old, new)
        )
    before, after = (_load(*one) for one in zip((old, new), texts, strict=True))
    found = diff(before.document, after.document)
    if json_:
        output.print_json(_as_json(before, after, found))
    else:
        _show(before, after, found)
    if any(one.effect is not Effect.NONE for one in found):
        raise typer.Exit(Exit.REFUSED)


async def _from_database(names: Sequence[str], config: Path) -> tuple[bytes, ...]:
    async with policy_texts.opened(options.load_config(config)) as store:
        return tuple([await policy_texts.from_store(name, store) for name in names])


def _load(name: str, text: bytes) -> LoadedPolicy:
    """Raises UnreadableError."""
    from policies.errors import PolicyError
    from policies.loader import load_policy

    try:
        return load_policy(text)
    except PolicyError as error:
        raise UnreadableError(f"{name}:\n{error}") from error


def _show(before: LoadedPolicy, after: LoadedPolicy, found: Sequence[Difference]) -> None:
    """What matters first; what does nothing last."""
    documents = f"{_ref(before)} -> {_ref(after)}"
    told = sorted(found, key=lambda one: _EFFECTS.index(one.effect))
    rows = ((one.effect.value, one.path, one.before, one.after) for one in told)
    output.print_table(("effect", "path", "before", "after"), rows, documents)
    counts = Counter(one.effect.value for one in found)
    output.say(", ".join(f"{counts[effect]} {effect}" for effect in _EFFECTS if counts[effect]))


def _ref(policy: LoadedPolicy) -> str:
    return f"{policy.document.name}@{policy.document.version}"


def _as_json(
    before: LoadedPolicy, after: LoadedPolicy, found: Sequence[Difference]
) -> dict[str, Any]:
    """Everything; keys are only added."""
    return {
        "old": _ref_json(before),
        "new": _ref_json(after),
        "differences": [
            {
                "path": one.path,
                "effect": one.effect.value,
                "before": one.before,
                "after": one.after,
            }
            for one in found
        ],
    }


def _ref_json(policy: LoadedPolicy) -> dict[str, object]:
    document = policy.document
    return {"name": document.name, "version": document.version, "sha256": policy.sha256.hex()}
