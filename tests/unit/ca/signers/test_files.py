# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ca.errors import ConfigurationError
from ca.signers import files

if TYPE_CHECKING:
    from pathlib import Path


def test_written_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files.write_new(path, b"data")
    assert files.read(path) == b"data"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_nlink == 1
    assert list(tmp_path.iterdir()) == [path]


def test_another_mode(tmp_path: Path) -> None:
    files.write_new(tmp_path / "chain", b"data", mode=0o644)
    assert (tmp_path / "chain").stat().st_mode & 0o777 == 0o644


def test_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files.write_new(path, b"first")
    with pytest.raises(ConfigurationError, match="never overwritten"):
        files.write_new(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="never overwritten"):
        files.write_new(tmp_path / "key", b"data")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot write in .*: No such file"):
        files.write_new(tmp_path / "none" / "key", b"data")
    with pytest.raises(ConfigurationError, match=r"cannot write in .*: No such file"):
        files.replace(tmp_path / "none" / "key", b"data")


def test_nothing_is_left_of_a_write_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)  # a full disk, which a test cannot have for real
    for write in (files.write_new, files.replace):
        with pytest.raises(ConfigurationError, match=r"cannot write .*: No space left"):
            write(tmp_path / "key", b"data")
        assert list(tmp_path.iterdir()) == []


def test_read_says_what_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*: No such file"):
        files.read(tmp_path / "none")
    with pytest.raises(ConfigurationError, match=r"cannot read .*: Is a directory"):
        files.read(tmp_path)
    (tmp_path / "big").write_bytes(bytes(files.MAX_BYTES + 1))
    with pytest.raises(ConfigurationError, match="more than"):
        files.read(tmp_path / "big")
