# SPDX-License-Identifier: Apache-2.0
"""The table of metrics is what a running service exports, and its health checks answer as docs/operate.md says."""

from __future__ import annotations

import re
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.docs.documents import TOP, codes, rows, section

if TYPE_CHECKING:
    from simulator.stage import Stage

OPERATE = TOP / "docs" / "operate.md"
_SAMPLE = re.compile(r"^(attestca_\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? ", re.MULTILINE)


def _get(stage: Stage, url: str) -> str:
    trust = ssl.create_default_context(cafile=stage.root)
    with urllib.request.urlopen(url, context=trust, timeout=30) as answer:  # noqa: S310 - of the stage
        text: str = answer.read().decode()
        return text


def test_metrics_and_their_labels(stage: Stage) -> None:
    exported: dict[str, set[str]] = {}
    types = re.findall(
        r"^# TYPE (attestca_\w+) ", _get(stage, f"{stage.url}/metrics"), re.MULTILINE
    )
    for name, labels in _SAMPLE.findall(_get(stage, f"{stage.url}/metrics")):
        exported.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    shown = {
        codes(row[0])[0]: set(codes(row[1]))
        for row in rows(section(OPERATE, "## Watching it"))
        if row[0].startswith("`attestca_")
    }
    assert shown.keys() == {name for name in types if not name.endswith("_created")}
    for name, labels in shown.items():
        if name in exported:  # a counter of the cache appears with its first event
            assert exported[name] - {"le"} == labels, name


def test_health_checks_are_where_the_document_says(stage: Stage) -> None:
    for listener in (stage.url, stage.admin_url):
        assert '"ok"' in _get(stage, f"{listener}/healthz")
        assert "attestca_alarms_total" in _get(stage, f"{listener}/metrics")
    assert '"ready"' in _get(stage, f"{stage.url}/readyz")
    with pytest.raises(urllib.error.HTTPError) as refused:
        _get(stage, f"{stage.admin_url}/readyz")
    refused.value.close()
