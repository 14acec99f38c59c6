# SPDX-License-Identifier: Apache-2.0
"""Kinds of values in the configuration, and how each is read from the text of a file or variable.

A validator repeats no value in its error.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, IPvAnyNetwork, ValidationInfo


class Section(BaseModel):
    """A section of the file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen at. Port 0: the system chooses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True if nobody but this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class PassphraseSource:
    """Where the passphrase is: `value` names a variable ("env"), a file ("file", absolute) or a descriptor ("fd")."""

    kind: Literal["env", "file", "fd"]
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def _listen(value: object) -> object:
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", str(value))
    if match is None or int(match[2]) > 65535:
        raise ValueError('must be "host:port", e.g. "127.0.0.1:8443" or "[::]:8443"')
    return Listen(match[1].strip("[]"), int(match[2]))


def _passphrase(value: object, info: ValidationInfo) -> object:
    kind, _, place = str(value).partition(":")
    if kind == "env" and re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", place):
        return PassphraseSource("env", place)
    if kind == "file" and place:
        return PassphraseSource("file", str(folder_of(info) / place))
    if kind == "fd" and re.fullmatch("[0-9]{1,4}", place):
        return PassphraseSource("fd", place)
    raise ValueError('must say where it is: "env:NAME", "file:PATH" or "fd:NUMBER"')


def _path(value: object, info: ValidationInfo) -> object:
    if not value or not isinstance(value, str | Path):
        raise ValueError("must be a path")
    return folder_of(info) / value


def list_of(value: object) -> object:
    """A list as the file has it, or as a variable has it: separated by commas."""
    return [item for item in value.split(",") if item] if isinstance(value, str) else value


def is_literal(host: str) -> bool:
    """True if the host of a URL is an address and no name."""
    return host.startswith("[") or host.rpartition(".")[2].isdigit()


def folder_of(info: ValidationInfo) -> Path:
    """What relative paths are relative to: the file's folder, or the working directory where there is no file."""
    folder: Path = (info.context or {}).get("folder") or Path.cwd()
    return folder


ListenAt = Annotated[Listen, BeforeValidator(_listen)]
PathFromFile = Annotated[Path, BeforeValidator(_path)]
Passphrase = Annotated[PassphraseSource, BeforeValidator(_passphrase)]
Strings = Annotated[tuple[str, ...], BeforeValidator(list_of)]
Paths = Annotated[tuple[PathFromFile, ...], BeforeValidator(list_of)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(list_of)]
Seconds = Annotated[float, Field(gt=0, le=120)]
Hours = Annotated[float, Field(gt=0, le=30 * 24)]
Count = Annotated[int, Field(gt=0)]
