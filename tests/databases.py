# SPDX-License-Identifier: Apache-2.0
"""Databases for tests: a PostgreSQL server of our own on loopback, and fresh databases with the schema in place.

The server runs as an unprivileged user in a folder below the system's temporary directory, on a port that the
operating system chose, and is gone with the test session. It does not fsync: no test here pulls the plug of the
machine; processes are killed instead.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ca.store import schema
from ca.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Coroutine

NOT_INSTALLED = (
    "PostgreSQL is not installed (no initdb and pg_ctl): its half of the tests is not run"
)
_TEMPLATE = "attestca_template"
_BLANK = "template1"


def find_binaries() -> Path | None:
    """The folder with initdb and pg_ctl; the newest version where there are several."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parts[-3])).parent if found else None


def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine from a place without a loop, and leave pytest's own loops alone."""
    failures: list[BaseException] = []

    def body() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:  # noqa: BLE001 (raised again below)
            failures.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


@dataclass
class PostgresServer:
    """One server. `start` and `stop` keep its data and its port."""

    binaries: Path
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="attestca-pg-")))
    port: int = 0
    _count: int = 0
    _clean: list[str] = field(default_factory=list)
    _blank: list[str] = field(default_factory=list)

    def create(self) -> None:
        user = self._user()
        if user is not None:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", "-D", str(self._data), *options)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()
        self.new_database(_TEMPLATE, _BLANK)
        run_to_end(schema.upgrade(self.url(_TEMPLATE)))

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 200,
            "shared_buffers": "32MB",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-o", options, "-l", log, "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str, template: str) -> str:
        self._count += 1
        name = name or f"test_{self._count}"
        self._run("createdb", *self._where, "-T", template, name)
        return name

    def lend(self, *, schema: bool = True) -> str:
        """A database without rows, or without tables; its name."""
        spare = self._clean if schema else self._blank
        return spare.pop() if spare else self.new_database("", _TEMPLATE if schema else _BLANK)

    def take_back(self, name: str, *, schema: bool = True) -> None:
        """Empty it for the next test, which takes a fraction of the time of making one."""
        empty = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))  # noqa: S608 - table names of ours
        blank = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
        words = f"SET client_min_messages = warning; SET lock_timeout = '5s'; {empty if schema else blank}"
        self._run("psql", *self._where, "-q", "-v", "ON_ERROR_STOP=1", "-c", words, name)
        (self._clean if schema else self._blank).append(name)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _where(self) -> tuple[str, ...]:
        return ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres")

    @staticmethod
    def _user() -> pwd.struct_passwd | None:
        """Whom to run as: the server refuses root."""
        if os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam("postgres")
        except KeyError:
            return pwd.getpwnam("nobody")

    def _run(self, program: str, *arguments: str) -> None:
        user = self._user()
        # A file, not a pipe: the server inherits it and would keep a pipe open.
        with (self.folder / "output").open("ab") as output:
            done = subprocess.run(  # noqa: S603 (our own words)
                [str(self.binaries / program), *arguments],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                user=user and user.pw_uid,
                group=user and user.pw_gid,
                extra_groups=[] if user else None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            said = (self.folder / "output").read_text()
            raise RuntimeError(f"{program} failed: {said[-2000:]}")
