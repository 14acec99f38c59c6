# SPDX-License-Identifier: Apache-2.0
"""`attestca certs|refusals|actions` against a running service with records."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.records import NOW

if TYPE_CHECKING:
    from tests.cli_lab import Cli
    from tests.unit.ca.cli.conftest import Operator


def serials(operator: Operator, *conditions: str) -> list[int]:
    found = operator.good("certs", "list", "--json", *conditions).json()
    return [int(one["serial"], 16) for one in found["certificates"]]


class TestCertificates:
    def test_the_table(self, operator: Operator) -> None:
        shown = operator.good("certs", "list", "--outcome", "issued").out
        assert shown.startswith("Certificates\nserial")
        for serial in operator.at.issued:
            assert f"{serial:x}" in shown
        assert "dns:[red]db.example.org" in shown
        assert "uri:spiffe://example.org/web" in shown
        assert "cvm@1" in shown

    @pytest.mark.parametrize(
        ("conditions", "count"),
        [
            ((), 3),
            (("--outcome", "issued"), 2),
            (("--outcome", "intent"), 1),
            (("--outcome", "issued", "--san", "WEB.example"), 1),
            (("--policy", "cvm"), 3),
            (("--policy", "other"), 0),
            (("--tcb-status", "UpToDate"), 3),
            (("--tcb-status", "OutOfDate"), 0),
            (("--valid-at", NOW.isoformat()), 3),
            (("--valid-at", "2020-01-01T00:00:00Z"), 0),
        ],
    )
    def test_search(self, operator: Operator, conditions: tuple[str, ...], count: int) -> None:
        assert len(serials(operator, *conditions)) == count

    def test_pages(self, operator: Operator) -> None:
        every = serials(operator)
        first = operator.good("certs", "list", "--limit", "2")
        assert first.err == f"More: --after {every[1]:x}\n"
        assert serials(operator, "--limit", "2", "--after", f"{every[1]:x}") == every[2:]
        assert operator.good("certs", "list", "--limit", "1000").err == ""

    def test_one_of_them(self, operator: Operator) -> None:
        serial = f"{operator.at.issued[0]:X}"
        shown = operator.good("certs", "show", f"00{serial}").out
        assert f"serial         {serial.lower()}\n" in shown
        assert "policy         cvm@1\n" in shown
        assert "tcb-out-of-date" in shown
        assert "debug" not in shown
        assert shown.rstrip().endswith("-----END CERTIFICATE-----")
        told = operator.good("certs", "show", serial, "--json").json()
        assert told["summary"]["serial"] == serial.lower()

    def test_one_without_certificate(self, operator: Operator) -> None:
        (serial,) = serials(operator, "--outcome", "intent")
        shown = operator.good("certs", "show", f"{serial:x}").out
        assert "SHA-256        none\n" in shown
        assert "BEGIN" not in shown

    def test_one_that_is_not_there(self, operator: Operator) -> None:
        for serial in ("12", "zz", "../policies"):
            done = operator("certs", "show", serial)
            assert (done.code, done.out) == (1, "")

    def test_export(self, operator: Operator) -> None:
        exported = json.loads(operator.good("certs", "export").out)["certificates"]
        assert len(exported) == 3
        path = Path("export.csv")
        done = operator.good("certs", "export", "--format", "csv", "-o", path, "--san", "web")
        assert done.out == ""
        (row,) = csv.DictReader(path.read_text().splitlines())
        assert int(row["serial"], 16) in operator.at.issued
        again = operator("certs", "export", "-o", path)
        assert again.code == 66
        assert path.read_text().count("\n") == 2

    def test_an_export_that_fails_leaves_no_file(self, operator: Operator) -> None:
        assert operator("certs", "export", "-o", "x.csv", "--valid-at", "never").code == 1
        assert not Path("x.csv").exists()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_a_full_disk_is_no_fault_of_the_service(
        self, operator: Operator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Path, "open", lambda *_: open("/dev/full", "wb", 0))  # noqa: SIM115, PTH123 - closed by who asked
        monkeypatch.setattr(Path, "unlink", lambda _: None)
        done = operator("certs", "export", "-o", "x.json")
        assert done.code == 66
        assert "No space left" in done.err


class TestRefusals:
    def test_all_findings_are_shown(self, operator: Operator) -> None:
        shown = operator.good("refusals", "list").out
        assert shown.count("refusal ") == 2
        assert "tcb-out-of-date" in shown
        assert "update: BIOS" in shown
        assert "tcb-revoked: the platform's TCB is revoked" in shown
        assert "policy       none" in shown

    def test_pages(self, operator: Operator) -> None:
        first = operator.good("refusals", "list", "--limit", "1", "--json").json()
        following = operator.good(
            *("refusals", "list", "--limit", "1", "--json", "--before", str(first["next"]))
        ).json()
        assert following["refusals"][0]["id"] < first["refusals"][0]["id"]
        done = operator.good("refusals", "list", "--limit", "1")
        assert done.err == f"More: --before {first['next']}\n"
        assert operator.good("refusals", "list", "--before", "1").out == "Refusals: none\n"

    def test_the_sample_of_the_others(self, operator: Operator) -> None:
        assert operator.good("refusals", "list", "--kind", "sampled").out.startswith("Refusals")
        told = operator.good("refusals", "list", "--kind", "sampled", "--json").json()
        assert told["kind"] == "sampled"


class TestActions:
    def test_newest_first(self, operator: Operator) -> None:
        told = operator.good("actions", "list", "--json").json()["actions"]
        assert told[0]["action"] == "actions.list"
        assert told[0]["actor"].endswith(" tests")
        times = [one["done_at"] for one in told]
        assert times == sorted(times, reverse=True)

    def test_the_table_and_its_pages(self, operator: Operator) -> None:
        operator.good("certs", "list", "--san", "some-name")
        done = operator.good("actions", "list", "--limit", "2")
        assert "certificates.search" in done.out
        assert "limit=100 san=some-name" in done.out
        assert done.err.startswith("More: --before 20")
        before = done.err.split()[-1]
        older = operator.good("actions", "list", "--before", before, "--json").json()["actions"]
        assert all(one["done_at"] < before for one in older)


def test_a_token_needs_the_scope(
    cli: Cli, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = cli.good(
        *("token", "create", "reader", "--scope", "policies:read", "--expires", "1h"),
        *("--config", operator.at.place.path),
    ).out.strip()
    monkeypatch.setenv("ATTESTCA_TOKEN", token)
    operator.good("policy", "list")
    for command in ("certs", "refusals", "actions"):
        done = operator(command, "list")
        assert done.code == 1
        assert done.err.startswith("attestca: scope: the token does not have the scope ")
