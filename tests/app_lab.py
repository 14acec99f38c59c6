# SPDX-License-Identifier: Apache-2.0
"""The service as `attestca serve` puts it together, in the test's own process, with a fake Intel at hand.

    async with open_app(folder, database_url, clock) as app:
        reply = await app.enroll()

Configuration, folder of keys, database, jobs and both listeners are the real ones. Two things are the test's: the
clock, and how often the passphrase is stretched, which would take longer than everything else together.
"""

from __future__ import annotations

import base64
import io
import json
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import aiohttp
import jsonschema
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from attestca_client.protocol import binding
from ca import policy_admin, tokens
from ca.app import service as composition
from ca.app.keys import authority_of, description_of
from ca.app.log import log_host
from ca.app.serve import server_context
from ca.config import Config
from ca.http import admin_application, openapi, public_application, runner
from ca.issuance import csr
from ca.issuance.authority import Authority
from ca.issuance.request import Assurance, shard_of, shard_url
from ca.ports import OperatorAction, TokenRecord
from ca.signers import file
from ca.signers.folder import KeyFolder
from ca.signers.log import add_log_key
from simulator import pcs
from simulator.intel import FakeIntel
from simulator.machine import register
from simulator.pki import pem
from simulator.tdx_policies import POLICY
from tests.authority_lab import make_csr
from tests.service_lab import Reply, body_of
from tests.vendor_lab import Clock

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ed25519

    from ca.http import Doors
    from ca.ports import PolicyRecord
    from simulator.machine import Platform
    from simulator.pcs import FakePcs

PASSPHRASE = b"marked passphrase of the app lab"
URL = "https://ca.example.org"
IMAGE = dict(
    zip(
        ("mr_td", "rtmr0", "rtmr1", "rtmr2"),
        ("firmware", "configuration", "kernel", "initrd and command line"),
        strict=True,
    )
)
GENEROUS = {"requests_per_minute": 60_000, "burst": 10_000}


