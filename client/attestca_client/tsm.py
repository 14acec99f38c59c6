# SPDX-License-Identifier: Apache-2.0
"""Evidence from the Linux kernel: configfs-tsm, /sys/kernel/config/tsm/report (Linux 6.7 and later).

Providers: `tdx_guest` gives a TDX quote; `sev_guest` gives an SEV-SNP report, and in `auxblob` the certificates that
the host keeps with it (GHCB certificate table), if it keeps any.

Source: Documentation/ABI/testing/configfs-tsm-report, drivers/virt/coco. What of it shapes this file:

- `mkdir` makes a report entry with its attributes, `rmdir` ends it. One entry per request, under a name nobody else
  uses, removed whatever happens.
- A binary attribute takes effect when its file is closed, and the kernel drops the result of that: a failed write of
  `inblob` shows in `generation` only. So `generation` must be one more than before right after the write, and still
  that after `outblob` and `auxblob` were read; anything else is a concurrent writer or a lost write, and a fresh entry
  is tried.
- `privlevel` is not written, so an SEV-SNP report is asked for as VMPL 0.
- Both drivers answer EBUSY, EAGAIN or EINTR for what may pass. The TDX driver answers EIO when the host's quoting
  service failed, ETIMEDOUT when it did not answer within the driver's 30 seconds; the SEV-SNP driver EIO for an error
  of the secure processor or the host, ENOTTY when it has disabled its key after one.

Together with `azure` this is the only source of evidence of the command line. A file or an address instead would be a
relay door: it would let whoever feeds it pass another machine's evidence off as ours.

Tested against a fake with these rules. Not run on TDX or SEV-SNP hardware yet.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from attestca_client.errors import (
    QuoteUnavailable,
    TsmMissing,
    TsmPermission,
    UnsupportedProvider,
)
from attestca_client.runtime import SYSTEM, Runtime
from attestca_client.wire import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attestca_client.errors import EvidenceError

REPORTS = Path("/sys/kernel/config/tsm/report")
REPORT_DATA_BYTES = 64
MAX_ATTRIBUTE = 4096  # the kernel's own limit of a text attribute
MAX_QUOTE = (
    64 * 1024
)  # the authority's limit, of certificates too; today's kernels give at most 32 KiB
SNP_REPORT_BYTES = 1184
RETRY_DELAYS = (0.25, 0.5, 1.0, 2.0, 4.0)  # seconds between the attempts


NO_TSM_HINT = (
    "needs Linux 6.7+ with the module tdx_guest (in a TDX guest) or sev-guest (in an SEV-SNP guest): load the module, "
    "and see that configfs is mounted on /sys/kernel/config (in a container: mount that path into it)"
)
PERMISSION_HINT = "run as root, or give this user the right to create entries in that directory"
DRIVER_HINT = "the kernel log may say more"
TDX_HINT = "the quote comes from the host's quote generation service: ask the platform's operator"
SNP_HINT = (
    "the report comes from the secure processor by way of the host: the kernel log has its error; where it says that "
    "the VMPCK was disabled, only a restart of this machine helps"
)


@dataclass(frozen=True, slots=True)
class Technology:
    """What one provider gives: `kind` on the wire, its name in messages, what to do where it fails or is gone."""

    kind: str
    noun: str
    hint: str
    gone: str


TECHNOLOGIES = {
    "tdx_guest": Technology("tdx-quote", "TDX quote", TDX_HINT, NO_TSM_HINT),
    "sev_guest": Technology("snp-report", "SEV-SNP report", SNP_HINT, SNP_HINT),
}


class Busy(Exception):
    """Within this file: this attempt is void, a fresh entry may do better."""


@contextlib.contextmanager
def explained(what: str, technology: Technology | None = None) -> Iterator[None]:
    """Turn an OSError of configfs into what it means here."""
    try:
        yield
    except OSError as error:
        raise explain(what, error, technology) from error


def explain(
    what: str, error: OSError, technology: Technology | None = None
) -> EvidenceError | Busy:
    """The meaning of one errno. `what` was being done, with an entry of `technology` if that is known already."""
    detail = f"cannot {what}: {error.strerror or error}"
    noun = technology.noun if technology else "attestation report"
    hint = technology.hint if technology else DRIVER_HINT
    match error.errno:
        case errno.EBUSY | errno.EINTR | errno.EAGAIN | errno.EEXIST:
            return Busy(detail)
        case errno.ENOENT | errno.ENXIO | errno.ENODEV | errno.ENOTTY | errno.ENOTDIR:
            gone = technology.gone if technology else NO_TSM_HINT
            return TsmMissing(f"no {noun} from this kernel: {detail}", gone)
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return TsmPermission(detail, PERMISSION_HINT)
        case errno.EFBIG:
            return QuoteUnavailable(detail, f"the {noun} exceeds this kernel's limit; {hint}")
        case _:
            return QuoteUnavailable(detail, hint)


class KernelFiles:
    """The five system calls that configfs needs. Raises OSError. Tests give a subclass that plays the kernel."""

    def mkdir(self, path: Path) -> None:
        """Make a report entry."""
        path.mkdir(mode=0o700)

    def rmdir(self, path: Path) -> None:
        """End a report entry, its attributes with it."""
        path.rmdir()

    def read(self, path: Path, limit: int) -> bytes:
        """The whole attribute, at most `limit` + 1 bytes of it."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = b""
            while piece := os.read(fd, limit + 1 - len(data)):
                data += piece
            return data
        finally:
            os.close(fd)

    def write(self, path: Path, data: bytes) -> None:
        """All of `data` in one write, as configfs wants it; it counts when the file is closed."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.EIO, "short write", str(path))
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class TsmQuoteSource:
    """Callable: 64 bytes of report_data -> the evidence over them, one piece or two.

    Raises TsmMissing, TsmPermission, UnsupportedProvider, QuoteUnavailable.
    """

    runtime: Runtime = SYSTEM
    reports: Path = REPORTS
    files: KernelFiles = field(default_factory=KernelFiles)

    def __call__(self, report_data: bytes) -> list[Evidence]:
        """Evidence over `report_data` (64 bytes; ValueError otherwise)."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError(
                f"report_data must be {REPORT_DATA_BYTES} bytes, not {len(report_data)}"
            )
        reason = ""
        for delay in (*RETRY_DELAYS, None):
            try:
                return self._evidence(report_data)
            except Busy as busy:
                reason = str(busy)
            if delay is not None:
                self.runtime.say(f"quote: {reason}; trying again in {delay:g} s")
                self.runtime.sleep(delay * self.runtime.uniform(0.5, 1.0))
        raise QuoteUnavailable(
            f"no quote after {len(RETRY_DELAYS) + 1} attempts: {reason}",
            "another process on this machine may be asking for quotes all the time",
        )

    def _evidence(self, report_data: bytes) -> list[Evidence]:
        """One attempt with an entry of its own. Raises Busy where another may go through."""
        with self._entry() as entry:
            technology = self._technology(entry)
            before = self._generation(entry)
            with explained("write inblob", technology):
                self.files.write(entry / "inblob", report_data)
            if self._generation(entry) != before + 1:
                raise Busy("the kernel did not take the report data, or another writer was there")
            with explained("read outblob", technology):
                report = self.files.read(entry / "outblob", MAX_QUOTE)
            certificates = self._certificates(entry, technology)
            if self._generation(entry) != before + 1:
                raise Busy("another process wrote to our report entry")
        check_size(report, technology)
        pieces = [Evidence(technology.kind, report)]
        return pieces + [Evidence("snp-certificates", data) for data in certificates]

    def _certificates(self, entry: Path, technology: Technology) -> list[bytes]:
        """The host's certificates, or none: no such attribute, an empty one, or one that the authority would refuse."""
        if technology.kind != "snp-report":
            return []
        with explained("read auxblob", technology):
            try:
                data = self.files.read(entry / "auxblob", MAX_QUOTE)
            except FileNotFoundError:
                return []
        if len(data) > MAX_QUOTE:
            self.runtime.say(f"the host's certificates are larger than {MAX_QUOTE} bytes: left out")
            return []
        return [data] if data else []

    @contextlib.contextmanager
    def _entry(self) -> Iterator[Path]:
        entry = self.reports / f"attestca-{os.getpid()}-{secrets.token_hex(8)}"
        with explained("create a report entry"):
            self.files.mkdir(entry)
        try:
            yield entry
        finally:
            try:
                self.files.rmdir(entry)
            except OSError as error:
                self.runtime.say(f"quote: report entry {entry} was left behind: {error.strerror}")

    def _technology(self, entry: Path) -> Technology:
        with explained("read provider"):
            raw = self.files.read(entry / "provider", MAX_ATTRIBUTE)
        provider = raw.decode("ascii", "backslashreplace").strip()
        if provider not in TECHNOLOGIES:
            raise UnsupportedProvider(
                f"the kernel's report provider is {provider!r}; "
                f"this version knows {' and '.join(TECHNOLOGIES)} only"
            )
        return TECHNOLOGIES[provider]

    def _generation(self, entry: Path) -> int:
        with explained("read generation"):
            raw = self.files.read(entry / "generation", MAX_ATTRIBUTE)
        try:
            return int(raw)
        except ValueError:
            raise QuoteUnavailable("the kernel's generation attribute is no number") from None


def check_size(report: bytes, technology: Technology) -> None:
    """Raises QuoteUnavailable for what the authority would refuse unread."""
    if not report:
        raise QuoteUnavailable(f"the kernel gave an empty {technology.noun}", technology.hint)
    if len(report) > MAX_QUOTE:
        raise QuoteUnavailable(f"the {technology.noun} is larger than {MAX_QUOTE} bytes")
    if technology.kind == "snp-report" and len(report) != SNP_REPORT_BYTES:
        raise QuoteUnavailable(
            f"the kernel gave an SEV-SNP report of {len(report)} bytes, not {SNP_REPORT_BYTES}"
        )
