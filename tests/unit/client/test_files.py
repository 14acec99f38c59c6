# SPDX-License-Identifier: Apache-2.0
"""The key directory: private, never half written, never over other people's files."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import load_pem_x509_certificates

from attestca_client import files
from attestca_client.errors import Misconfigured, OutputFailed
from attestca_client.files import NAMES, KeyDirectory, KeySet, default_directory, in_memory
from tests.unit.client.fake_authority import Pki, of_no_version

if TYPE_CHECKING:
    from collections.abc import Callable

PKI = Pki()


def new_set() -> KeySet:
    key = ec.generate_private_key(ec.SECP256R1())
    return KeySet(key, PKI.leaf(key.public_key()), (PKI.issuer, PKI.root))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def matching(directory: KeyDirectory) -> KeySet:
    """What is in place, after checking that key and certificate belong together."""
    found = directory.read()
    assert found is not None
    assert found.key.public_key() == found.certificate.public_key()
    return found


def sets(path: Path) -> list[Path]:
    return list(path.glob(".set-*"))


def test_a_set(tmp_path: Path) -> None:
    directory = KeyDirectory.open(tmp_path / "new" / "dir")
    written = new_set()
    directory.write(written)
    assert mode(directory.path) == 0o700
    assert mode(directory.file("key.pem")) == 0o600
    assert all(mode(entry) == 0o700 for entry in sets(directory.path))
    assert directory.file("key.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert load_pem_x509_certificates(directory.file("cert.pem").read_bytes()) == [
        written.certificate
    ]
    chain = load_pem_x509_certificates(directory.file("chain.pem").read_bytes())
    assert chain == [PKI.issuer, PKI.root]
    full = load_pem_x509_certificates(directory.file("fullchain.pem").read_bytes())
    assert full == [written.certificate, PKI.issuer]
    assert matching(directory).certificate == written.certificate


@pytest.mark.parametrize("umask", [0, 0o077])
def test_the_umask_changes_nothing(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        directory = KeyDirectory.open(tmp_path / "d")
        directory.write(new_set())
    finally:
        os.umask(before)
    assert mode(directory.path) == 0o700
    assert mode(directory.file("key.pem")) == 0o600
    assert mode(directory.file("cert.pem")) == 0o644


def test_the_next_set_replaces_the_one_before(tmp_path: Path) -> None:
    directory = KeyDirectory.open(tmp_path / "d")
    directory.write(new_set())
    second = new_set()
    directory.write(second)
    assert matching(directory).certificate == second.certificate
    assert len(sets(directory.path)) == 1  # the old private key is gone
    assert {entry.name for entry in directory.path.iterdir()} - set(NAMES) == {
        ".live",
        sets(directory.path)[0].name,
    }


CRASH_POINTS: list[tuple[object, str]] = [
    (os, "fsync"),
    (os, "fchmod"),
    (Path, "symlink_to"),
    (Path, "replace"),
    (files, "sync_directory"),
]


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize(("owner", "call"), CRASH_POINTS, ids=[c for _, c in CRASH_POINTS])
@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_a_failure_between_any_two_steps_leaves_a_whole_set(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    call: str,
    skip: int,
    kind: type[BaseException],
) -> None:
    directory = KeyDirectory.open(tmp_path / "d")
    old, new = new_set(), new_set()
    directory.write(old)
    real: Callable[..., object] = getattr(owner, call)
    left = [skip]

    def failing(*args: object, **kwargs: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise kind(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, failing)
        try:
            directory.write(new)
            failed = False
        except (OutputFailed, KeyboardInterrupt):
            failed = True
    found = matching(directory).certificate
    assert found in ({old.certificate, new.certificate} if failed else {new.certificate})
    directory.write(new)  # and the next write goes through and cleans up
    assert matching(directory).certificate == new.certificate
    assert len(sets(directory.path)) == 1


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = KeyDirectory.open(tmp_path / "d")

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputFailed, match="No space left") as caught:
        directory.write(new_set())
    assert caught.value.exit_code == 70
    assert sets(directory.path) == []  # no private key stays behind
    assert directory.read() is None


def test_other_peoples_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("precious")
    tmp_path.chmod(0o700)
    with pytest.raises(Misconfigured, match=r"key\.pem is there"):
        KeyDirectory.open(tmp_path)
    assert (tmp_path / "key.pem").read_text() == "precious"


def test_a_link_to_elsewhere_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").symlink_to("/etc/hostname")
    with pytest.raises(Misconfigured, match=r"cert\.pem is there"):
        KeyDirectory.open(tmp_path)


def test_a_directory_that_others_may_write_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(Misconfigured, match="others may write") as caught:
        KeyDirectory.open(tmp_path)
    assert caught.value.exit_code == 64
    tmp_path.chmod(0o755)
    KeyDirectory.open(tmp_path)


def test_a_directory_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(Misconfigured, match="another user"):
        KeyDirectory.open(tmp_path)


def test_a_file_or_a_link_in_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for found in ("file", "link"):
        with pytest.raises(Misconfigured, match="not a directory"):
            KeyDirectory.open(tmp_path / found)
    with pytest.raises(Misconfigured, match="cannot write"):
        KeyDirectory.open(tmp_path / "file" / "below")


def test_reading_what_is_not_there_or_broken(tmp_path: Path) -> None:
    directory = KeyDirectory.open(tmp_path / "d")
    assert directory.read() is None
    directory.write(new_set())
    directory.file("key.pem").write_text("broken")
    assert directory.read() is None
    other = ed25519.Ed25519PrivateKey.generate()
    directory.file("key.pem").write_bytes(
        other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    assert directory.read() is None
    directory.write(new := new_set())
    directory.file("cert.pem").write_text(of_no_version(new.certificate))
    assert directory.read() is None
    shutil.rmtree(sets(directory.path)[0])
    assert directory.read() is None


def test_default_directory(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    runtime = tmp_path / "run dir"
    runtime.mkdir()
    escaped = str(runtime).replace(" ", r"\040")
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\ntmpfs {escaped} tmpfs rw 0 0\n")
    found = default_directory({"XDG_RUNTIME_DIR": str(runtime)}, mounts)
    assert found == runtime / "attestca"
    with pytest.raises(Misconfigured, match="memory-backed") as caught:
        default_directory({}, mounts)  # /dev/shm is on ext4 by this table
    assert "--out" in caught.value.hint
    mounts.write_text("/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n")
    shm = default_directory({"XDG_RUNTIME_DIR": str(runtime)}, mounts)
    assert shm == Path("/dev/shm") / f"attestca-{os.geteuid()}"  # noqa: S108 - nothing is written


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("/dev/vda / ext4 rw 0 0\n", False),
        ("tmpfs / tmpfs rw 0 0\n", True),
        ("tmpfs / tmpfs rw 0 0\n/dev/vda {path} ext4 rw 0 0\n", False),
        ("/dev/vda / ext4 rw 0 0\nramfs {path} ramfs rw 0 0\n", True),
        ("/dev/vda {path} ext4 rw 0 0\ntmpfs {path} tmpfs rw 0 0\n", True),  # mounted over it
        ("tmpfs {path}more tmpfs rw 0 0\n", False),
    ],
)
def test_in_memory_goes_by_the_deepest_mount(tmp_path: Path, table: str, expected: bool) -> None:  # noqa: FBT001 - one column of a table
    mounts = tmp_path / "mounts"
    below = tmp_path / "below"
    below.mkdir()
    mounts.write_text(table.format(path=tmp_path))
    assert in_memory(below, mounts) is expected


def test_no_table_of_mounts(tmp_path: Path) -> None:
    assert in_memory(tmp_path, tmp_path / "none") is False


def test_write_new_never_follows_or_replaces(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for found in ("there", "link"):
        with pytest.raises(FileExistsError):
            files.write_new(tmp_path / found, b"new", 0o600)
    assert (tmp_path / "there").read_text() == "old"
    assert not (tmp_path / "target").exists()


def test_replace_file_cleans_up(tmp_path: Path) -> None:
    files.replace_file(tmp_path / "f", b"1", 0o644)
    files.replace_file(tmp_path / "f", b"2", 0o644)
    assert (tmp_path / "f").read_bytes() == b"2"
    (tmp_path / "d").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.replace_file(tmp_path / "d", b"3", 0o644)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["d", "f"]
