# SPDX-License-Identifier: Apache-2.0
"""A whole service on loopback: real listeners, a real database, real keys, a fake Intel that answers over HTTP.

    async with open_service(database_url) as service:
        reply = await service.post(service.request(await service.nonce()))

The clock is the test's. Replicas share database, keys and clock, as they do behind a load balancer.
"""

from __future__ import annotations

import base64
import itertools
import json
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestca_client.protocol import binding
from ca import jobs, policy_admin, tokens
from ca.authority import Authority, Issuing
from ca.fetch.cache import CacheLimits, CollateralCache
from ca.fetch.client import ClientLimits, FetchClient, tls_context
from ca.fetch.endorser import CachingEndorser
from ca.fetch.origins import Origin
from ca.http import DoorLimits, Doors, admin_application, public_application, runner
from ca.issuance import csr, ear
from ca.issuance.request import Assurance, root_crl_url
from ca.policy_admin import ActivePolicies
from ca.ports import OperatorAction, TokenRecord
from ca.signers.file import FileSigner
from ca.store.sql import SqlStore
from ca.tree_history import TreeHistory
from policies.capture import capture_policy
from simulator import pcs
from simulator.intel import FakeIntel
from tests.authority_lab import NOW, Lab, make_csr, make_lab
from tests.ocsp_lab import responder
from tests.vendor_lab import Clock
from verifiers import registry
from verifiers.anchors import Anchor, Anchors
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.tdx.endorsements import PcsSource

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable, Mapping

    from ca.issuance.ear import EarKey
    from ca.issuance.ocsp import Responder
    from simulator.machine import Platform
    from simulator.pcs import FakePcs

GENEROUS = DoorLimits(requests_per_minute=60_000, burst=10_000)
NONCE_KEY, CHIP_KEY = bytes(range(32)), bytes(range(32, 64))
_TLS = tls_context()  # reading the system's authorities takes a while
_names = itertools.count(1)


class CountingSigner(FileSigner):
    """A signer that knows how often it was asked."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab.issuer_key, lab.issuer.certificate, lab.root)
        self.asked = 0

    async def sign(self, tbs_der: bytes) -> bytes:
        self.asked += 1
        return await super().sign(tbs_der)


@dataclass(frozen=True)
class Reply:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value

    @property
    def code(self) -> str:
        code: str = self.json()["code"]
        return code


@dataclass(repr=False)
class Replica:
    """One process's worth: doors, and where they listen."""

    doors: Doors
    store: SqlStore
    public: str = ""
    admin: str = ""


