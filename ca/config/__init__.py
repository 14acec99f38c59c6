# SPDX-License-Identifier: Apache-2.0
"""The configuration: one TOML file, overridden by the environment, becoming one frozen `Config`.

- `model` is all that can be configured; `template` renders it, descriptions included, as the file that an operator
  edits, so what the file says and what is read cannot differ.
- `source` reads it: every fault at once, each with its key and where it stands, and no value repeated.
- The passphrase of the keys is not in it, only where to read it: `passphrase`.

The only package of the service that reads the environment.
"""

from __future__ import annotations

from ca.config.chain import Chain
from ca.config.fields import Listen, PassphraseSource
from ca.config.model import Config
from ca.config.passphrase import read_from, read_passphrase
from ca.config.source import default_path, load
from ca.config.template import template
from ca.config.token import read_token

__all__ = [
    "Chain",
    "Config",
    "Listen",
    "PassphraseSource",
    "default_path",
    "load",
    "read_from",
    "read_passphrase",
    "read_token",
    "template",
]
