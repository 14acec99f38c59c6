# SPDX-License-Identifier: Apache-2.0
"""Reading an operator's own token, for the commands that speak to the operators' API. It stands in no error."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ca import tokens
from ca.config.passphrase import read_private
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOKEN_VARIABLE = "ATTESTCA_TOKEN"  # noqa: S105 - the name of it


def read_token(path: Path | None, environ: Mapping[str, str] | None = None) -> str:
    """The token in the file `path`, or in $ATTESTCA_TOKEN where that is None.

    Raises ConfigurationError: not there, not a token, or a file that others than its owner and group can use.
    """
    if path is None:
        text = (os.environ if environ is None else environ).get(TOKEN_VARIABLE)
        if not text:
            raise ConfigurationError(f"no token: give --token-file, or set {TOKEN_VARIABLE}")
    else:
        try:
            text = read_private(str(path)).decode("ascii", "replace")
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from None
    token = text.strip()
    try:
        tokens.digest(token)
    except ValueError:
        raise ConfigurationError(f"{path or TOKEN_VARIABLE}: holds no token") from None
    return token
