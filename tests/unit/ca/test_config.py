# SPDX-License-Identifier: Apache-2.0
"""The configuration: the template and the model are one, every fault is said at once, secrets are not."""

from __future__ import annotations

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from sqlalchemy.engine import URL, make_url

from ca.config import (
    Config,
    Listen,
    PassphraseSource,
    default_path,
    load,
    read_passphrase,
    template,
)
from ca.errors import ConfigurationError
from verifiers.google import GoogleSource
from verifiers.nvidia.endorsements import NvidiaSource
from verifiers.registry import Sources
from verifiers.snp.endorsements import KdsSource
from verifiers.tdx.endorsements import PcsSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PUBLIC_URL = "https://ca.example:8443"
CHAIN: dict[str, object] = {
    "rpc": ["https://node.example.org/key"],
    "chain_id": 204,
    "admin": "0x" + "ad" * 20,
    "gas_keystore": "gas.json",
}
SECRET = "canary-hunter2"  # noqa: S105 - what must not be repeated


def write(folder: Path, text: str) -> Path:
    path = folder / "attestca.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Config]:
    """Load these values over the defaults, with this environment."""

    def read(values: Mapping[str, Mapping[str, object]] | None = None, **environ: str) -> Config:
        text = template({"server": {"public_url": PUBLIC_URL}} | dict(values or {}))
        return load(write(tmp_path, text), environ)

    return read


@pytest.fixture
def faults(tmp_path: Path) -> Callable[..., list[str]]:
    """The faults of this file's text and this environment."""

    def faults(text: str, **environ: str) -> list[str]:
        path = write(tmp_path, text)
        with pytest.raises(ConfigurationError) as caught:
            load(path, environ)
        assert caught.value.__cause__ is None
        assert SECRET not in str(
            caught.value.__context__
        )  # the library's error, in a debugger's view
        return caught.value.detail.replace(str(path), "FILE").splitlines()

    return faults


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{prefix}.{name}".strip("."))
        else:
            yield prefix, name


