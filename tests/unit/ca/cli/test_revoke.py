# SPDX-License-Identifier: Apache-2.0
"""`attestca revoke` and `attestca revocations` through a running service."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestca_client.protocol import HandleKind, handle
from ca.tokens import Scope
from tests.records import digest

if TYPE_CHECKING:
    from tests.cli_lab import Cli
    from tests.unit.ca.cli.conftest import Operator

PPID = "5a" * 16
SHARED = digest("mr_td").hex()  # of every certificate there is


class TestRevoke:
    def test_by_name(self, operator: Operator) -> None:
        done = operator.good(
            *("revoke", "product", "Milan", "--reason", "superseded", "--note", "it [red]leaks")
        )
        own = handle(HandleKind.PRODUCT, b"Milan").hex()
        for said in ("product", "Milan", own, "superseded", "it [red]leaks", "token:"):
            assert said in done.out
        assert done.err == "revoked\n"
        again = operator.good("revoke", "product", "Milan")
        assert again.out == done.out
        assert again.err == "it was revoked before: nothing changed\n"

    def test_as_json(self, operator: Operator) -> None:
        done = operator.good(
            "revoke",
            "firmware",
            "nvidia-driver:580.95.05",
            "--reason",
            "privilegeWithdrawn",
            "--json",
        ).json()
        assert (done["kind"], done["subject"]) == ("firmware", "nvidia-driver:580.95.05")
        assert (done["reason"], done["note"], done["again"]) == ("privilegeWithdrawn", "", False)

    @pytest.mark.parametrize(
        ("words", "kind", "subject"),
        [
            (("measurement", "mr_td", "AB" * 48), "measurement", f"mr_td {'ab' * 48}"),
            (("measurement", "set/one", "ab" * 32), "measurement", f"set/one {'ab' * 32}"),
            (("tcb", "ab" * 34), "tcb", "ab" * 34),
            (("policy", "cvm@1"), "policy", "cvm@1"),
            (("policy", "cd" * 32), "policy", "cd" * 32),
            (("issuer", "ab" * 20), "issuer", "ab" * 20),
            (("key", "EF" * 32), "key", "ef" * 32),
            (("chip", "nvidia", "163123ABC456789012"), "chip", "nvidia"),
            (("handle", "chip", "AB" * 32), "chip", ""),
        ],
        ids=" ".join,
    )
    def test_each_kind(
        self, operator: Operator, words: tuple[str, ...], kind: str, subject: str
    ) -> None:
        done = operator.good("revoke", *words, "--json").json()
        assert (done["kind"], done["subject"], done["reason"]) == (kind, subject, "unspecified")

    def test_a_certificate(self, operator: Operator) -> None:
        serial = f"{operator.at.issued[0]:x}"
        before = operator.good("certs", "show", serial).out
        lines = [line.split() for line in before.splitlines()]
        assert ["revoked", "no"] in lines
        assert ["measurement", SHARED] in lines
        operator.good("revoke", "certificate", serial.upper(), "--reason", "keyCompromise")
        after = operator.good("certs", "show", serial).out
        assert f"keyCompromise: certificate {serial}" in after

    def test_the_key_of_a_file(self, operator: Operator) -> None:
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        spki = PublicFormat.SubjectPublicKeyInfo
        Path("key.pem").write_bytes(key.public_bytes(Encoding.PEM, spki))
        done = operator.good("revoke", "key", "key.pem", "--json").json()
        assert done["subject"] == sha256(key.public_bytes(Encoding.DER, spki)).hexdigest()

    def test_the_key_of_a_certificate(self, operator: Operator) -> None:
        root = operator.at.place.open().root()
        Path("cert.pem").write_bytes(root.public_bytes(Encoding.PEM))
        der = root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        done = operator.good("revoke", "key", "cert.pem", "--dry-run", "--json").json()
        assert done["handle"] == handle(HandleKind.KEY, sha256(der).digest()).hex()

    def test_a_hardware_id_from_standard_input(self, operator: Operator) -> None:
        """So that it stands in no list of processes; and it is shown nowhere."""
        Path("ppid").write_text(f"{PPID}\n")
        kept = os.dup(0)
        try:
            with Path("ppid").open("rb") as file:
                os.dup2(file.fileno(), 0)
            done = operator.good("revoke", "chip", "ppid", "-")
        finally:
            os.dup2(kept, 0)
            os.close(kept)
        assert PPID not in done.out + done.err
        again = operator.good("revoke", "chip", "ppid", PPID, "--json").json()
        assert (again["again"], again["subject"]) == (True, "ppid")
        assert PPID not in operator.good("actions", "list", "--json").out


class TestDryRun:
    def test_what_it_would_take(self, operator: Operator) -> None:
        done = operator.good("revoke", "handle", SHARED, "--dry-run")
        assert "certificates  2\n" in done.out
        assert "The last to expire\nserial" in done.out
        for serial in operator.at.issued:
            assert f"{serial:x}" in done.out
        assert "dns:[red]db.example.org" in done.out
        assert "revoked       no" in done.out
        seen = operator.good("revoke", "handle", SHARED, "--dry-run", "--json").json()
        assert (seen["kind"], seen["count"], seen["revoked"]) == ("measurement", 2, None)

    def test_nothing_has_it(self, operator: Operator) -> None:
        done = operator.good("revoke", "product", "Turin", "--dry-run")
        assert "certificates  0" in done.out
        assert done.err == "no certificate on record, expired or not, has depended on it\n"
        operator.good("revoke", "product", "Turin")
        assert "unspecified" in operator.good("revoke", "product", "Turin", "--dry-run").out


class TestRefused:
    @pytest.mark.parametrize(
        "words",
        [
            ("product",),
            ("product", "a", "b"),
            ("chip", "ppid"),
            ("measurement", "mr_td"),
            ("handle", "chip", "ab" * 32, "more"),
            ("nothing", "x"),
            ("product", "Milan", "--reason", "certificateHold"),
        ],
        ids=" ".join,
    )
    def test_usage(self, operator: Operator, words: tuple[str, ...]) -> None:
        done = operator("revoke", *words)
        assert (done.code, done.out) == (64, "")

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("product", "Naples"), "malformed: value: no certificate could name this"),
            (("certificate", "1234"), "not-found: this serial number was never used here"),
            (("policy", "nobody@1"), "not-found: there is no such version"),
            (("handle", "12" * 32), "malformed: kind: no certificate has had this handle"),
        ],
        ids=str,
    )
    def test_by_the_service(self, operator: Operator, words: tuple[str, ...], told: str) -> None:
        done = operator("revoke", *words)
        assert done.code == 1
        assert done.err.startswith(f"attestca: {told}")

    def test_a_file_that_has_no_key(self, operator: Operator) -> None:
        Path("none.pem").write_text("nothing")
        for name in ("none.pem", "missing.pem"):
            done = operator("revoke", "key", name)
            assert done.code == 66
            assert name in done.err

    def test_each_needs_its_scope(
        self, cli: Cli, operator: Operator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def use(*scopes: Scope) -> None:
            given = [word for scope in scopes for word in ("--scope", scope.value)]
            token = cli.good(
                *("token", "create", "some", *given, "--expires", "1h"),
                *("--config", operator.at.place.path),
            ).out.strip()
            monkeypatch.setenv("ATTESTCA_TOKEN", token)

        use(Scope.REVOCATIONS_READ)
        operator.good("revocations")
        operator.good("revoke", "product", "Genoa", "--dry-run")
        assert operator("revoke", "product", "Genoa").err.startswith("attestca: scope: ")
        use(Scope.REVOCATIONS_WRITE)
        assert operator("revocations").err.startswith("attestca: scope: ")
        assert operator("revoke", "product", "Genoa", "--dry-run").code == 1
        operator.good("revoke", "product", "Genoa")


class TestRevocations:
    def test_the_table_and_its_pages(self, operator: Operator) -> None:
        operator.good("revoke", "product", "fmspc:00112233aabb", "--note", "for the table")
        operator.good("revoke", "product", "fmspc:00112233aabc", "--reason", "superseded")
        done = operator.good("revocations", "--limit", "1")
        assert done.out.startswith("Revocations\nid")
        assert "fmspc:00112233aabc" in done.out
        assert "superseded" in done.out
        before = done.err.removeprefix("More: --before ").strip()
        older = operator.good("revocations", "--limit", "1", "--before", before, "--json").json()
        (one,) = older["revocations"]
        assert (one["subject"], one["note"]) == ("fmspc:00112233aabb", "for the table")
        assert operator.good("revocations", "--before", "1").out == "Revocations: none\n"
