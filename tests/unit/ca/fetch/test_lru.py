# SPDX-License-Identifier: Apache-2.0
"""The bounded mapping, against a model of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ca.fetch.lru import Lru

_steps = st.lists(
    st.tuples(st.sampled_from(["get", "put", "pop"]), st.sampled_from("abcdef")), max_size=60
)


@given(size=st.integers(1, 4), steps=_steps)
def test_keeps_what_was_used_last(size: int, steps: list[tuple[str, str]]) -> None:
    lru: Lru[int] = Lru(size)
    model: list[tuple[str, int]] = []  # longest unused first
    for number, (step, key) in enumerate(steps):
        held = dict(model).get(key)
        rest = [item for item in model if item[0] != key]
        if step == "put":
            lru.put(key, number)
            model = [*rest, (key, number)][-size:]
        elif step == "pop":
            lru.pop(key)
            model = rest
        else:
            assert lru.get(key) == held
            model = rest if held is None else [*rest, (key, held)]
        assert lru.values() == tuple(value for _, value in model)
        assert len(lru) == len(model) <= size
