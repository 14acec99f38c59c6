# SPDX-License-Identifier: Apache-2.0
"""pytest under mutmut: every test starts with empty caches, examples are the same each time, quick tests come first.

mutmut runs all tests once, remembers which of them enter which function, and forks a child of that very process for
each mutant, which runs those tests. Three things make its verdicts right and its runs short:

- A result that a cache kept from before the fork would hide the mutant, and a test that is served from a cache does not
  count as one that enters the function. So whatever remembers is emptied before every test.
- Hypothesis draws the same examples for a mutant as for the original.
- Most mutants fall to one of the first tests. The rest is not even collected before the first fifty have passed.
"""

from __future__ import annotations

import os
import sys
from functools import _lru_cache_wrapper
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("mutants", deadline=None, derandomize=True, max_examples=25)

FIRST = 50
BATCHED = "ATTESTCA_MUTANTS_BATCHED"


def pytest_runtest_setup() -> None:
    """Empty every cache of the verifiers; what tests and the simulator remember is theirs."""
    for name, module in tuple(sys.modules.items()):
        if name.startswith("verifiers."):
            for value in tuple(vars(module).values()):
                if isinstance(value, _lru_cache_wrapper):
                    value.cache_clear()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the first tests by themselves, and the others only if those pass."""
    given = config.invocation_params.args
    tests = [each for each in given if "::" in each]
    mutant = os.environ.get("MUTANT_UNDER_TEST", "")
    if "__mutmut_" not in mutant or len(tests) <= FIRST or BATCHED in os.environ:
        return None
    os.environ[BATCHED] = "1"
    options = [each for each in given if "::" not in each]
    return next((code for code in _codes(options, tests) if code), 0)


def _codes(options: list[str], tests: list[str]) -> Iterator[int]:
    for batch in (tests[:FIRST], tests[FIRST:]):
        yield int(pytest.main([*options, *batch]))
