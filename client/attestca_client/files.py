# SPDX-License-Identifier: Apache-2.0
"""Where the key and its certificate live: a private directory, in memory where the machine has one.

    DIR/key.pem        -> .live/key.pem         PKCS#8, 0600
    DIR/cert.pem       -> .live/cert.pem        the certificate
    DIR/chain.pem      -> .live/chain.pem       issuing CA, then root
    DIR/fullchain.pem  -> .live/fullchain.pem   certificate, then issuing CA: what a TLS server presents
    DIR/.live          -> .set-…                one complete set; this link is replaced in one rename

A set is written whole, flushed, and then switched to, so that no reader ever finds a key beside another key's
certificate, and a crash leaves the old set or the new one. The set before is deleted, its private key with it.
Files that are not ours are never replaced.

A memory-backed directory keeps the key off the disk that the host sees; swap, if there is any, must be encrypted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from attestca_client.errors import Misconfigured, OutputFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NAMES = ("key.pem", "cert.pem", "chain.pem", "fullchain.pem")
LIVE = ".live"
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True)
class KeySet:
    """A private key, its certificate, and the chain: issuing CA first, root last."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class KeyDirectory:
    """A directory checked to be ours alone to write."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> KeyDirectory:
        """Make it (0700) if it is not there. Raises Misconfigured if others may write to it or it holds other files."""
        path = path.absolute()
        with _writing(path, Misconfigured):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700, parents=True)
            found = path.lstat()
            _check_private(path, found)
            for name in NAMES:
                _check_ours(path / name)
        return cls(path)

    def file(self, name: str) -> Path:
        """The path of one of NAMES."""
        return self.path / name

    def write(self, new: KeySet) -> None:
        """Put `new` in place of the old set, all at once. Raises OutputFailed; the old set then still stands."""
        leaf, issuers = new.certificate.public_bytes(Encoding.PEM), _pem(new.chain)
        private = new.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        full = leaf + _pem(new.chain[:-1])
        contents = dict(zip(NAMES, (private, leaf, issuers, full), strict=True))
        with _writing(self.path, OutputFailed), _locked(self.path):
            try:
                self._switch(self._write_set(contents))
            finally:
                self._sweep()

    def read(self) -> KeySet | None:
        """The set in place, believed by nobody yet; None if there is none or it cannot be read."""
        try:
            live = (self.path / LIVE).resolve(strict=True)
            key = load_pem_private_key((live / "key.pem").read_bytes(), None)
            (certificate,) = x509.load_pem_x509_certificates((live / "cert.pem").read_bytes())
            chain = x509.load_pem_x509_certificates((live / "chain.pem").read_bytes())
        except (OSError, ValueError, TypeError, x509.InvalidVersion):
            return None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            return None
        return KeySet(key, certificate, tuple(chain))

    def _write_set(self, contents: Mapping[str, bytes]) -> Path:
        fresh = self.path / f".set-{secrets.token_hex(8)}"
        fresh.mkdir(mode=0o700)
        for name, data in contents.items():
            write_new(fresh / name, data, 0o600 if name == "key.pem" else 0o644)
        sync_directory(fresh)
        return fresh

    def _switch(self, fresh: Path) -> None:
        for name in NAMES:
            with contextlib.suppress(FileExistsError):
                (self.path / name).symlink_to(f"{LIVE}/{name}")
        staged = self.path / f"{LIVE}-{secrets.token_hex(8)}"
        staged.symlink_to(fresh.name)
        staged.replace(self.path / LIVE)  # from here on the new set is in place
        sync_directory(self.path)

    def _sweep(self) -> None:
        """Remove every set but the one in place, whether a write went through, failed, or died long ago."""
        live = (self.path / LIVE).resolve()
        for entry in self.path.glob(".set-*"):
            if entry.resolve() != live:
                shutil.rmtree(entry, ignore_errors=True)
        for staged in self.path.glob(f"{LIVE}-*"):
            staged.unlink(missing_ok=True)


def default_directory(environ: Mapping[str, str], mounts: Path = MOUNTS) -> Path:
    """$XDG_RUNTIME_DIR/attestca, else /dev/shm/attestca-<uid>, whichever is in memory. Raises Misconfigured."""
    candidates = [Path("/dev/shm") / f"attestca-{os.geteuid()}"]  # noqa: S108 - checked to be ours when opened
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        candidates.insert(0, Path(runtime) / "attestca")
    for candidate in candidates:
        if candidate.parent.is_dir() and in_memory(candidate.parent, mounts):
            return candidate
    raise Misconfigured(
        "this machine has no memory-backed directory for the key (XDG_RUNTIME_DIR, /dev/shm)",
        "say with --out where the key may be written",
    )


def in_memory(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether `path` is on a tmpfs or ramfs, by the deepest mount point above it."""
    resolved = path.resolve()
    kind, depth = "", -1
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    for line in lines:
        _device, point, fstype, *_rest = line.split(" ")
        where = Path(point.encode("latin-1", "replace").decode("unicode_escape"))
        if resolved.is_relative_to(where) and len(where.parts) >= depth:
            kind, depth = fstype, len(where.parts)
    return kind in MEMORY_FILE_SYSTEMS


def empty_directory(path: Path) -> Path:
    """A directory with nothing in it, ours alone to write, made (0700) if it is not there. Raises Misconfigured."""
    path = path.absolute()
    with _writing(path, Misconfigured):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=True)
        _check_private(path, path.lstat())
        if any(path.iterdir()):
            raise Misconfigured(f"{path} is not empty", "name a new directory")
    return path


def write_private(path: Path, data: bytes) -> None:
    """A new file, 0600. Raises OutputFailed."""
    with _writing(path, OutputFailed):
        write_new(path, data, 0o600)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """A new file with exactly `mode`, flushed to the medium. Raises OSError (FileExistsError if it is there)."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)  # whatever the umask
        file.write(data)
        file.flush()
        os.fsync(fd)


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """`data` under `path`, all at once. Raises OSError."""
    staged = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        write_new(staged, data, mode)
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def sync_directory(path: Path) -> None:
    """Flush the directory's entries. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time, whatever process it is in."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise Misconfigured(f"{path} is not a directory")
    if found.st_uid != os.geteuid():
        raise Misconfigured(f"{path} belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Misconfigured(f"others may write to {path}", f"chmod 700 {path}")


def _check_ours(path: Path) -> None:
    try:
        ours = path.readlink() == Path(LIVE, path.name)
    except FileNotFoundError:
        return
    except OSError:  # not a symbolic link
        ours = False
    if not ours:
        raise Misconfigured(
            f"{path} is there and was not written by attestca-client",
            "move it away, or give another directory with --out",
        )


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


@contextlib.contextmanager
def _writing(path: Path, kind: type[Misconfigured | OutputFailed]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise kind(f"cannot write to {path}: {error.strerror or error}") from error