class TestTemplate:
    def test_loads_back_to_the_defaults(self, tmp_path: Path) -> None:
        minimal = write(tmp_path, f'[server]\npublic_url = "{PUBLIC_URL}"\n')
        expected = load(minimal, {})
        full = write(tmp_path, template({"server": {"public_url": PUBLIC_URL}}))
        assert load(full, {}) == expected
        assert load(full, {}).digest() == expected.digest()

    def test_holds_every_key_of_the_model_with_a_description(self) -> None:
        text = template({"server": {"public_url": PUBLIC_URL}})
        tables = dict(
            re.findall(r"^\[([a-z_.]+)\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
        )
        for section, key in keys(Config):
            assert re.search(rf"^# .+\n(# )?{key} = ", tables[section], re.MULTILINE), key

    def test_examples_of_keys_without_a_value_are_valid(self, read: Callable[..., Config]) -> None:
        text = template({"server": {"public_url": PUBLIC_URL}})
        shown = re.findall(r'^\[(.+)\]$|^# (\w+) = "(.*)"$', text, re.MULTILINE)
        section, checked = "", set()
        for name, key, value in shown:
            section = name or section
            if key:
                needed = CHAIN if key == "contract" else {}
                config = getattr(read({section: needed | {key: value}}), section)
                assert str(getattr(config, key)).endswith(value)
                checked.add(section)
        assert checked == {"chain", "collateral", "policies"}

    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
    def test_any_text_survives(self, text: str) -> None:
        values: dict[str, dict[str, object]] = {
            "server": {"public_url": PUBLIC_URL},
            "ca": {"directory": text, "simulated_anchors": [text]},
        }
        assert tomllib.loads(template(values))["ca"]["directory"] == text
        assert tomllib.loads(template(values))["ca"]["simulated_anchors"] == [text]

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({}, "server.public_url: required"),
            ({"srever": {}}, "no such section: srever"),
            ({"server": {"public_url": PUBLIC_URL, "lisen": 1}}, "no such key in server: lisen"),
            (
                {"server": {"public_url": PUBLIC_URL}, "collateral": {"refresh_hours": {"x": 1}}},
                "no such key in collateral.refresh_hours: x",
            ),
        ],
    )
    def test_refuses_what_would_be_lost(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            template(values)


class TestFaults:
    def test_all_are_said_at_once_with_their_place(self, faults: Callable[..., list[str]]) -> None:
        text = f"""
            surprise = 1
            [server]
            public_url = "http://ca.example"
            lisen = "127.0.0.1:1"
            [ca]
            passphrase = "{SECRET}"
            oid_arc = "2.25.340282366920938463463374607431768211455"
            [database]
            url = "mysql://root:{SECRET}@host/db"
            [limits]
            workers = 0
            [log]
            level = "loud"
            [collateral.refresh_hours]
            pck_crl = "often"
        """
        lines = faults(text, ATTESTCA_ADMIN__LISTEN="nowhere", ATTESTCA_LOG__COLOUR="red")
        assert {line.split(": ")[0]: True for line in lines}.keys() == {
            "FILE",
            "ATTESTCA_ADMIN__LISTEN",
            "ATTESTCA_LOG__COLOUR",
        }
        assert {line.split(": ")[1] for line in lines} == {
            "surprise",
            "server.public_url",
            "server.lisen",
            "ca.passphrase",
            "ca.oid_arc",
            "database.url",
            "limits.workers",
            "log.level",
            "collateral.refresh_hours.pck_crl",
            "admin.listen",
            "log.colour",
        }
        assert len(lines) == 11
        assert SECRET not in "".join(lines)
        assert "FILE: surprise: unknown" in lines

    def test_nothing_at_all(self, faults: Callable[..., list[str]]) -> None:
        assert faults("") == ["FILE: server.public_url: required"]

    def test_a_section_that_is_none(self, faults: Callable[..., list[str]]) -> None:
        lines = faults("server = 3", ATTESTCA_SERVER__PUBLIC_URL=PUBLIC_URL)
        assert [line.split(": ")[1] for line in lines] == ["server"]

    def test_not_toml(self, faults: Callable[..., list[str]]) -> None:
        (line,) = faults("[server\n")
        assert "line 1" in line

    def test_not_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.toml").write_bytes(b"\xff")
        with pytest.raises(ConfigurationError):
            load(tmp_path / "a.toml", {})

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="attestca init"):
            load(tmp_path / "a.toml", {})
        with pytest.raises(ConfigurationError, match="directory"):
            load(tmp_path, {})

    @pytest.mark.parametrize(
        ("section", "key", "value"),
        [
            ("server", "public_url", "https://CA.example"),
            ("server", "public_url", "https://user@ca.example"),
            ("server", "public_url", "https://ca.example/?a=b"),
            ("server", "listen", "8443"),
            ("server", "listen", "host:65536"),
            ("server", "listen", "::1:80"),
            ("server", "trusted_proxies", ["10.0.0.1/8"]),
            ("database", "url", "sqlite:///"),
            ("database", "url", "sqlite:///:memory:"),
            ("database", "url", "sqlite:///a.db?mode=ro"),
            ("database", "url", "sqlite://"),
            ("database", "url", "postgresql:///db"),
            ("database", "url", "postgres://host/db"),
            ("ca", "directory", ""),
            ("ca", "passphrase", "env:"),
            ("ca", "passphrase", "env:a b"),
            ("ca", "passphrase", "file:"),
            ("ca", "passphrase", "fd:-1"),
            ("ca", "passphrase", "pass:secret"),
            ("ca", "oid_arc", "1.3"),
            ("ca", "oid_arc", "1.3.6.01.4"),
            ("ca", "oid_arc", "1.3.6.2147483648"),
            ("collateral", "pcs_base_url", "http://pccs.example"),
            ("collateral", "pcs_base_url", "https://127.0.0.1:8081"),
            ("collateral", "pcs_base_url", "https://[fd00::1]"),
            ("collateral", "pcs_base_url", "file:///collateral"),
            ("collateral", "root_crl_url", "http://8.8.8.8/root.crl"),
            ("collateral", "kds_base_url", "http://kdsintf.amd.com"),
            ("collateral", "kds_base_url", "https://10.0.0.1"),
            ("collateral", "update", "latest"),
            ("collateral", "budget_seconds", 0),
            ("collateral", "stale_hours", 100_000),
            ("limits", "body_bytes", 1 << 30),
            ("limits", "burst", 0),
            ("retention", "refusal_days", -1),
            ("log", "format", "xml"),
        ],
    )
    def test_values_that_are_refused(
        self, read: Callable[..., Config], section: str, key: str, value: object
    ) -> None:
        values: dict[str, dict[str, object]] = {"server": {"public_url": PUBLIC_URL}}
        values.setdefault(section, {})[key] = value
        with pytest.raises(ConfigurationError, match=rf": {section}\.{key}") as caught:
            read(values)
        assert len(caught.value.detail.splitlines()) == 1

    def test_a_private_or_plain_pccs_must_be_named(self, read: Callable[..., Config]) -> None:
        for host in ("pccs.example", "127.0.0.1", "[::1]"):
            allowed = {
                "allow_private_hosts": [host.strip("[]")],
                "pcs_base_url": f"http://{host}:8081/",
            }
            config = read({"collateral": allowed})
            assert config.collateral.pcs_base_url == f"http://{host}:8081"
            assert all(
                origin.private == (origin.host == host) for origin in config.collateral.origins
            )


