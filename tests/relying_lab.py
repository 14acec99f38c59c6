# SPDX-License-Identifier: Apache-2.0
"""An authority as its relying parties meet it: certificates, trust bundle, staples, lists, nodes of a chain.

    world = make_world()
    leaf = world.issue()
    world.revoke(handle)
    verify(leaf.pem, world.trust, Sources(staple=world.staple(leaf)), …)

The log, its tree and its proofs are made here in a few lines of their own, not by the authority's code.
"""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from attestca_client.protocol import EMPTY_TREE, HandleKind, handle, leaf_hash, node_hash
from attestca_client.protocol.checkpoint import Checkpoint, Head, Verifier
from attestca_client.protocol.log import RevocationEntry, issuance_entry
from attestca_client.protocol.trust import Deployment, TrustBundle, seal_bundle
from attestca_client.registry import encode_status
from attestca_client.rpc import Node
from attestca_client.sources import Bytes, Url
from attestca_client.verify import Rules, Sources, Trust, verify
from ca.issuance.request import Assurance
from ca.revocation_tree import RevocationTree
from tests.authority_lab import NOW, Lab, digest, make_lab, make_request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from attestca_client.checks import Name, Outcome, Result
    from ca.issuance.prepare import IssuedCertificate

DEPLOYMENT = Deployment(5611, b"\xc0" * 20, digest("namespace"), b"\xad" * 20)
ORIGIN = "ca.example.org"
SECONDS = int(NOW.timestamp())


@dataclass(frozen=True)
class Leaf:
    """One certificate that was issued and logged. `index`: its entry's."""

    certificate: x509.Certificate
    issuing: x509.Certificate
    index: int
    time: int
    commitment: bytes
    handles: tuple[bytes, ...]

    @property
    def pem(self) -> bytes:
        """With the issuing CA behind it."""
        chain = (self.certificate, self.issuing)
        return b"".join(one.public_bytes(Encoding.PEM) for one in chain)

    @property
    def serial(self) -> int:
        return self.certificate.serial_number


