# SPDX-License-Identifier: Apache-2.0
"""Which source of evidence this machine has: the kernel's own, or Azure's vTPM where there is none.

Beside a TDX quote of the kernel's goes the event log of the boot, and beside Azure's evidence that of its vTPM, where
the machine has one and it is wanted.

What the command line uses, and nothing an option or a variable could choose: evidence from elsewhere would let whoever
feeds it pass another machine off as ours. It is looked at again for every enrollment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attestca_client.azure import AzureQuoteSource
from attestca_client.dmi import ASSET_TAG, on_azure
from attestca_client.errors import TsmMissing
from attestca_client.eventlog import EventLogSource
from attestca_client.tsm import TsmQuoteSource

if TYPE_CHECKING:
    from pathlib import Path

    from attestca_client.runtime import Runtime
    from attestca_client.wire import Evidence


@dataclass(frozen=True, slots=True)
class MachineQuoteSource:
    """Callable: 64 bytes of report_data -> the evidence over them. Raises EvidenceError."""

    tsm: TsmQuoteSource
    azure: AzureQuoteSource
    event_log: EventLogSource
    tpm_log: EventLogSource
    asset_tag: Path = ASSET_TAG
    with_log: bool = True

    @classmethod
    def of(cls, runtime: Runtime, *, with_log: bool = True) -> MachineQuoteSource:
        """This machine's; `with_log`: whether the firmware's event log goes along."""
        return cls(
            TsmQuoteSource(runtime),
            AzureQuoteSource(runtime),
            EventLogSource(runtime),
            EventLogSource.of_a_tpm(runtime),
            with_log=with_log,
        )

    def __call__(self, report_data: bytes) -> list[Evidence]:
        """Evidence over `report_data` (64 bytes; ValueError otherwise)."""
        try:
            pieces = self.tsm(report_data)
        except TsmMissing:
            if not on_azure(self.asset_tag):
                raise
            return [*self.azure(report_data), *self._log(self.tpm_log)]
        of_a_td = any(piece.kind == "tdx-quote" for piece in pieces)
        return [*pieces, *self._log(self.event_log)] if of_a_td else pieces

    def _log(self, source: EventLogSource) -> list[Evidence]:
        return source() if self.with_log else []
