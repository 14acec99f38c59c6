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

Source: the TPM through tpm2-tools (`tpm2_nvread`, `tpm2_quote`; version 5), run by name from a fixed path, without a
shell, in an empty directory of mode 0700 (a file named like a handle would be taken for it), with an environment of
three variables and the kernel's own device: no inherited variable can point them at another TPM. The metadata service
is http://169.254.169.254 (`attestca_client.imds`); nobody believes what comes from there, the authority checks it.

Tested with a software TPM (swtpm) and real tpm2-tools. Not run on Azure yet.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from attestca_client import imds
from attestca_client.errors import QuoteUnavailable, TpmMissing, UnsupportedProvider
from attestca_client.protocol import tpm_extra
from attestca_client.runtime import SYSTEM, Runtime
from attestca_client.tsm import REPORT_DATA_BYTES
from attestca_client.wire import Evidence, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ASSET_TAG = Path("/sys/class/dmi/id/chassis_asset_tag")
AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"  # every VM in Azure, and no other
DEVICES = (Path("/dev/tpmrm0"), Path("/dev/tpm0"))
SAFE_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

HCL_INDEX = "0x01400001"
AK_HANDLE = "0x81000003"
MAX_HCL = 16 * 1024  # the authority's limits; today's index has 2600 bytes
MAX_QUOTE_PART = 1024
PCR_BYTES = 24 * 32
REPORT_TYPE = slice(1224, 1228)  # u32 little endian
SNP, TDX = 2, 4
TD_REPORT = slice(32, 32 + 1024)

TOOL_SECONDS = 30.0
RETRY_DELAYS = (0.25, 0.5, 1.0)  # seconds; a PCR that changes while it is quoted spoils a quote
MAX_COMPLAINT = 64 * 1024

TOOLS_HINT = "install tpm2-tools, version 5"
DEVICE_HINT = "load the driver of the vTPM (in a container: pass /dev/tpmrm0 into it)"
HCL_HINT = (
    "only confidential VMs have an HCL report; to read it needs root, or the group of /dev/tpmrm0"
)
SERVICE_HINT = "Azure's metadata service makes the quote; a firewall in the guest may be in the way"
BUSY_HINT = "another process may be using the TPM, or be extending its registers all the time"


T = TypeVar("T")


class ToolFailed(Exception):
    """Within this file: one of the tools did not do what it was told."""


