# SPDX-License-Identifier: Apache-2.0
"""Every Python file says under which licence it is, in its first line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.docs.documents import TOP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE = "# SPDX-License-Identifier: Apache-2.0"
FOLDERS = ("ca", "verifiers", "policies", "client", "simulator", "migrations", "tests", "bench")


def _files() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (TOP / folder).rglob("*.py")


def test_every_file_begins_with_the_licence() -> None:
    first = {path: path.read_text(encoding="utf-8").partition("\n")[0] for path in _files()}
    assert len(first) > 200
    assert [str(path.relative_to(TOP)) for path, line in first.items() if line != LINE] == []


def test_no_folder_with_code_is_left_out() -> None:
    tops = {path.parent.name for path in TOP.glob("*/*.py")} | {"client", "tests"}
    assert {name for name in tops if not name.startswith(".")} == set(FOLDERS)
    assert list(TOP.glob("*.py")) == []


def test_the_licence_itself_is_there() -> None:
    text = (TOP / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