@dataclass(repr=False)
class Service:
    """What a test holds in its hands; `doors`, `public`, `admin` and `store` are the first replica's."""

    lab: Lab
    clock: Clock
    intel: FakeIntel
    machine: Platform
    pcs: FakePcs
    signer: CountingSigner
    ear_key: EarKey
    responder: Responder
    session: aiohttp.ClientSession
    limits: DoorLimits
    stack: AsyncExitStack
    replicas: list[Replica] = field(default_factory=list)

    @property
    def doors(self) -> Doors:
        return self.replicas[0].doors

    @property
    def store(self) -> SqlStore:
        return self.replicas[0].store

    @property
    def public(self) -> str:
        return self.replicas[0].public

    @property
    def admin(self) -> str:
        return self.replicas[0].admin

    @property
    def ca_id(self) -> bytes:
        key = self.lab.root.public_key()
        return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()

    @property
    def anchors(self) -> Anchors:
        return Anchors(Anchor.from_der(self.intel.root_der))

    # requests

    async def send(self, method: str, url: str, **options: Any) -> Reply:  # noqa: ANN401 - aiohttp's
        async with self.session.request(method, url, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Reply:  # noqa: ANN401 - aiohttp's
        return await self.send("GET", self.public + path, **options)

    async def nonce(self) -> bytes:
        return base64.b64decode((await self.get("/v1/nonce")).json()["nonce"])

    async def post(self, body: bytes, *, to: str = "", **headers: str) -> Reply:
        wanted = {"Content-Type": "application/json"} | headers
        return await self.send(
            "POST", (to or self.public) + "/v1/enrollments", data=body, headers=wanted
        )

    async def enrolled(self) -> Reply:
        """A certificate for a new key on the usual machine."""
        reply = await self.post(self.request(await self.nonce()))
        assert reply.status == 201, reply.body
        return reply

    def request(
        self,
        nonce: bytes,
        *,
        key: ec.EllipticCurvePrivateKey | None = None,
        profile: str = "default",
        **fields: Any,  # noqa: ANN401 - goes to Platform.quote
    ) -> bytes:
        """A body as an honest client makes it; `fields` alter the quote."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        request_der = make_csr(key)
        report_data = binding(
            ca_id=self.ca_id,
            profile=profile,
            nonce=nonce,
            spki_der=csr.parse(request_der).spki_der,
        )
        quote = self.machine.quote(**{"report_data": report_data} | fields)
        return body_of(nonce, request_der, [("tdx-quote", quote)], profile=profile)

    # operators

    async def token(
        self,
        *scopes: tokens.Scope,
        lifetime: timedelta = timedelta(days=1),
        revoked: bool = False,
    ) -> str:
        """A token on record; its text."""
        made = tokens.make(secrets.token_bytes(32))
        name = f"operator {next(_names)}"
        now = self.clock()
        action = OperatorAction(now, "cli:test", "token.create", made.id, "{}")
        record = TokenRecord(
            made.id, name, made.sha256, frozenset(scopes), now, now + lifetime, None, None
        )
        await self.store.add_token(record, action)
        if revoked:
            await self.store.revoke_token(made.id, action)
        return made.text

    async def operate(
        self,
        token: str,
        path: str,
        *,
        method: str = "GET",
        **options: Any,  # noqa: ANN401 - aiohttp's
    ) -> Reply:
        headers = {"Authorization": f"Bearer {token}"} | options.pop("headers", {})
        return await self.send(method, self.admin + path, headers=headers, **options)

    def policy_text(self, name: str = "demo", **fields: Any) -> str:  # noqa: ANN401 - of the quote
        """A policy that accepts what the usual machine runs."""
        parsed = registry.parse([Evidence(EvidenceKind.TDX_QUOTE, self.machine.quote(**fields))])
        bundle = json.dumps(self.intel.bundle(self.machine)).encode()
        endorsements = registry.parse_bundle(parsed, bundle)
        claims = registry.verify(parsed, endorsements, self.anchors, None, self.clock())
        return capture_policy([claims], name=name, entry_id="release-1", added=self.clock())

    async def accept_machine(self) -> None:
        """Make that policy the active one."""
        text = _usual_policy(self).encode()
        now = self.clock()
        record = await policy_admin.add_version(text, self.store, "cli:test", now)
        await policy_admin.activate(record.name, record.version, self.store, "cli:test", now)

    def counters(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample of /metrics but those of the process, by name and labels."""
        registry = self.doors.state.metrics.registry
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in registry.collect()
            for sample in family.samples
            if not family.name.startswith("process_") and not sample.name.endswith("_created")
        }

    def count(self, name: str, **labels: str) -> float:
        """One of them."""
        return self.counters()[name, tuple(sorted(labels.items()))]

    # listeners

    async def add_replica(self, database_url: str, **doors: Any) -> Replica:  # noqa: ANN401 - of Doors
        """One more process on the same database; `doors` replaces fields of its Doors."""
        store = await SqlStore.open(database_url)
        self.stack.push_async_callback(store.close)
        return await self._serve(Replica(await self._doors(store, doors), store))

    async def add_variant(self, **authority: Any) -> Replica:  # noqa: ANN401 - of Authority
        """One more, on the first one's store, whose Authority has other fields."""
        changed = replace(self.doors.authority, **authority)
        return await self._serve(
            Replica(await self._doors(self.store, {"authority": changed}), self.store)
        )

    async def _serve(self, replica: Replica) -> Replica:
        self.replicas.append(replica)
        replica.public = await self.listen(public_application(replica.doors))
        replica.admin = await self.listen(admin_application(replica.doors))
        return replica

    async def listen(self, application: web.Application, tls: ssl.SSLContext | None = None) -> str:
        serving = runner(application)
        await serving.setup()
        self.stack.push_async_callback(serving.cleanup)
        await web.TCPSite(serving, "127.0.0.1", 0, ssl_context=tls).start()
        return f"http{'s' if tls else ''}://127.0.0.1:{serving.addresses[0][1]}"

    async def _doors(self, store: SqlStore, changes: dict[str, Any]) -> Doors:
        url = self.pcs.base_url
        client = FetchClient([Origin.of(url, private_hosts=("127.0.0.1",))], ClientLimits(), _TLS)
        await self.stack.enter_async_context(client)
        cache = CollateralCache(
            client, store, CacheLimits({"tcb_info": timedelta(hours=6)}), self.clock
        )
        self.stack.push_async_callback(cache.close)
        endorser = CachingEndorser(cache, budget=5)
        issuing = Issuing(self.lab.issuer, self.signer, self.ear_key)
        authority = Authority(
            store=store,
            endorser=endorser,
            policies=ActivePolicies(store),
            anchors=self.anchors,
            sources=registry.Sources(PcsSource(url, root_crl_url=self.pcs.root_crl_url)),
            ca_id=self.ca_id,
            nonce_keys=(NONCE_KEY,),
            chip_key=CHIP_KEY,
            entropy=secrets.token_bytes,
            issuing=lambda: issuing,
        )
        chain = (self.lab.issuer.certificate, self.lab.root)

        url = self.lab.issuer.public_url
        root_crl = self.lab.root_crl()
        root_list = (root_crl_url(url, self.lab.root_key_id), root_crl)
        given: dict[str, Any] = {
            "authority": authority,
            "clock": self.clock,
            "limits": self.limits,
            "trusted_proxies": (),
            "log": store.log,
            "history": TreeHistory(store.log),
            "lists": lambda: jobs.served_lists(store, url, root_list),
            "chain_pem": lambda: b"".join(one.public_bytes(Encoding.PEM) for one in chain),
            "root_crl": {self.lab.root_key_id: root_crl}.get,
            "jwks": lambda: ear.jwks([self.ear_key.certificate], self.clock()),
            "check_ready": store.ping,
            "responders": lambda: (self.responder,),
            "fetch_counters": endorser.counters,
        }
        return Doors(**given | changes)


