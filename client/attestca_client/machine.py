# SPDX-License-Identifier: Apache-2.0
"""Which source of evidence this machine has: the kernel's own, or Azure's vTPM where there is none.

Beside the kernel's evidence goes that of Google's vTPM, if it is asked for: an authority takes both for what they are
together, so its policies must speak of such machines first.

Beside a TDX quote of the kernel's goes the event log of the boot; beside evidence of a vTPM that of the vTPM, unless a
TD has a log of its own. Either where the machine has one and it is wanted.

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
from attestca_client.google import GoogleVtpmSource
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
    google: GoogleVtpmSource | None = None  # where it is asked for

    @classmethod
    def of(
        cls, runtime: Runtime, *, with_log: bool = True, google: bool = False
    ) -> MachineQuoteSource:
        """This machine's.

        Args:
            runtime: for all of its sources.
            with_log: whether the firmware's event log goes along.
            google: whether Google's vTPM does.
        """
        return cls(
            TsmQuoteSource(runtime),
            AzureQuoteSource(runtime),
            EventLogSource(runtime),
            EventLogSource.of_a_tpm(runtime),
            with_log=with_log,
            google=GoogleVtpmSource(runtime) if google else None,
        )

    def __call__(self, report_data: bytes) -> list[Evidence]:
        """Evidence over `report_data` (64 bytes; ValueError otherwise)."""
        beside = [] if self.google is None else self.google(report_data)
        try:
            pieces = [*self.tsm(report_data), *beside]
        except TsmMissing:
            if beside or not on_azure(self.asset_tag):
                raise
            return [*self.azure(report_data), *self._log(self.tpm_log)]
        if any(piece.kind == "tdx-quote" for piece in pieces):
            return [*pieces, *self._log(self.event_log)]
        return [*pieces, *self._log(self.tpm_log)] if beside else pieces

    def _log(self, source: EventLogSource) -> list[Evidence]:
        return source() if self.with_log else []
