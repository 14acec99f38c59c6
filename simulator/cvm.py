# SPDX-License-Identifier: Apache-2.0
"""`python -m simulator.cvm`: a confidential VM that is none. Enrolls through attestca-client with simulated quotes.

Everything but the quote source is the client's own code. `--field rtmr1=<hex>` boots another image, `--tamper` flips a
bit of a genuine quote on its way.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attestca_client import __main__ as client
from attestca_client.wire import Evidence
from simulator.layouts import offsets
from simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.machine import Platform


@dataclass(frozen=True, slots=True)
class SimulatedQuotes:
    """A quote source: 64 bytes of report_data -> one TDX quote of a simulated machine.

    Attributes:
        fields: values of report fields by name, instead of the machine's own.
        tamper: whether one bit of mr_td is flipped after the quote was signed.
    """

    machine: Platform
    fields: Mapping[str, bytes] = field(default_factory=dict)
    tamper: bool = False

    def __call__(self, report_data: bytes) -> Sequence[Evidence]:
        """The evidence for this report_data."""
        fields: dict[str, Any] = {**self.fields, "report_data": report_data}
        quote = bytearray(self.machine.quote(**fields))
        if self.tamper:
            quote[offsets(4, 2)["mr_td"].start] ^= 1
        return [Evidence("tdx-quote", bytes(quote))]


def main(argv: Sequence[str]) -> int:
    """Enroll once; arguments that are not ours go to attestca-client. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m simulator.cvm", description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="file made by simulator.vendor")
    parser.add_argument("--field", action="append", default=[], metavar="NAME=HEX")
    parser.add_argument("--tamper", action="store_true")
    ours, rest = parser.parse_known_args(argv)
    pairs = (item.partition("=") for item in ours.field)
    fields = {name: bytes.fromhex(value) for name, _, value in pairs}
    machine = World.load(ours.world).machine
    return client.run(["enroll", *rest], SimulatedQuotes(machine, fields, ours.tamper))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