def on_azure(asset_tag: Path = ASSET_TAG) -> bool:
    """Whether this machine says that it is a VM in Azure. A hint for choosing, no proof of anything."""
    try:
        with asset_tag.open("rb") as file:
            return file.read(64).strip() == AZURE_TAG.encode()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class TpmTools:
    """tpm2-tools. Attributes.

    path: where the programs are. devices: TPMs, the first one that is there counts. tcti: for tests, another TPM in the
    words of TPM2TOOLS_TCTI. seconds: how long one program may take.
    """

    path: str = SAFE_PATH
    devices: tuple[Path, ...] = DEVICES
    tcti: str = ""
    seconds: float = TOOL_SECONDS

    def run(self, tool: str, *arguments: str, outputs: Mapping[str, int]) -> tuple[bytes, ...]:
        """Run one program; the content of the files `outputs` (name -> most bytes) that it writes where it runs.

        Raises TpmMissing, ToolFailed.
        """
        program = shutil.which(tool, path=self.path)
        if program is None:
            raise TpmMissing(f"{tool} is not in {self.path}", TOOLS_HINT)
        environment = {
            "PATH": self.path,
            "LC_ALL": "C",
            "TPM2TOOLS_TCTI": self.tcti or self._device(),
        }
        try:
            with tempfile.TemporaryDirectory(prefix="attestca-") as name:  # made with mode 0700
                self._execute([program, *arguments], Path(name), environment)
                return tuple(
                    read_output(tool, Path(name, file), most) for file, most in outputs.items()
                )
        except OSError as error:
            raise ToolFailed(f"cannot run {tool}: {error.strerror or error}") from error

    def _device(self) -> str:
        for device in self.devices:
            if device.exists():
                return f"device:{device}"
        raise TpmMissing("this machine has no TPM device", DEVICE_HINT)

    def _execute(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        tool = Path(command[0]).name
        with (folder / "stderr").open("w+b") as complaints:
            try:
                done = subprocess.run(  # noqa: S603 - a program of the system, fixed arguments
                    command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    timeout=self.seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise ToolFailed(f"{tool} did not end within {self.seconds:g} s") from None
            if done.returncode:
                complaints.seek(0)
                said = complaint(complaints.read(MAX_COMPLAINT))
                raise ToolFailed(f"{tool} ended with {done.returncode}: {said}")


def read_output(tool: str, path: Path, most: int) -> bytes:
    """What a tool wrote to `path`: 1 to `most` bytes. Raises ToolFailed."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ToolFailed(f"{tool} wrote no {path.name}: {error.strerror}") from error
    if not 1 <= len(data) <= most:
        raise ToolFailed(f"{tool} wrote a {path.name} that is empty or larger than {most} bytes")
    return data


def complaint(stderr: bytes) -> str:
    """The lines that say most: the first error at all, a library's mostly, and the first one of the tool's own."""
    lines = stderr.decode("utf-8", "replace").splitlines()
    errors = [line for line in lines if line.startswith("ERROR:")]
    own = [line for line in errors if line.startswith("ERROR: ")]
    told = dict.fromkeys([*errors[:1], *own[:1]] or lines[:1])
    return plain("; ".join(told)) or "it does not say why"


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
        attest, signature, pcrs = self._quote(tpm_extra(report_data))
        pieces = [
            *of_td,
            Evidence("hcl-report", hcl),
            Evidence("tpm-attest", attest),
            Evidence("tpm-signature", signature),
            Evidence("tpm-pcrs", pcrs),
        ]
        if kind == SNP:
            pieces += [Evidence("snp-certificates", pem) for pem in self._certificates()]
        return pieces

    def _hcl_report(self) -> bytes:
        arguments = ("-C", "o", "-o", "report", HCL_INDEX)
        try:
            (report,) = self.tools.run("tpm2_nvread", *arguments, outputs={"report": MAX_HCL})
        except ToolFailed as error:
            raise TpmMissing(f"cannot read the HCL report: {error}", HCL_HINT) from error
        if not report.startswith(b"HCLA"):
            raise TpmMissing(f"NV index {HCL_INDEX} holds no HCL report", HCL_HINT)
        return report

    def _quote(self, extra: bytes) -> tuple[bytes, ...]:
        """TPMS_ATTEST, TPMT_SIGNATURE and the 24 values. The tool itself checks that they fit together."""
        arguments = [
            *("-c", AK_HANDLE, "-l", "sha256:all", "-q", extra.hex()),
            *("-m", "attest", "-s", "signature", "-o", "pcrs", "-F", "values"),
        ]
        outputs = {"attest": MAX_QUOTE_PART, "signature": MAX_QUOTE_PART, "pcrs": PCR_BYTES}

        def quote() -> tuple[bytes, ...]:
            return self.tools.run("tpm2_quote", *arguments, outputs=outputs)

        parts = self._tried(quote, (ToolFailed,), BUSY_HINT)
        if len(parts[2]) != PCR_BYTES:
            raise TpmMissing("this TPM has no SHA-256 bank of 24 registers")
        return parts

    def _td_quote(self, report: bytes) -> bytes:
        return self._tried(
            lambda: imds.fetch_td_quote(self.metadata, report, self.runtime),
            imds.FAULTS,
            SERVICE_HINT,
        )

    def _tried(self, make: Callable[[], T], faults: tuple[type[Exception], ...], hint: str) -> T:
        """What `make` gives, after some attempts if need be. Raises QuoteUnavailable."""
        reason = ""
        for delay in (*RETRY_DELAYS, None):
            try:
                return make()
            except faults as error:
                reason = plain(str(error)) or type(error).__name__
            if delay is not None:
                self.runtime.say(f"quote: {reason}; trying again in {delay:g} s")
                self.runtime.sleep(delay * self.runtime.uniform(0.5, 1.0))
        raise QuoteUnavailable(f"no quote after {len(RETRY_DELAYS) + 1} attempts: {reason}", hint)

    def _certificates(self) -> list[bytes]:
        try:
            return [imds.fetch_certificates(self.metadata, self.runtime)]
        except imds.FAULTS as error:
            said = plain(str(error)) or type(error).__name__
            self.runtime.say(f"no certificates from Azure: {said}; the authority will ask AMD")
            return []
