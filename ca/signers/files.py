# SPDX-License-Identifier: Apache-2.0
"""Files that must not be lost, half written or read by others.

A file appears whole or not at all, with mode 0600 from its first byte, and never replaces another: what is written once
(a root, a key) stays. Who needs a newer one takes a new name; `replace` is for what only the newest counts of.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ca.errors import ConfigurationError

MAX_BYTES = 1024 * 1024


def write_new(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write `path`, durably.

    Raises:
        ConfigurationError: it exists already, or its folder cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigurationError(f"cannot write in {path.parent}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # unlike a rename, refuses to replace
        sync_folder(path.parent)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} exists; it is never overwritten") from error
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    finally:
        Path(name).unlink()


def replace(path: Path, data: bytes) -> None:
    """Write `path` instead of what was there, durably: the old bytes or the new. Raises ConfigurationError."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigurationError(f"cannot write in {path.parent}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    finally:
        Path(name).unlink(missing_ok=True)  # gone where all went well


def read(path: Path) -> bytes:
    """The bytes of `path`, at most 1 MiB. Raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"{path} has more than {MAX_BYTES} bytes")
    return data


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` outlive a power failure. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
