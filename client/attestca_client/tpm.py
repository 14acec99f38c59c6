# SPDX-License-Identifier: Apache-2.0
"""A virtual TPM by way of tpm2-tools, version 5: programs that run by name from a fixed path, and a quote by them.

They run without a shell, in an empty directory of mode 0700 (a file named like a handle would be taken for it), with an
environment of three variables and the kernel's own device: no inherited variable can point them at another TPM.

Tested with a software TPM (swtpm) and real tpm2-tools.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from attestca_client.errors import QuoteUnavailable, TpmMissing
from attestca_client.wire import Evidence, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attestca_client.runtime import Runtime

DEVICES = (Path("/dev/tpmrm0"), Path("/dev/tpm0"))
SAFE_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
OWNER, ENDORSEMENT = "o", "e"  # hierarchies, as the tools call them

MAX_QUOTE_PART = 1024  # the authority's limits
PCR_BYTES = 24 * 32

TOOL_SECONDS = 30.0
RETRY_DELAYS = (0.25, 0.5, 1.0)  # seconds; a PCR that changes while it is quoted spoils a quote
MAX_COMPLAINT = 64 * 1024

TOOLS_HINT = "install tpm2-tools, version 5"
DEVICE_HINT = "load the driver of the vTPM (in a container: pass /dev/tpmrm0 into it)"
BUSY_HINT = "another process may be using the TPM, or be extending its registers all the time"

T = TypeVar("T")


class ToolFailed(Exception):
    """Within the sources of evidence: one of the tools did not do what it was told."""


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

    def run(
        self,
        tool: str,
        *arguments: str,
        outputs: Mapping[str, int],
        inputs: tuple[tuple[str, bytes], ...] = (),
    ) -> tuple[bytes, ...]:
        """Run one program; the content of the files `outputs` (name -> most bytes) that it writes where it runs.

        `inputs`: names and contents of files that it finds there.

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
                folder = Path(name)
                for file, content in inputs:
                    (folder / file).write_bytes(content)
                self._execute([program, *arguments], folder, environment)
                return tuple(
                    read_output(tool, folder / file, most) for file, most in outputs.items()
                )
        except OSError as error:
            raise ToolFailed(f"cannot run {tool}: {error.strerror or error}") from error

    def read(self, index: str, most: int) -> bytes:
        """What stands in an NV index: 1 to `most` bytes. Raises TpmMissing, ToolFailed."""
        arguments = ("-C", OWNER, "-o", "content", index)
        (content,) = self.run("tpm2_nvread", *arguments, outputs={"content": most})
        return content

    def flush(self) -> None:
        """Unload the keys that programs before this one left behind. Raises TpmMissing.

        The kernel's resource manager does that by itself; /dev/tpm0 has none, and few places. Where it does not work,
        the next program will say what is missing.
        """
        with contextlib.suppress(ToolFailed):
            self.run("tpm2_flushcontext", "-t", outputs={})

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


def quote(
    tools: TpmTools,
    runtime: Runtime,
    extra: bytes,
    key: str,
    inputs: tuple[tuple[str, bytes], ...] = (),
) -> list[Evidence]:
    """A quote over all PCRs of the SHA-256 bank: `tpm-attest`, `tpm-signature`, `tpm-pcrs` (768 bytes).

    The tool itself checks that they fit together.

    Args:
        tools: of the TPM.
        runtime: for the attempts after the first.
        extra: extraData, 32 bytes.
        key: handle of a key in the TPM, or the name of a file among `inputs` with the context of a key.
        inputs: files that the tool needs.

    Raises TpmMissing, QuoteUnavailable.
    """
    arguments = [
        *("-c", key, "-l", "sha256:all", "-q", extra.hex()),
        *("-m", "attest", "-s", "signature", "-o", "pcrs", "-F", "values"),
    ]
    outputs = {"attest": MAX_QUOTE_PART, "signature": MAX_QUOTE_PART, "pcrs": PCR_BYTES}

    def made() -> tuple[bytes, ...]:
        try:
            return tools.run("tpm2_quote", *arguments, outputs=outputs, inputs=inputs)
        finally:
            if inputs:
                tools.flush()

    attest, signature, pcrs = tried(made, (ToolFailed,), BUSY_HINT, runtime)
    if len(pcrs) != PCR_BYTES:
        raise TpmMissing("this TPM has no SHA-256 bank of 24 registers")
    return [
        Evidence("tpm-attest", attest),
        Evidence("tpm-signature", signature),
        Evidence("tpm-pcrs", pcrs),
    ]


def tried(
    make: Callable[[], T], faults: tuple[type[Exception], ...], hint: str, runtime: Runtime
) -> T:
    """What `make` gives, after some attempts if need be. Raises QuoteUnavailable."""
    reason = ""
    for delay in (*RETRY_DELAYS, None):
        try:
            return make()
        except faults as error:
            reason = plain(str(error)) or type(error).__name__
        if delay is not None:
            runtime.say(f"quote: {reason}; trying again in {delay:g} s")
            runtime.sleep(delay * runtime.uniform(0.5, 1.0))
    raise QuoteUnavailable(f"no quote after {len(RETRY_DELAYS) + 1} attempts: {reason}", hint)