@dataclass(repr=False)
class World:
    """One authority, its log, and what is revoked."""

    lab: Lab
    log_key: Ed25519PrivateKey
    time: int = SECONDS
    entries: list[bytes] = field(default_factory=list)
    tree: RevocationTree = field(default_factory=RevocationTree)
    revocations: dict[bytes, bytes] = field(default_factory=dict)  # handle -> entry

    @property
    def verifier(self) -> Verifier:
        return Verifier(ORIGIN, self.log_key.public_key().public_bytes_raw())

    @property
    def trust(self) -> Trust:
        return Trust(self.lab.root, (self.verifier,), DEPLOYMENT)

    def bundle(self, **changes: Any) -> TrustBundle:  # noqa: ANN401 - goes to replace()
        usual = TrustBundle(1, self.lab.root, (self.verifier,), DEPLOYMENT, None, NOW)
        return replace(usual, **changes)

    def sealed(self, **changes: Any) -> bytes:  # noqa: ANN401 - goes to replace()
        return seal_bundle(self.bundle(**changes), self.lab.root_key)

    # what happens

    def issue(self, **changes: Any) -> Leaf:  # noqa: ANN401 - of LeafRequest
        """A certificate, and its entry."""
        return self.log(self.lab.issue(make_request(self.lab, **changes)))

    def log(self, issued: IssuedCertificate) -> Leaf:
        """The entry of a certificate."""
        certificate, number = x509.load_der_x509_certificate(issued.der), len(self.entries)
        time, commitment = SECONDS * 1_000_000 + number, digest(f"commitment {number}")
        self.entries.append(
            issuance_entry(
                time=time,
                issuer_key_id=self.lab.issuer.key_id,
                serial=certificate.serial_number,
                certificate_sha256=sha256(issued.der).digest(),
                policy_sha256=issued.prepared.request.policy.sha256,
                commitment=commitment,
            )
        )
        handles = tuple(value for _, value in issued.prepared.handles)
        return Leaf(certificate, self.lab.issuer.certificate, number, time, commitment, handles)

    def revoke(self, revoked: bytes, kind: str = "measurement") -> None:
        """A handle, in the log and the tree."""
        entry = RevocationEntry(
            SECONDS * 1_000_000, len(self.revocations) + 1, kind, revoked, "keyCompromise"
        ).encoded
        self.entries.append(entry)
        self.revocations[revoked] = entry
        self.tree = self.tree.with_all([(revoked, leaf_hash(entry))])

    # what relying parties are given

    @property
    def head(self) -> Head:
        return Head(
            size=len(self.entries),
            root=tree_hash(list(map(leaf_hash, self.entries))),
            revocation_count=len(self.revocations),
            revocation_root=self.tree.root,
            crls_digest=digest("lists"),
            time=self.time,
        )

    def note(self, head: Head | None = None, key: Ed25519PrivateKey | None = None) -> str:
        """A checkpoint, signed."""
        signer = key or self.log_key
        verifier = Verifier(ORIGIN, signer.public_key().public_bytes_raw())
        text = Checkpoint(ORIGIN, head or self.head).text
        signature = base64.b64encode(verifier.id + signer.sign(text.encode())).decode()
        return f"{text}\n— {ORIGIN} {signature}\n"

    def staple(self, leaf: Leaf, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        """As the service answers."""
        value = {
            "checkpoint": self.note(),
            "index": leaf.index,
            "time": leaf.time,
            "commitment": b64(leaf.commitment),
            "hashes": [*map(b64, inclusion(leaf.index, list(map(leaf_hash, self.entries))))],
            "revocations": b64(self.tree.prove(leaf.handles)),
            "revoked": [b64(self.revocations[h]) for h in leaf.handles if h in self.revocations],
        }
        return value | changes

    def status(self, handles: Sequence[bytes], head: Head | None = None) -> bytes:
        """What the contract returns, ABI-encoded, where everything that is revoked has a tombstone."""
        said = head or self.head
        words = [
            number(said.size),
            said.root,
            number(said.revocation_count),
            said.revocation_root,
            said.crls_digest,
            number(said.time),
            number(9 * 32),
            number(7),
            number(self.time),
            number(len(handles)),
            *(number(SECONDS if one in self.revocations else 0) for one in handles),
        ]
        return b"".join(words)

    def crl(self, leaf: Leaf, *revoked: Any, **changes: Any) -> bytes:  # noqa: ANN401 - of Lab
        """Its shard, DER."""
        return self.lab.crl(*revoked, not_after=leaf.certificate.not_valid_after_utc, **changes)

    def check(
        self,
        leaf: Leaf | bytes,
        *,
        staple: dict[str, Any] | bytes | None = None,
        nodes: Sequence[Node] = (),
        crls: Sequence[bytes] = (),
        root_list: bool = True,
        trust: Trust | None = None,
        rules: Rules | None = None,
        at: datetime = NOW,
    ) -> Result:
        """`verify`, with these; where there are lists, with the root's as well."""
        lists = [*crls, self.lab.root_crl()] if crls and root_list else crls
        data = json.dumps(staple).encode() if isinstance(staple, dict) else staple
        return verify(
            leaf if isinstance(leaf, bytes) else leaf.pem,
            trust or self.trust,
            Sources(
                staple=None if data is None else Bytes("staple", data),
                nodes=tuple(nodes),
                crls=tuple(Bytes("lists", crl) for crl in lists),
            ),
            at=at,
            rules=rules or Rules(),
        )


def make_world(assurance: Assurance = Assurance.VERIFIED) -> World:
    """A new authority."""
    return World(make_lab(assurance), Ed25519PrivateKey.generate())


def measurement(leaf: Leaf) -> bytes:
    """The handle of a register that `make_request` pins."""
    found = handle(HandleKind.MEASUREMENT, b"mr_td", digest("mr_td") + bytes(16))
    assert found in leaf.handles
    return found


def outcomes(result: Result) -> dict[Name, Outcome]:
    """Those that did not pass."""
    return {check.name: check.outcome for check in result.reasons}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


# the log's tree


def tree_hash(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_TREE
    at = _split(len(leaves))
    return node_hash(tree_hash(leaves[:at]), tree_hash(leaves[at:]))


def inclusion(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162, section 2.1.3.1."""
    if len(leaves) < 2:
        return []
    at = _split(len(leaves))
    if index < at:
        return [*inclusion(index, leaves[:at]), tree_hash(leaves[at:])]
    return [*inclusion(index - at, leaves[at:]), tree_hash(leaves[:at])]


def consistency(old: int, leaves: list[bytes], *, whole: bool = True) -> list[bytes]:
    """RFC 9162, section 2.1.4.1: that the tree of the first `old` leaves begins that of all."""
    if old == len(leaves):
        return [] if whole else [tree_hash(leaves)]
    at = _split(len(leaves))
    if old <= at:
        return [*consistency(old, leaves[:at], whole=whole), tree_hash(leaves[at:])]
    return [*consistency(old - at, leaves[at:], whole=False), tree_hash(leaves[:at])]


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


# certificates that the authority would never sign


def forged(
    leaf: Leaf,
    key: CertificateIssuerPrivateKeyTypes,
    change: Callable[[list[x509.Extension[Any]]], list[x509.Extension[Any]]],
) -> bytes:
    """The same certificate with other extensions, signed anew; with its issuing CA."""
    old = leaf.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(old.serial_number)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
    )
    for extension in change(list(old.extensions)):
        builder = builder.add_extension(extension.value, critical=extension.critical)
    new = builder.sign(key, hashes.SHA256())
    return replace(leaf, certificate=new).pem


# a node


@dataclass
class FakeChain:
    """A node's answers by method; `answers` alters them, `asked` counts.

    It has the state of its newest `keeps` blocks alone, and says of older ones what such nodes say.
    """

    world: World
    chain_id: int = DEPLOYMENT.chain_id
    finalized: int = 100
    latest: int = 400
    keeps: int = 128
    asked: list[str] = field(default_factory=list)
    answers: dict[str, Callable[[list[Any]], dict[str, Any]]] = field(default_factory=dict)
    block_hash: str = "aa"
    forked_at: int = 1 << 32  # from there on its blocks are others than those of other nodes
    block_time: int | None = None
    final_time: int | None = None  # of the final block alone
    raw: bytes | None = None  # in place of any answer

    def answer(self, body: bytes) -> bytes:
        question = json.loads(body)
        method, parameters = question["method"], question["params"]
        self.asked.append(method)
        if self.raw is not None:
            return self.raw
        given = self.answers.get(method, getattr(self, method))(parameters)
        return json.dumps({"jsonrpc": "2.0", "id": question["id"]} | given).encode()

    def eth_chainId(self, _: list[Any]) -> dict[str, Any]:  # noqa: N802 - the method's name
        return {"result": hex(self.chain_id)}

    def eth_getBlockByNumber(self, parameters: list[Any]) -> dict[str, Any]:  # noqa: N802 - likewise
        height = self.height(parameters[0])
        time = self.world.time if self.block_time is None else self.block_time
        if height == self.finalized and self.final_time is not None:
            time = self.final_time
        fork = "ff" if height >= self.forked_at else self.block_hash
        return {
            "result": {
                "number": hex(height),
                "hash": f"0x{fork * 30}{height:04x}",
                "timestamp": hex(time),
            }
        }

    def height(self, which: str) -> int:
        known = {"finalized": self.finalized, "latest": self.latest}
        return known[which] if which in known else int(which, 16)

    def before(self, height: int, world: World) -> None:
        """Have its state be that of `world` in the blocks before this one."""
        old = replace(self, world=world)

        def eth_call(parameters: list[Any]) -> dict[str, Any]:
            chain = old if self.height(parameters[1]) < height else self
            return FakeChain.eth_call(chain, parameters)

        self.answers["eth_call"] = eth_call

    def eth_call(self, parameters: list[Any]) -> dict[str, Any]:
        if not 0 <= self.latest - self.height(parameters[1]) < self.keeps:
            return {"error": {"code": -32000, "message": "missing trie node"}}
        data = bytes.fromhex(parameters[0]["data"][2:])
        handles = [data[at : at + 32] for at in range(100, len(data), 32)]
        assert parameters[0]["to"] == f"0x{DEPLOYMENT.contract.hex()}"
        assert data == encode_status(DEPLOYMENT.namespace, handles)
        return {"result": f"0x{self.world.status(handles).hex()}"}


@contextmanager
def serving(
    answer: Callable[[bytes], bytes], status: int = 200, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """An HTTP server on loopback that answers GET and POST with what `answer` makes of the body; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - likewise

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def node(chain: FakeChain) -> Iterator[Node]:
    """One that answers so, on loopback."""
    with serving(chain.answer) as url:
        yield Node(Url.parse(url))
