# SPDX-License-Identifier: Apache-2.0
"""The commented configuration file that `attestca init` writes: every section and key of the model, described.

A key without a value stands there as a comment with an example.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

from ca.config.model import Config
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

_HEAD = """\
# Configuration of attestca. Each key can be overridden by the environment: ATTESTCA_<SECTION>__<KEY>=value, lists
# separated by commas. Relative paths are relative to this file. What is left out has the value shown here.
"""


def template(values: Mapping[str, Mapping[str, object]]) -> str:
    """The file's text: `values` by section and key, defaults for the rest.

    Raises ConfigurationError for a key that does not exist, or a required one (server.public_url) that is not given.
    """
    _refuse_unknown("section", values, Config)
    lines = [_HEAD]
    for name, field in Config.model_fields.items():
        if (model := _model(field)) is not None:
            lines += _section(name, model, values.get(name, {}))
    return "\n".join(lines)


def _section(name: str, model: type[BaseModel], values: Mapping[str, object]) -> Iterator[str]:
    _refuse_unknown(f"key in {name}", values, model)
    yield from _comment(model.__doc__ or "")
    yield f"[{name}]"
    for key, field in model.model_fields.items():
        if _model(field) is None:
            yield from _comment(field.description or "")
            yield _assignment(f"{name}.{key}", field, values)
    yield ""
    for key, field in model.model_fields.items():  # tables below come after the keys
        if (table := _model(field)) is not None:
            inner: Any = values.get(key, {})
            yield from _section(f"{name}.{key}", table, inner)


def _assignment(path: str, field: FieldInfo, values: Mapping[str, object]) -> str:
    key = path.rpartition(".")[2]
    if field.is_required() and key not in values:
        raise ConfigurationError(f"{path}: required")
    value = values.get(key, field.default)
    if value is None:
        return f"# {key} = {_toml((field.examples or [''])[0])}"
    return f"{key} = {_toml(value)}"


def _model(field: FieldInfo) -> type[BaseModel] | None:
    annotation: Any = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _refuse_unknown(what: str, values: Mapping[str, object], model: type[BaseModel]) -> None:
    if unknown := values.keys() - model.model_fields.keys():
        raise ConfigurationError(f"no such {what}: {', '.join(sorted(unknown))}")


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, width=100)]


def _toml(value: object) -> str:
    """One TOML value. Its basic strings are JSON's, but for DEL, which TOML wants escaped too."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case SecretStr():
            return _toml(value.get_secret_value())
        case _:
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
