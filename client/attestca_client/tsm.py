# SPDX-License-Identifier: Apache-2.0
"""A TDX quote from the Linux kernel: configfs-tsm, /sys/kernel/config/tsm/report (Linux 6.7 and later).

Source: Documentation/ABI/testing/configfs-tsm-report, drivers/virt/coco. What of it shapes this file:

- `mkdir` makes a report entry with its attributes, `rmdir` ends it. One entry per request, under a name nobody else
  uses, removed whatever happens.
- A binary attribute takes effect when its file is closed, and the kernel drops the result of that: a failed write of
  `inblob` shows in `generation` only. So `generation` must be one more than before right after the write, and still
  that after `outblob` was read; anything else is a concurrent writer or a lost write, and a fresh entry is tried.
- The TDX driver answers EBUSY while the host still works on an earlier request, EINTR when interrupted, EIO when the
  host's quoting service failed, ETIMEDOUT when it did not answer within the driver's 30 seconds.

This is the only source of evidence of the command line. A file or an address instead would be a relay door: it would
let whoever feeds it pass another machine's quote off as ours.

Tested against a fake with these rules. Not run on TDX hardware yet.
AMD SEV-SNP (`sev_guest`, certificates in `auxblob`) is refused by name until the authority verifies it.
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
MAX_QUOTE = 64 * 1024  # the authority's limit; today's kernels give at most 32 KiB
RETRY_DELAYS = (0.25, 0.5, 1.0, 2.0, 4.0)  # seconds between the attempts


NO_TSM_HINT = (
    "needs Linux 6.7+ in a TDX guest with CONFIG_TDX_GUEST_DRIVER: load the module tdx_guest, and see that "
    "configfs is mounted on /sys/kernel/config (in a container: mount that path into it)"
)
PERMISSION_HINT = "run as root, or give this user the right to create entries in that directory"
HOST_HINT = "the quote comes from the host's quote generation service: ask the platform's operator"


class Busy(Exception):
    """Within this file: this attempt is void, a fresh entry may do better."""


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn an OSError of configfs into what it means here."""
    try:
        yield
    except OSError as error:
        raise explain(what, error) from error


def explain(what: str, error: OSError) -> EvidenceError | Busy:
    """The meaning of one errno. `what` was being done."""
    detail = f"cannot {what}: {error.strerror or error}"
    match error.errno:
        case errno.EBUSY | errno.EINTR | errno.EAGAIN | errno.EEXIST:
            return Busy(detail)
        case errno.ENOENT | errno.ENXIO | errno.ENODEV | errno.ENOTTY | errno.ENOTDIR:
            return TsmMissing(f"no TDX quotes from this kernel: {detail}", NO_TSM_HINT)
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return TsmPermission(detail, PERMISSION_HINT)
        case errno.EFBIG:
            return QuoteUnavailable(detail, "the quote exceeds this kernel's limit; " + HOST_HINT)
        case _:
            return QuoteUnavailable(detail, HOST_HINT)


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
    """Callable: 64 bytes of report_data -> the TDX quote over them, as one piece of evidence.

    Raises TsmMissing, TsmPermission, UnsupportedProvider, QuoteUnavailable.
    """

    runtime: Runtime = SYSTEM
    reports: Path = REPORTS
    files: KernelFiles = field(default_factory=KernelFiles)

    def __call__(self, report_data: bytes) -> list[Evidence]:
        """The quote over `report_data` (64 bytes; ValueError otherwise)."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError(
                f"report_data must be {REPORT_DATA_BYTES} bytes, not {len(report_data)}"
            )
        reason = ""
        for delay in (*RETRY_DELAYS, None):
            try:
                return [Evidence("tdx-quote", self._quote(report_data))]
            except Busy as busy:
                reason = str(busy)
            if delay is not None:
                self.runtime.say(f"quote: {reason}; trying again in {delay:g} s")
                self.runtime.sleep(delay * self.runtime.uniform(0.5, 1.0))
        raise QuoteUnavailable(
            f"no quote after {len(RETRY_DELAYS) + 1} attempts: {reason}",
            "another process on this machine may be asking for quotes all the time",
        )

    def _quote(self, report_data: bytes) -> bytes:
        """One attempt with an entry of its own. Raises Busy where another may go through."""
        with self._entry() as entry:
            self._check_provider(entry)
            before = self._generation(entry)
            with explained("write inblob"):
                self.files.write(entry / "inblob", report_data)
            if self._generation(entry) != before + 1:
                raise Busy("the kernel did not take the report data, or another writer was there")
            with explained("read outblob"):
                quote = self.files.read(entry / "outblob", MAX_QUOTE)
            if self._generation(entry) != before + 1:
                raise Busy("another process wrote to our report entry")
        if not quote:
            raise QuoteUnavailable("the kernel gave an empty quote", HOST_HINT)
        if len(quote) > MAX_QUOTE:
            raise QuoteUnavailable(f"the quote is larger than {MAX_QUOTE} bytes")
        return quote

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

    def _check_provider(self, entry: Path) -> None:
        with explained("read provider"):
            raw = self.files.read(entry / "provider", MAX_ATTRIBUTE)
        provider = raw.decode("ascii", "backslashreplace").strip()
        if provider == "sev_guest":
            raise UnsupportedProvider(
                "this is an AMD SEV-SNP guest; this version enrolls Intel TDX guests only"
            )
        if provider != "tdx_guest":
            raise UnsupportedProvider(
                f"the kernel's report provider is {provider!r}; this version knows tdx_guest only"
            )

    def _generation(self, entry: Path) -> int:
        with explained("read generation"):
            raw = self.files.read(entry / "generation", MAX_ATTRIBUTE)
        try:
            return int(raw)
        except ValueError:
            raise QuoteUnavailable("the kernel's generation attribute is no number") from None
