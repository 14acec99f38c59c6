# SPDX-License-Identifier: Apache-2.0
"""Evidence of a confidential VM in Azure, where a paravisor stands between the guest and the processor.

The guest cannot ask for a report over its own data there. The paravisor asks once, over the public key of the vTPM
that it runs inside the same protected memory, and keeps the answer in an NV index. So the evidence is

- `tdx-quote`, of Intel TDX: what Azure's quoting service makes of the TDREPORT in that index;
- `hcl-report`: NV index 0x01400001, the processor's report and the data that it vouches for, the vTPM's key among them;
- `tpm-attest`, `tpm-signature`, `tpm-pcrs`: a quote by that key (handle 0x81000003) over all PCRs of the SHA-256 bank,
  with `protocol.tpm_extra` of the report data that was asked for as extraData;
- `snp-certificates`, of AMD SEV-SNP: the VCEK and its chain, if the instance metadata service gives them within a
  second. If it does not, the authority asks AMD.

Source: the TPM through tpm2-tools (`attestca_client.tpm`: `tpm2_nvread`, `tpm2_quote`). The metadata service is
http://169.254.169.254 (`attestca_client.imds`); nobody believes what comes from there, the authority checks it.

Tested with a software TPM (swtpm) and real tpm2-tools. Not run on Azure yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from attestca_client import imds
from attestca_client.errors import TpmMissing, UnsupportedProvider
from attestca_client.protocol import tpm_extra
from attestca_client.runtime import SYSTEM, Runtime
from attestca_client.tpm import ToolFailed, TpmTools, quote, tried
from attestca_client.tsm import REPORT_DATA_BYTES
from attestca_client.wire import Evidence, plain

HCL_INDEX = "0x01400001"
AK_HANDLE = "0x81000003"
MAX_HCL = 16 * 1024  # the authority's limit; today's index has 2600 bytes
REPORT_TYPE = slice(1224, 1228)  # u32 little endian
SNP, TDX = 2, 4
TD_REPORT = slice(32, 32 + 1024)

HCL_HINT = (
    "only confidential VMs have an HCL report; to read it needs root, or the group of /dev/tpmrm0"
)
SERVICE_HINT = "Azure's metadata service makes the quote; a firewall in the guest may be in the way"


@dataclass(frozen=True, slots=True)
class AzureQuoteSource:
    """Callable: 64 bytes of report_data -> the evidence over them, four pieces or five, the CPU's own first.

    Raises TpmMissing, UnsupportedProvider, QuoteUnavailable.
    """

    runtime: Runtime = SYSTEM
    tools: TpmTools = field(default_factory=TpmTools)
    metadata: tuple[str, int] = imds.ADDRESS

    def __call__(self, report_data: bytes) -> list[Evidence]:
        """Evidence over `report_data` (64 bytes; ValueError otherwise)."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError(
                f"report_data must be {REPORT_DATA_BYTES} bytes, not {len(report_data)}"
            )
        hcl = self._hcl_report()
        kind = int.from_bytes(hcl[REPORT_TYPE], "little")
        if kind not in {SNP, TDX}:
            raise UnsupportedProvider(
                f"the HCL report holds a report of type {kind}; SEV-SNP (2) and TDX (4) are known"
            )
        of_td = [Evidence("tdx-quote", self._td_quote(hcl[TD_REPORT]))] if kind == TDX else []
        pieces = [
            *of_td,
            Evidence("hcl-report", hcl),
            *quote(self.tools, self.runtime, tpm_extra(report_data), AK_HANDLE),
        ]
        if kind == SNP:
            pieces += [Evidence("snp-certificates", pem) for pem in self._certificates()]
        return pieces

    def _hcl_report(self) -> bytes:
        try:
            report = self.tools.read(HCL_INDEX, MAX_HCL)
        except ToolFailed as error:
            raise TpmMissing(f"cannot read the HCL report: {error}", HCL_HINT) from error
        if not report.startswith(b"HCLA"):
            raise TpmMissing(f"NV index {HCL_INDEX} holds no HCL report", HCL_HINT)
        return report

    def _td_quote(self, report: bytes) -> bytes:
        return tried(
            lambda: imds.fetch_td_quote(self.metadata, report, self.runtime),
            imds.FAULTS,
            SERVICE_HINT,
            self.runtime,
        )

    def _certificates(self) -> list[bytes]:
        try:
            return [imds.fetch_certificates(self.metadata, self.runtime)]
        except imds.FAULTS as error:
            said = plain(str(error)) or type(error).__name__
            self.runtime.say(f"no certificates from Azure: {said}; the authority will ask AMD")
            return []
