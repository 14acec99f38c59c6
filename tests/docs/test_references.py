# SPDX-License-Identifier: Apache-2.0
"""What the documents point at is there: links, headings, files, configuration keys, commands with their options."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from attestca_client.__main__ import parser
from ca.cli import app
from ca.config import Config
from tests.docs.documents import DOCUMENTS, TOP, blocks, codes, prose

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_IN_TREE = re.compile(r"[a-z_]+/[\w./-]*")
_FOLDERS = tuple(sorted(one.name for one in TOP.iterdir() if one.is_dir() and one.name[0] != "."))
LONGEST = 120
NO_KEYS = ("chain.pem", "collateral.json", "collateral.pck_crl")  # files, and a path of findings

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=[str(one.relative_to(TOP)) for one in DOCUMENTS]
)

CURRENT = [one for one in DOCUMENTS if one.parent.name != "adr"]  # decisions speak of what was, too
each_current_document = pytest.mark.parametrize(
    "document", CURRENT, ids=[str(one.relative_to(TOP)) for one in CURRENT]
)


def _anchor(heading: str) -> str:
    """As the repository host makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


def _links(document: Path) -> list[str]:
    return [link for link in _LINK.findall(prose(document)) if "://" not in link]


def test_the_documents_link_to_each_other() -> None:
    assert all(
        _links(TOP / "docs" / name) for name in ("enrollment.md", "operate.md", "policies.md")
    )
    linked = {(TOP / link.partition("#")[0]).resolve() for link in _links(TOP / "README.md")}
    assert linked >= {one for one in DOCUMENTS if one.parent.name != "adr"} - {TOP / "README.md"}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for link in _links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if anchor:
            headings = _HEADING.findall(prose(target))
            assert anchor in {_anchor(heading) for heading in headings}, link


@each_current_document
def test_files_that_are_named_exist(document: Path) -> None:
    for name in codes(prose(document).replace("\n", " ")):
        if _IN_TREE.fullmatch(name) and name.split("/")[0] in _FOLDERS:
            assert (TOP / name).exists(), name


@each_current_document
def test_configuration_keys_that_are_named_exist(document: Path) -> None:
    for name in codes(prose(document)):
        key = re.match(r"([a-z]+)((?:\.[a-z_]+)+)( = .+)?$", name)
        if key is not None and key[1] in Config.model_fields and name not in NO_KEYS:
            _check_key(Config, (key[1] + key[2]).split("."))
            if key[3] is not None:  # with a value
                given = tomllib.loads(name) | {"server": {"public_url": "https://ca.example.org"}}
                Config.model_validate(given)


def _check_key(model: type[BaseModel], path: list[str]) -> None:
    name, *rest = path
    assert name in model.model_fields, ".".join(path)
    if rest:
        section: Any = model.model_fields[name].annotation
        _check_key(section, rest)


@each_document
def test_lines_fit(document: Path) -> None:
    lines = prose(document).splitlines()
    assert [one for one in lines if len(one) > LONGEST and not one.startswith("|")] == []


def _commands(document: Path) -> list[list[str]]:
    """Command lines of our two programs in the blocks of sh and in the prose, as words."""
    found = []
    for text in [one.text for one in blocks(document) if one.language == "sh"]:
        for line in re.sub(r"\\\n\s*", " ", text).splitlines():
            found += re.findall(
                r"(?:^|[($ ])(attestca(?:-client)? (?!attestca)[a-z][^|>;)$]*)", line
            )
    found += [
        code for code in codes(prose(document)) if re.match(r"attestca(-client)? [a-z-]", code)
    ]
    return [command.split() for command in found]


@each_document
def test_commands_that_are_shown_exist(document: Path) -> None:
    for words in _commands(document):
        program, *arguments = (word for word in words if word not in {"…", "FILE…"})
        if program == "attestca":
            _check_attestca(arguments)
        else:
            _check_client(arguments)


def _check_attestca(arguments: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    while arguments and hasattr(command, "commands"):
        if arguments[0].startswith("-"):
            break
        alternatives = arguments[0].split("|")  # `issuer request|sign|install`
        assert set(alternatives) <= command.commands.keys(), arguments
        command, arguments = command.commands[alternatives[0]], arguments[1:]
    known = {option for one in command.params for option in one.opts}
    said = {word.partition("=")[0] for word in arguments if word.startswith("-") and word != "-"}
    assert said <= known | {"--help"}, arguments


def _check_client(arguments: list[str]) -> None:
    if "--hook" in arguments:
        arguments = arguments[: arguments.index("--hook")]
    said = [word for word in arguments if word.startswith("--")]
    usage = _usage(arguments[0])
    assert all(re.search(rf"{word}\b", usage) for word in said), arguments


def _usage(command: str) -> str:
    commands: Any = next(one for one in parser()._actions if one.dest == "command")
    text: str = commands.choices[command].format_help()
    return text


def test_commands_are_found() -> None:
    shown = list(chain.from_iterable(map(_commands, DOCUMENTS)))
    assert len(shown) > 50
    assert {words[0] for words in shown} == {"attestca", "attestca-client"}