def problem_of(reply: Reply, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, which has the documented shape."""
    document = json.loads(openapi.document_bytes())
    schema = {"$ref": "#/components/schemas/ProblemAnswer", "components": document["components"]}
    assert reply.headers["Content-Type"] == "application/problem+json", reply
    problem = reply.json()
    jsonschema.Draft202012Validator(schema).validate(problem)
    assert (reply.status, problem["status"], problem["code"]) == (status, status, code), problem
    assert ("Retry-After" in reply.headers) == (status in {429, 503})
    return problem


def cheap_passphrases() -> None:
    """Stretch passphrases for this process as little as scrypt allows."""
    file._N = 2


@dataclass(repr=False)  # asyncio has a fixture's value written out twice, for nobody
class App:
    """One running service. `replace_doors` starts its listeners anew with the doors as they are then."""

    config: Config
    service: composition.Service
    clock: Clock
    intel: FakeIntel
    machine: Platform
    pcs: FakePcs
    session: aiohttp.ClientSession
    stack: AsyncExitStack
    tls: ssl.SSLContext
    doors: Doors
    public: str = ""
    admin: str = ""

    async def run_job(self, name: str, now: datetime | None = None) -> None:
        """One of the service's jobs, once."""
        (job,) = (job for job in self.service.jobs(self.tls) if job.name == name)
        await job.run(now or self.clock())

    # requests

    async def send(self, method: str, url: str, **options: Any) -> Reply:  # noqa: ANN401 - aiohttp's
        async with self.session.request(method, url, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str) -> Reply:
        return await self.send("GET", self.public + path)

    async def crl(
        self, issuer_key_id: bytes, not_after: datetime
    ) -> x509.CertificateRevocationList:
        """What is served for certificates of that issuing CA that end then."""
        reply = await self.get(shard_url("", issuer_key_id, shard_of(not_after)))
        assert reply.status == 200, reply.body
        return x509.load_der_x509_crl(reply.body)

    async def nonce(self) -> bytes:
        return base64.b64decode((await self.get("/v1/nonce")).json()["nonce"])

    async def post(self, body: bytes) -> Reply:
        headers = {"Content-Type": "application/json"}
        url = self.public + "/v1/enrollments"
        return await self.send("POST", url, data=io.BytesIO(body), headers=headers)

    async def enroll(self, **fields: Any) -> Reply:  # noqa: ANN401 - of `body`
        """A whole enrollment of the usual machine."""
        return await self.post(self.body(await self.nonce(), **fields))

    def body(
        self,
        nonce: bytes,
        *,
        key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | None = None,
        machine: Platform | None = None,
        profile: str = "default",
        logs: Sequence[tuple[str, bytes]] = (),
        **fields: Any,  # noqa: ANN401 - go to Platform.quote
    ) -> bytes:
        """What an honest client sends; `fields` alter the quote, `logs` go along."""
        request_der = make_csr(key or ec.generate_private_key(ec.SECP256R1()))
        report_data = binding(
            ca_id=self.service.authority.ca_id,
            profile=profile,
            nonce=nonce,
            spki_der=csr.parse(request_der).spki_der,
        )
        quote = (machine or self.machine).quote(**{"report_data": report_data} | fields)
        return body_of(nonce, request_der, [("tdx-quote", quote), *logs], profile=profile)

    # operators

    async def token(self, *scopes: tokens.Scope) -> str:
        made = tokens.make(secrets.token_bytes(32))
        now = self.clock()
        record = TokenRecord(
            made.id,
            made.id,
            made.sha256,
            frozenset(scopes),
            now,
            now + timedelta(days=1),
            None,
            None,
        )
        action = OperatorAction(now, "cli:test", "token.create", made.id, "{}")
        await self.service.store.add_token(record, action)
        return made.text

    async def operate(self, token: str, path: str) -> Reply:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.send("GET", self.admin + path, headers=headers)

    async def accept_image(self, text: str = "") -> PolicyRecord:
        """A policy for the image that the machine runs, in force."""
        values = {name: register(f"simulated {what}").hex() for name, what in IMAGE.items()}
        text = text or POLICY.format(**values)
        store, now = self.service.store, self.clock()
        record = await policy_admin.add_version(text.encode(), store, "cli:test", now)
        await policy_admin.activate(record.name, record.version, store, "cli:test", now)
        return record

    # listeners

    async def listen(self) -> None:
        self.doors = self.service.doors()
        self.public = await self._listen(public_application(self.doors), self.tls)
        self.admin = await self._listen(admin_application(self.doors), None)

    async def _listen(self, application: web.Application, tls: ssl.SSLContext | None) -> str:
        serving = runner(application)
        await serving.setup()
        self.stack.push_async_callback(serving.cleanup)
        await web.TCPSite(serving, "127.0.0.1", 0, ssl_context=tls).start()
        return f"http{'s' if tls else ''}://127.0.0.1:{serving.addresses[0][1]}"


def make_config(
    folder: Path,
    database_url: str,
    *,
    vendor: str,
    root_pem: str,
    more: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
    **limits: int,
) -> Config:
    """A configuration with its files; keys are not made. `more`: by section, over what the lab says itself."""
    (folder / "intel.pem").write_text(root_pem)
    (folder / "passphrase").write_bytes(PASSPHRASE)
    (folder / "passphrase").chmod(0o600)
    tree: dict[str, dict[str, object]] = {
        "server": {"public_url": URL, "listen": "127.0.0.1:0"},
        "admin": {"listen": "127.0.0.1:0"},
        "database": {"url": database_url},
        "ca": {"passphrase": "file:passphrase", "simulated_anchors": "intel.pem"},
        "collateral": {
            "pcs_base_url": vendor,
            "root_crl_url": f"{vendor}/IntelSGXRootCA.der",
            "allow_private_hosts": "127.0.0.1",
        },
        "limits": {**GENEROUS, **limits},
    }
    for section, values in more.items():
        tree[section] = tree.get(section, {}) | dict(values)
    return Config.model_validate(tree, context={"folder": folder})


def make_keys(config: Config, now: datetime, assurance: Assurance = Assurance.SIMULATED) -> None:
    """What `init` makes."""
    of = Authority("Example", assurance, config.server.public_url, config.ca.oid_arc)
    folder = KeyFolder(config.ca.directory, PASSPHRASE, secrets.token_bytes)
    folder.create(of, now)
    add_log_key(folder, log_host(config))


def install_issuing(config: Config, now: datetime) -> None:
    """What `issuer request`, `sign` and `install` do."""
    folder = KeyFolder(config.ca.directory, PASSPHRASE, secrets.token_bytes)
    of = description_of(config, folder.root())
    certificate, crl = folder.sign_issuing(folder.request_issuing(), of, now)
    folder.install_root_crl(crl)
    folder.install_issuing(certificate)


@asynccontextmanager
async def open_app(
    folder: Path,
    database_url: str,
    clock: Clock | None = None,
    more: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
    /,
    **limits: int,
) -> AsyncIterator[App]:
    """A simulated authority with a policy for the machine's image, its CRLs published, listening.

    `more`: configuration by section, over what the lab says itself.
    """
    clock = clock or Clock(datetime.now(UTC).replace(microsecond=0))
    intel = FakeIntel.create(clock(), seed=b"app lab")
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(pcs.running(intel))
        config = make_config(
            folder,
            database_url,
            vendor=vendor.base_url,
            root_pem=pem(intel.root_der),
            more=more,
            **limits,
        )
        if not config.ca.directory.exists():
            make_keys(config, clock())
        service = await stack.enter_async_context(composition.opened(config))
        assert authority_of(config, service.keys.root).assurance is Assurance.SIMULATED
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, limit=0))
        )
        tls = server_context(service.keys)
        app = App(
            config,
            service,
            clock,
            intel,
            intel.platform(),
            vendor,
            session,
            stack,
            tls,
            service.doors(),
        )
        await app.run_job("certificates")
        if not await service.store.policies():
            await app.accept_image()
        await app.listen()
        yield app
