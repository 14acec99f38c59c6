# SPDX-License-Identifier: Apache-2.0
"""From a TOML file and the environment to a `Config`, or to every reason why not.

Rules:
- ATTESTCA_<SECTION>__<KEY>=value overrides a key (lists by commas); a name without "__" overrides nothing.
- Unknown sections and keys are refused in both places.
- One ConfigurationError with a line per fault: the key, and the file or the variable where it stands. Values are not
  repeated: they may be secrets.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ca.config.model import Config
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

PREFIX = "ATTESTCA_"
PATH_VARIABLE = "ATTESTCA_CONFIG"
DEFAULT_FILE = "attestca.toml"


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """The file that is meant where none is named: $ATTESTCA_CONFIG, or attestca.toml in the working directory."""
    return Path((os.environ if environ is None else environ).get(PATH_VARIABLE) or DEFAULT_FILE)


def load(
    path: Path | None,
    environ: Mapping[str, str] | None = None,
    said: Mapping[str, Mapping[str, object]] | None = None,
) -> Config:
    """Read `path`, overridden by `environ` (the process's own where None), overridden by what a command line `said`.

    Without a path there is no file, and paths are relative to the working directory. Raises ConfigurationError.
    """
    tree = {} if path is None else _read(path)
    variables = _override(tree, os.environ if environ is None else environ)
    for section in Config.model_fields:
        tree.setdefault(section, {})  # so that its defaults, too, are relative to the file
    for section, values in (said or {}).items():
        if isinstance(tree[section], dict):
            tree[section].update(values)
    folder = Path.cwd() if path is None else path.absolute().parent
    try:
        return Config.model_validate(tree, context={"folder": folder})
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        where = "command line" if path is None else str(path)
        lines = (_line(fault, where, variables) for fault in faults)
        raise ConfigurationError("\n".join(lines)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; `attestca init` writes one") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML: the text names line and column
        raise ConfigurationError(f"{path}: {error}") from None


def _override(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Put the environment's values into `tree`. Returns the variables by key."""
    variables = {}
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or "__" not in name:
            continue
        key = tuple(name.removeprefix(PREFIX).lower().split("__"))
        node = tree
        for part in key[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                break  # the file has a value where a section must be: that is a fault of its own
        else:
            node[key[-1]] = value
            variables[key] = name
    return variables


def _line(fault: ErrorDetails, where: str, variables: Mapping[tuple[str, ...], str]) -> str:
    key = tuple(str(part) for part in fault["loc"])
    places = [  # a variable's own key or an item of it, or the unknown section that it opened
        name for own, name in variables.items() if key[: len(own)] == own or own[: len(key)] == key
    ]
    what = {"extra_forbidden": "unknown", "missing": "required"}.get(
        fault["type"], fault["msg"].removeprefix("Value error, ")
    )
    return f"{places[0] if places else where}: {'.'.join(key)}: {what}"