class TestEnvironment:
    def test_overrides_the_file_in_every_kind_of_value(self, read: Callable[..., Config]) -> None:
        config = read(
            {"log": {"level": "debug"}},
            ATTESTCA_SERVER__LISTEN="[::]:0",
            ATTESTCA_SERVER__SERVER_NAMES="ca.example,10.0.0.1",
            ATTESTCA_COLLATERAL__REFRESH_HOURS__PCK_CRL="0.5",
            ATTESTCA_COLLATERAL__PCCS="true",
            ATTESTCA_LIMITS__WORKERS="4",
            ATTESTCA_LOG__LEVEL="error",
            ATTESTCA_CA__SIMULATED_ANCHORS="a.pem,/b.pem",
            ATTESTCA_ADMIN__TRUSTED_PROXIES="",
        )
        assert config.server.listen == Listen("::", 0)
        assert config.server.server_names == ("ca.example", "10.0.0.1")
        assert config.collateral.refresh_after["pck_crl"] == timedelta(minutes=30)
        assert config.collateral.pccs is True
        assert config.limits.workers == 4
        assert config.log.level == "error"
        assert [path.name for path in config.ca.simulated_anchors] == ["a.pem", "b.pem"]
        assert config.ca.simulated_anchors[1] == Path("/b.pem")
        assert config.admin.trusted_proxies == ()

    def test_other_variables_are_left_alone(self, read: Callable[..., Config]) -> None:
        plain = read()
        assert read(ATTESTCA_PASSPHRASE=SECRET, ATTESTCA_CONFIG="x", OTHER__KEY="x") == plain

    def test_unknown_overrides_are_refused(self, faults: Callable[..., list[str]]) -> None:
        text = template({"server": {"public_url": PUBLIC_URL}})
        assert faults(text, ATTESTCA_SERVER__LISEN=SECRET, ATTESTCA_SREVER__LISTEN=SECRET) == [
            "ATTESTCA_SERVER__LISEN: server.lisen: unknown",
            "ATTESTCA_SREVER__LISTEN: srever: unknown",
        ]

    def test_the_processes_own_is_read_where_none_is_given(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path, template({"server": {"public_url": PUBLIC_URL}}))
        monkeypatch.setenv("ATTESTCA_LOG__LEVEL", "warning")
        assert load(path).log.level == "warning"
        monkeypatch.setenv("ATTESTCA_CONFIG", str(path))
        assert default_path() == path
        assert default_path({}) == Path("attestca.toml")


