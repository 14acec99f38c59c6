# SPDX-License-Identifier: Apache-2.0
"""A bounded mapping that forgets what was unused the longest. No ages, no I/O."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Lru(Generic[V]):
    """A mapping from strings, of at most `size` entries."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        """The value, which counts as a use; None if there is none."""
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def put(self, key: str, value: V) -> None:
        """Set it, which counts as a use, and drop the entry longest unused if there are too many."""
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._size:
            self._items.popitem(last=False)

    def pop(self, key: str) -> None:
        """Forget it, if it is there."""
        self._items.pop(key, None)

    def values(self) -> tuple[V, ...]:
        """All values, the longest unused first."""
        return tuple(self._items.values())

    def __len__(self) -> int:
        return len(self._items)
