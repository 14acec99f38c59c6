# SPDX-License-Identifier: Apache-2.0
"""Reading the passphrase of the keys from where the configuration says it is.

It stands in no error and no log line. Its strength is judged by `ca.signers`.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ca.config.fields import PassphraseSource
    from ca.config.model import Config

_MAX_BYTES = 1024


def read_passphrase(config: Config, environ: Mapping[str, str] | None = None) -> bytes:
    """That of the authority's keys; see `read_from`."""
    return read_from(config.ca.passphrase, "ca.passphrase", environ)


def read_from(
    source: PassphraseSource, key: str, environ: Mapping[str, str] | None = None
) -> bytes:
    """1 to 1024 bytes, without the newline that ends them. A descriptor is read to its end and closed: only once.

    `key`: of the configuration, where the source stands. Raises ConfigurationError: not there, empty, too long, or a
    file that others than its owner and group can use.
    """
    where = f"{key} ({source.kind}:{source.value})"
    try:
        if source.kind == "env":
            text = os.fsencode((os.environ if environ is None else environ)[source.value])
        else:
            text = read_private(source.value) if source.kind == "file" else _read(int(source.value))
    except KeyError:
        raise ConfigurationError(f"{where}: that variable is not set") from None
    except OSError as error:
        raise ConfigurationError(f"{where}: {error.strerror}") from None
    if len(text) > _MAX_BYTES:
        raise ConfigurationError(f"{where}: longer than {_MAX_BYTES} bytes")
    passphrase = text.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase:
        raise ConfigurationError(f"{where}: it is empty")
    return passphrase


def read_private(path: str) -> bytes:
    """A file's first 1025 bytes. Raises OSError, or ConfigurationError where others than owner and group can use it."""
    # Not blocking: a FIFO without a writer must not stop the start. Checked after opening: it is what was opened.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode) or mode & stat.S_IRWXO:
        os.close(descriptor)
        raise ConfigurationError(
            f"{path}: must be a regular file that others cannot use (chmod o= {path})"
        )
    return _read(descriptor)


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MAX_BYTES + 1)
