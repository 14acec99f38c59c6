# SPDX-License-Identifier: Apache-2.0
"""A workbench for tests of TDX on Azure: one simulated VM, any piece of its evidence altered, our verifier's word."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from simulator.azure import AzureTd
from simulator.vtpm import FakeTpm
from tests.snp_lab import BINDING
from tests.tdx_lab import Lab
from verifiers import registry
from verifiers.evidence import Evidence, EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.evidence import Binding
    from verifiers.tdx.claims import TdxClaims

ATTEST, SIGNATURE, PCRS = (
    EvidenceKind.TPM_ATTEST,
    EvidenceKind.TPM_SIGNATURE,
    EvidenceKind.TPM_PCRS,
)
TPM = (ATTEST, SIGNATURE, PCRS)
HCL, QUOTE = EvidenceKind.HCL_REPORT, EvidenceKind.TDX_QUOTE


@dataclass
class TdLab:
    """See the module's docstring.

    Attributes:
        quoted: fields of the TD quote, or of its framing. envelope: arguments of the HCL report.
        edits: other bytes by kind, a function of the right ones, None for a piece that is left out.
        more: pieces besides. binding: what is asked for; the vTPM's quote carries it where `extra` is not said.
    """

    lab: Lab = field(default_factory=Lab.create)
    quoted: dict[str, Any] = field(default_factory=dict)
    envelope: dict[str, Any] = field(default_factory=dict)
    tpm: dict[str, Any] = field(default_factory=dict)
    edits: dict[EvidenceKind, Any] = field(default_factory=dict)
    more: tuple[Evidence, ...] = ()
    binding: Binding | None = BINDING

    @cached_property
    def vm(self) -> AzureTd:
        return AzureTd(self.lab.platform, FakeTpm.create("td"))

    @property
    def pieces(self) -> tuple[Evidence, ...]:
        vouched = self.vm.evidence(BINDING.tpm_extra, **self.quoted)[0]
        quote = self.vm.tpm.quote(**{"extra_data": BINDING.tpm_extra, **self.tpm})
        right = {
            QUOTE: vouched[1],
            HCL: self.vm.hcl_report(**self.envelope),
            ATTEST: quote.attest,
            SIGNATURE: quote.signature,
            PCRS: quote.pcrs,
        }
        sent = ((kind, self._edited(kind, data)) for kind, data in right.items())
        return (*(Evidence(kind, data) for kind, data in sent if data is not None), *self.more)

    def _edited(self, kind: EvidenceKind, data: bytes) -> bytes | None:
        edit: Callable[[bytes], bytes] | bytes | None = self.edits.get(kind, data)
        return edit(data) if callable(edit) else edit

    def verify(self) -> TdxClaims:
        """What our verifier makes of it."""
        exhibit = self.lab.exhibit()
        parsed = registry.parse(self.pieces)
        bundle = json.dumps(exhibit.bundle).encode()
        endorsements = registry.parse_bundle(parsed, bundle)
        claims = registry.verify(parsed, endorsements, exhibit.anchors, self.binding, exhibit.at)
        assert claims.tee == "tdx"
        return claims  # type: ignore[return-value]  # of this technology