class TestConfig:
    def test_paths_are_relative_to_the_file(
        self, read: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir("/")
        config = read({"ca": {"passphrase": "file:secrets/pass"}})
        assert config.ca.directory == tmp_path / "ca"
        assert config.ca.passphrase == PassphraseSource("file", f"{tmp_path}/secrets/pass")
        assert config.database.url.get_secret_value() == f"sqlite:///{tmp_path}/attestca.db"
        absolute = read({"database": {"url": "sqlite:////var/lib/attestca.db"}})
        assert absolute.database.url.get_secret_value() == "sqlite:////var/lib/attestca.db"

    def test_what_is_accepted_is_a_database_url(
        self, read: Callable[..., Config], tmp_path: Path
    ) -> None:
        def parsed(url: str) -> URL:
            return make_url(read({"database": {"url": url}}).database.url.get_secret_value())

        assert parsed("sqlite:///a.db").database == f"{tmp_path}/a.db"
        server = parsed("postgresql://u:p%40@[::1]:5432/db?ssl=require")
        assert (server.host, server.password, server.database) == ("::1", "p@", "db")

    def test_is_frozen(self, read: Callable[..., Config]) -> None:
        with pytest.raises(ValidationError):
            read().log.level = "debug"

    def test_server_names_come_from_the_public_url(self, read: Callable[..., Config]) -> None:
        assert read().server.names == ("ca.example",)
        assert read({"server": {"public_url": "https://[::1]:8443/ca/"}}).server.names == ("::1",)
        named = read({"server": {"public_url": PUBLIC_URL, "server_names": ["a.example"]}})
        assert named.server.names == ("a.example",)

    @pytest.mark.parametrize(
        ("listen", "proxies", "plain"),
        [
            ("127.0.0.1:8444", [], True),
            ("[::1]:8444", [], True),
            ("localhost:8444", [], True),
            ("0.0.0.0:8444", [], False),
            ("admin.example:8444", [], False),
            ("0.0.0.0:8444", ["10.0.0.7"], True),
        ],
    )
    def test_plain_http_for_operators(
        self, read: Callable[..., Config], listen: str, proxies: list[str], *, plain: bool
    ) -> None:
        config = read({"admin": {"listen": listen, "trusted_proxies": proxies}})
        assert config.admin.is_plain_http is plain
        assert str(config.admin.listen) == listen

    def test_where_collateral_comes_from(self, read: Callable[..., Config]) -> None:
        default = read().collateral
        assert default.sources == Sources(PcsSource(), KdsSource())
        assert [origin.host for origin in default.origins] == [
            "api.trustedservices.intel.com",
            "certificates.trustedservices.intel.com",
            "kdsintf.amd.com",
            "storage.googleapis.com",
            "rim.attestation.nvidia.com",
            "ocsp.ndis.nvidia.com",
            "nras.attestation.nvidia.com",
        ]
        assert {origin.scheme for origin in default.origins} == {"https"}
        assert default.refresh_after.keys() == {
            "tcb_info",
            "qe_identity",
            "pck_crl",
            "root_ca_crl",
            "crl",
            "google_root_crl",
            "rim",
            "ocsp-device",
            "ocsp-rim",
            "nras-jwks",
        }
        assert default.refresh_after["ocsp-device"] == timedelta(hours=1)

    def test_mirrors_of_the_vendors(self, read: Callable[..., Config]) -> None:
        mirrors = {
            "pcs_base_url": "https://pccs.example:8081",
            "pccs": True,
            "update": "early",
            "kds_base_url": "https://kds.example/amd/",
            "google_root_crl_url": "https://crl.example/google.crl",
            "nvidia_rim_base_url": "https://nvidia.example/rims/",
            "nvidia_ocsp_url": "https://nvidia.example/ocsp",
            "nras_base_url": "https://nras.example",
        }
        mirrored = read({"collateral": mirrors}).collateral
        assert mirrored.sources == Sources(
            PcsSource.pccs("https://pccs.example:8081", "early"),
            KdsSource("https://kds.example/amd"),
            NvidiaSource(
                "https://nvidia.example/rims", "https://nvidia.example/ocsp", "https://nras.example"
            ),
            GoogleSource("https://crl.example/google.crl"),
        )
        assert [origin.key for origin in mirrored.origins] == [
            ("https", "pccs.example", 8081),
            ("https", "kds.example", 443),
            ("https", "crl.example", 443),
            ("https", "nvidia.example", 443),
            ("https", "nras.example", 443),
        ]
        elsewhere = read({"collateral": mirrors | {"root_crl_url": "https://crl.example/root"}})
        assert elsewhere.collateral.sources.intel.root_crl_url == "https://crl.example/root"

    def test_digest_follows_values_and_holds_no_secret(self, read: Callable[..., Config]) -> None:
        def at(url: str) -> Config:
            return read({"database": {"url": url}})

        one, two = at(f"postgresql://u:{SECRET}@h/db"), at("postgresql://u:other@h/db?password=x")
        assert re.fullmatch("[0-9a-f]{64}", one.digest())
        assert one.digest() == two.digest()
        assert one.digest() != at("postgresql://u:other@h2/db").digest()
        assert one.digest() != read().digest()
        assert SECRET not in f"{one!r} {one} {one.model_dump_json()} {one.model_dump()}"


class TestPassphrase:
    @pytest.mark.parametrize(
        ("text", "passphrase"),
        [("secret", b"secret"), ("secret\n", b"secret"), ("a\r\n", b"a"), (" a \n\n", b" a \n")],
    )
    def test_one_newline_is_not_part_of_it(
        self, read: Callable[..., Config], tmp_path: Path, text: str, passphrase: bytes
    ) -> None:
        file = tmp_path / "pass"
        file.write_bytes(text.encode())
        file.chmod(0o640)
        assert read_passphrase(read({"ca": {"passphrase": "file:pass"}})) == passphrase
        assert read_passphrase(read(), {"ATTESTCA_PASSPHRASE": text}) == passphrase
        reader, writer = os.pipe()
        os.write(writer, text.encode())
        os.close(writer)
        assert read_passphrase(read({"ca": {"passphrase": f"fd:{reader}"}})) == passphrase
        with pytest.raises(ConfigurationError):  # closed behind it
            read_passphrase(read({"ca": {"passphrase": f"fd:{reader}"}}))

    def test_the_processes_own_variable(
        self, read: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KEYS", "secret")
        assert read_passphrase(read({"ca": {"passphrase": "env:KEYS"}})) == b"secret"
        monkeypatch.delenv("KEYS")
        with pytest.raises(ConfigurationError, match="not set"):
            read_passphrase(read({"ca": {"passphrase": "env:KEYS"}}))

    @pytest.mark.parametrize("text", ["", "\n", "\r\n", "x" * 1025])
    def test_empty_or_endless(self, read: Callable[..., Config], text: str) -> None:
        with pytest.raises(ConfigurationError, match=r"ca\.passphrase"):
            read_passphrase(read(), {"ATTESTCA_PASSPHRASE": text})

    @pytest.mark.parametrize("mode", [0o644, 0o602, 0o601])
    def test_a_file_that_others_can_use(
        self, read: Callable[..., Config], tmp_path: Path, mode: int
    ) -> None:
        (tmp_path / "pass").write_text(SECRET)
        (tmp_path / "pass").chmod(mode)
        with pytest.raises(ConfigurationError, match="chmod") as caught:
            read_passphrase(read({"ca": {"passphrase": "file:pass"}}))
        assert SECRET not in caught.value.detail

    def test_a_link_to_a_good_file_and_things_that_are_no_file(
        self, read: Callable[..., Config], tmp_path: Path
    ) -> None:
        config = read({"ca": {"passphrase": "file:pass"}})
        with pytest.raises(ConfigurationError, match="No such file"):
            read_passphrase(config)
        os.mkfifo(tmp_path / "fifo", 0o600)
        (tmp_path / "secret").write_text("secret")
        (tmp_path / "secret").chmod(0o400)
        for target in (tmp_path, tmp_path / "fifo"):
            (tmp_path / "pass").symlink_to(target)
            with pytest.raises(ConfigurationError, match="regular file"):
                read_passphrase(config)
            (tmp_path / "pass").unlink()
        (tmp_path / "pass").symlink_to("secret")
        assert read_passphrase(config) == b"secret"
