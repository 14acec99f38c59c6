# SPDX-License-Identifier: Apache-2.0
"""Options of what goes with evidence of NVIDIA devices, and the reading of what they name.

A manifest may be a file or a folder of them; OCSP answers are a folder. What stands in a folder must be what the option
is for, so that one with other things in it is noticed. Nothing is judged here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ca.cli.exits import UnreadableError
from ca.cli.inputs import read_input
from verifiers.nvidia.files import is_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NONCE_BYTES: Final = 32
_DER_START: Final = b"\x30"  # a SEQUENCE, which every OCSP answer is

RimOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rim",
        metavar="FILE",
        help="NVIDIA: a reference manifest, XML or as its RIM service answers, or a folder of them; may be repeated.",
    ),
]
OcspOption = Annotated[
    str | None,
    typer.Option(
        "--ocsp", metavar="DIR", help="NVIDIA: a folder of OCSP answers in DER, of any names."
    ),
]
NonceOption = Annotated[
    str | None,
    typer.Option(
        "--nonce", metavar="HEX", help="NVIDIA: the 32 bytes that every report must answer."
    ),
]

TokenOption = Annotated[
    list[str] | None,
    typer.Option(
        "--nras-token",
        metavar="FILE",
        help="NVIDIA: what its attestation service (NRAS) answered, or a file of NVIDIA's tools with it; needs --jwks.",
    ),
]
JwksOption = Annotated[
    str | None,
    typer.Option(
        "--jwks",
        metavar="FILE",
        help="NVIDIA: the key set of that service, from its own host. One that came with a token is worth nothing.",
    ),
]


@dataclass(frozen=True, slots=True)
class Given:
    """What the options name.

    Attributes:
        rims: files and folders of manifests. ocsp: the folder of answers. nonce: in hexadecimal.
        tokens: files of NVIDIA's attestation service. jwks: the file of its key set.
    """

    rims: tuple[str, ...] = ()
    ocsp: str | None = None
    nonce: str | None = None
    tokens: tuple[str, ...] = ()
    jwks: str | None = None

    def read(self) -> Documents:
        """What is there. Raises UnreadableError, and BadParameter for a nonce that is none or a key set alone."""
        if bool(self.tokens) != (self.jwks is not None):
            raise typer.BadParameter("--nras-token and --jwks go together")
        return Documents(
            rims=tuple(rim for name in self.rims for rim in _manifests(Path(name))),
            ocsp=() if self.ocsp is None else tuple(_folder(Path(self.ocsp), _answer)),
            nonce=None if self.nonce is None else _nonce(self.nonce),
            tokens=tuple(map(read_input, self.tokens)),
            jwks=None if self.jwks is None else read_input(self.jwks),
        )


@dataclass(frozen=True, slots=True)
class Documents:
    """Contents of what `Given` names; the nonce has 32 bytes."""

    rims: tuple[bytes, ...]
    ocsp: tuple[bytes, ...]
    nonce: bytes | None
    tokens: tuple[bytes, ...]
    jwks: bytes | None


def _nonce(text: str) -> bytes:
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_BYTES:
        raise typer.BadParameter(f"--nonce: {NONCE_BYTES} bytes in hexadecimal are wanted")
    return nonce


def _manifests(path: Path) -> Iterator[bytes]:
    """One file, whatever it is; of a folder every file."""
    if path.is_dir():
        yield from _folder(path, _manifest)
    else:
        yield read_input(path)


def _folder(folder: Path, fault: Callable[[bytes], str]) -> Iterator[bytes]:
    """Every file of a folder, in the order of their names. Raises UnreadableError for one that has a fault."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise UnreadableError(f"{folder}: {error.strerror}") from error
    for path in paths:
        data = read_input(path)
        if wrong := fault(data):
            raise UnreadableError(f"{path}: {wrong}")
        yield data


def _answer(data: bytes) -> str:
    return "" if data.startswith(_DER_START) else "no OCSP answer in DER"


def _manifest(data: bytes) -> str:
    return "" if is_manifest(data) else "no reference manifest"
