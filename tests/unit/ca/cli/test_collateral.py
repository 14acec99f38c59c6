# SPDX-License-Identifier: Apache-2.0
"""`attestca collateral`: what the fake vendors say, as a bundle that `verify` takes; nothing for foreign evidence."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest

from ca.cli import inspect
from simulator import pcs
from simulator.pki import pem
from tests.cli_lab import Evidence, make_evidence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.cli_lab import Cli


class Service(Protocol):
    """A fake vendor's."""

    base_url: str


S = TypeVar("S", bound=Service)


@contextmanager
def answering(service: AbstractAsyncContextManager[S]) -> Iterator[S]:
    """The vendor's service in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(service.__aenter__(), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(service.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """A simulated machine of now, for the vendor's answers are judged by the clock."""
    made = make_evidence(tmp_path / "evidence", datetime.now(UTC))
    monkeypatch.setattr(inspect, "builtin", lambda: made.anchors)
    return made


def configure(machine: Evidence, base_url: str) -> Path:
    """A configuration of a simulated authority that asks `base_url`."""
    anchor = machine.folder / "root.pem"
    anchor.write_text(pem(machine.intel.root_der))
    path = machine.folder / "attestca.toml"
    path.write_text(
        f"""\
[server]
public_url = "https://ca.example.org"
[ca]
simulated_anchors = ["{anchor}"]
[collateral]
pcs_base_url = "{base_url}"
root_crl_url = "{base_url}/IntelSGXRootCA.der"
allow_private_hosts = ["127.0.0.1"]
"""
    )
    return path


def test_the_bundle_verifies_the_machine(cli: Cli, machine: Evidence, tmp_path: Path) -> None:
    quote, bundle = machine.quote(), tmp_path / "bundle.json"
    with answering(pcs.running(machine.intel)) as service:
        config = configure(machine, service.base_url)
        bundle.write_text(cli.good("collateral", quote, "--config", config).out)
    found = cli.good("verify", quote, "--collateral", bundle, "--json").json()
    assert (found["verdict"], found["tcb"]["status"]) == ("verified", "UpToDate")


def test_without_a_configuration_the_built_in_root_counts(cli: Cli, machine: Evidence) -> None:
    """A chain to another root causes no request, which the tests' closed network would turn into an error."""
    done = cli("collateral", machine.quote())
    assert (done.code, done.out) == (1, "")
    assert "untrusted-root" in done.err


def test_a_vendor_that_does_not_answer(cli: Cli, machine: Evidence) -> None:
    done = cli("collateral", machine.quote(), "--config", configure(machine, "http://127.0.0.1:9"))
    assert (done.code, done.out) == (69, "")


def test_what_is_no_quote(cli: Cli, machine: Evidence) -> None:
    quote = machine.folder / "text"
    quote.write_text("no quote")
    done = cli("collateral", quote)
    assert (done.code, done.out) == (1, "")
    assert "unsupported-format" in done.err
    assert cli("collateral", machine.folder / "none").code == 66