_TEXTS: dict[bytes, str] = {}


def _usual_policy(service: Service) -> str:
    """The same vendor and machine in every test: the same text, which takes a while to make."""
    seed = service.intel.seed
    if seed not in _TEXTS:
        _TEXTS[seed] = service.policy_text()
    return _TEXTS[seed]


def body_of(
    nonce: bytes,
    request_der: bytes,
    evidence: Iterable[tuple[str, bytes]],
    *,
    profile: str = "default",
    **more: Any,  # noqa: ANN401 - any JSON
) -> bytes:
    """The body of POST /v1/enrollments."""
    fields = {
        "nonce": base64.b64encode(nonce).decode(),
        "profile": profile,
        "csr": base64.b64encode(request_der).decode(),
        "evidence": [
            {"kind": kind, "data": base64.b64encode(data).decode()} for kind, data in evidence
        ],
    }
    return json.dumps(fields | more).encode()


def leaf_of(reply: Reply) -> x509.Certificate:
    """The certificate of an enrollment's answer."""
    return x509.load_pem_x509_certificate(reply.json()["certificate"].encode())


@asynccontextmanager
async def open_service(
    database_url: str,
    *,
    replicas: int = 1,
    limits: DoorLimits = GENEROUS,
    accepting: bool = True,
    **doors: Any,  # noqa: ANN401 - of Doors
) -> AsyncIterator[Service]:
    """A simulated authority that, unless told otherwise, has a policy for the usual machine and its first CRL."""
    lab = make_lab(Assurance.SIMULATED)
    intel = FakeIntel.create(NOW, seed=b"service tests")
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(pcs.running(intel))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                auto_decompress=False, connector=aiohttp.TCPConnector(ssl=False, limit=0)
            )
        )
        service = Service(
            lab=lab,
            clock=Clock(NOW),
            intel=intel,
            machine=intel.platform(),
            pcs=vendor,
            signer=CountingSigner(lab),
            ear_key=lab.ear_key(),
            responder=responder(lab),
            session=session,
            limits=limits,
            stack=stack,
        )
        for _ in range(replicas):
            await service.add_replica(database_url, **doors)
        if accepting:
            await service.accept_machine()
        signer = FileSigner(lab.issuer_key, lab.issuer.certificate, lab.root)
        await jobs.publish_crls(service.store, lab.issuer, signer, NOW)
        yield service
