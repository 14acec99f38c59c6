# SPDX-License-Identifier: Apache-2.0
"""What the demo prints, and whether what it said was so."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass, field
from typing import Final

_LONG_HEX: Final = re.compile(r"(0x[0-9a-f]{16})[0-9a-f]{80,}")  # a signature, say


@dataclass(slots=True)
class Teller:
    """Prints what happens; remembers whether anything went otherwise than told, and what was not shown at all."""

    failed: bool = field(default=False)
    left_out: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def chapter(self, title: str) -> None:
        """Begin a part."""
        self.line(f"\n== {title}")

    def line(self, text: str) -> None:
        """One line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def command(self, text: str) -> None:
        """A command as it could be typed; of a signature in it only the beginning."""
        self.line("$ " + _LONG_HEX.sub(r"\1…", text))

    def output(self, text: str, *, only: tuple[str, ...] = ()) -> None:
        """Output of a command, indented; `only` the lines that hold one of these."""
        for row in text.splitlines():
            if row.strip() and (not only or any(word in row for word in only)):
                self.line(f"    {row.rstrip()}")

    def expect(self, what: str, *, good: bool) -> None:
        """A statement of the demo, and whether it holds."""
        self.failed = self.failed or not good
        self.line(f"  {'ok' if good else 'NOT AS EXPECTED'}: {what}")

    def leave_out(self, what: str, why: str) -> None:
        """Something that cannot be shown here. That is no failure, and is said again at the end."""
        self.left_out.append(what)
        self.line(f"  LEFT OUT: {what}: {why}")

    def end(self) -> int:
        """The last line; the exit code."""
        seconds = time.monotonic() - self.started
        without = f", without {', '.join(self.left_out)}" if self.left_out else ""
        self.line(
            f"\n{'failed' if self.failed else 'done'} in {seconds:.0f} s{without}; nothing is left"
        )
        return int(self.failed)
