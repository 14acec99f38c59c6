# SPDX-License-Identifier: Apache-2.0
"""`attestca serve` as a process: two addresses that answer, an end on SIGTERM, and a second start that finds all."""

from __future__ import annotations

import json
import ssl
import urllib.error
from typing import TYPE_CHECKING
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import pytest

from tests.cli_lab import logging_kept, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli_lab import Cli, Place


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    with logging_kept():
        yield


def get(place: Place, url: str) -> bytes:
    """Over TLS, with nothing but the authority's root to trust."""
    tls = ssl.create_default_context(cafile=place.keys / "root.pem")
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=tls))
    with opener.open(url.replace("127.0.0.1", "localhost"), timeout=20) as answer:
        body: bytes = answer.read()
    return body


def test_start_stop_and_start_again(real: Place, tmp_path: Path) -> None:
    place = real.copy(tmp_path / "authority")
    with serving(place) as first:
        assert first.public.startswith("https://127.0.0.1:")
        assert first.admin.startswith("http://127.0.0.1:")
        assert not first.public.endswith(":0")
        assert json.loads(get(place, f"{first.public}/healthz")) == {"status": "ok"}
        assert json.loads(get(place, f"{first.public}/readyz")) == {
            "status": "ready",
            "warnings": [],
        }
        nonce = json.loads(get(place, f"{first.public}/v1/nonce"))
        chain = get(place, f"{first.public}/v1/ca/chain")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(place, f"{first.admin}/v1/admin/policies")
        assert first.stop() == 0
    before = {name: data for name, data in place.contents().items() if name.startswith("ca/")}
    with serving(place) as second:
        assert get(place, f"{second.public}/v1/ca/chain") == chain
        assert json.loads(get(place, f"{second.public}/v1/nonce"))["ca_id"] == nonce["ca_id"]
        assert second.stop() == 0
    after = {name: data for name, data in place.contents().items() if name.startswith("ca/")}
    assert after == before
    events = [json.loads(line)["event"] for line in second.log.read_text().splitlines()]
    assert events.count("started") == events.count("stopping") == 2


@pytest.mark.parametrize(
    ("variables", "code", "says"),
    [
        ({"ATTESTCA_PASSPHRASE": "another-passphrase"}, 66, "another passphrase"),
        ({"ATTESTCA_PASSPHRASE": ""}, 66, "it is empty"),
        ({"ATTESTCA_SERVER__LISTEN": "192.0.2.1:1"}, 66, "cannot listen on 192.0.2.1:1"),
        ({"ATTESTCA_NO__SUCH": "1"}, 66, "ATTESTCA_NO__SUCH: no: unknown"),
        ({"ATTESTCA_DATABASE__URL": "postgresql://me@127.0.0.1:9/x"}, 69, "database: "),
        ({"ATTESTCA_DATABASE__URL": "sqlite:////none/x.db"}, 66, "attestca db upgrade"),
    ],
)
def test_what_does_not_start(
    cli: Cli,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    code: int,
    says: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = cli("serve", "--config", place.path)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert "Traceback" not in done.err


def test_without_a_configuration(cli: Cli) -> None:
    done = cli("serve")
    assert done.code == 66
    assert "`attestca init` writes one" in done.err
