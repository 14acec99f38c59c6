# SPDX-License-Identifier: Apache-2.0
"""Nodes of a chain that are asked over JSON-RPC, none of which is trusted by itself.

Rules:
- Every answer is bounded in bytes and time, no redirect is followed, and whatever is wrong with an answer is NodeError:
  the next node is asked then, and that one for a while after the others.
- What is decided on was said alike by `agree` nodes. Numbers that rise while we ask (heights, prices) are the highest
  that so many nodes have reached.
- A node of another chain is no node of ours.
- The URL of a node may hold a key, so errors name its host alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
from web3 import AsyncWeb3
from web3.exceptions import ContractLogicError, Web3RPCError
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.async_base import AsyncJSONBaseProvider

from ca.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from web3.types import RPCEndpoint, RPCResponse

T = TypeVar("T")
W3 = AsyncWeb3[Any]

MOST: Final = 4 << 20  # bytes of an answer
TIMEOUT: Final = 10.0  # seconds
_SULK: Final = 30.0  # seconds for which a node that failed is asked last
_KNOWN: Final = (
    "already known",
    "known transaction",
    "already imported",
    "nonce too low",
    "already exists",
)


class NodeError(Exception):
    """A node did not answer, or not what was asked."""


class NodesDisagree(Unavailable):
    """One of them lies, or is on another fork."""

    code = "nodes-disagree"


class _Provider(AsyncJSONBaseProvider):
    """One URL."""

    global_ccip_read_enabled = False  # a contract must not have us fetch its URLs

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        super().__init__()
        self._session = session
        self._url = url

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:  # noqa: ANN401 - web3's signature
        request = self.form_request(method, params)
        async with self._session.post(
            self._url,
            data=self.encode_rpc_dict(request),
            headers={"Content-Type": "application/json"},
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise NodeError(f"answered {response.status}")
            answer: Any = self.decode_rpc_response(await _body(response))
        if not isinstance(answer, dict) or answer.get("id") != request["id"]:
            raise NodeError("answered something else")
        return answer  # type: ignore[return-value] # web3 looks at the rest of it


async def _body(response: aiohttp.ClientResponse) -> bytes:
    parts = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        parts += chunk
        if len(parts) > MOST:
            raise NodeError(f"answered more than {MOST} bytes")
    return bytes(parts)


class Node:
    """One node."""

    def __init__(self, session: aiohttp.ClientSession, url: str, chain_id: int) -> None:
        self.host: Final = urlsplit(url).netloc.rpartition("@")[2]
        self.failed_at = -_SULK
        self._chain_id: Final = chain_id
        self._is_of_our_chain = False
        self._web3: Final[W3] = AsyncWeb3(
            _Provider(session, url), middleware=[(ExtraDataToPOAMiddleware, "poa")], ens=None
        )

    async def ask(self, question: Callable[[W3], Awaitable[T]]) -> T:
        """Its answer. Raises NodeError, and ContractLogicError where the contract refuses."""
        try:
            if not self._is_of_our_chain:
                await self._check_chain()
            return await question(self._web3)
        except ContractLogicError:
            raise
        except Web3RPCError as error:
            self.failed_at = asyncio.get_running_loop().time()
            raise NodeError(f"{self.host}: {_words(error)}") from error
        except Exception as error:  # a node can say anything, and web3 then raises anything
            self.failed_at = asyncio.get_running_loop().time()
            raise NodeError(f"{self.host}: {type(error).__name__}: {str(error)[:200]}") from error

    async def _check_chain(self) -> None:
        found = await self._web3.eth.chain_id
        if found != self._chain_id:
            raise NodeError(f"its chain is {found} and not {self._chain_id}")
        self._is_of_our_chain = True


class Nodes:
    """All of them. `agree`: how many must say the same; at most as many as there are."""

    def __init__(self, nodes: Sequence[Node], agree: int = 2) -> None:
        self._nodes: Final = nodes
        self._agree: Final = min(agree, len(nodes))

    async def ask(self, question: Callable[[W3], Awaitable[T]], *, surely: bool = True) -> T:
        """What `agree` of them say. Unless `surely`: None where one of them knows nothing yet and no answer has enough.

        Raises NodesDisagree, Unavailable, and ContractLogicError where `agree` of them say that the contract refuses.
        """
        answers: Counter[T] = Counter()
        refusals: list[ContractLogicError] = []
        faults: list[str] = []
        for node in self._by_health():
            try:
                answer = await node.ask(question)
            except NodeError as error:
                faults.append(str(error))
            except ContractLogicError as error:
                refusals.append(error)
            else:
                answers[answer] += 1
                if answers[answer] >= self._agree:
                    return answer
            if len(refusals) >= self._agree:
                raise refusals[0]
        if not surely and len(answers) > 1 and None in answers:
            return None  # type: ignore[return-value] # one of the answers: T has None
        if len(answers) + bool(refusals) > 1:
            said = [*answers, *(f"refused: {one}" for one in refusals[:1])]
            raise NodesDisagree(f"the chain's nodes do not say the same: {_summary(said)}")
        raise Unavailable(f"too few of the chain's nodes answer: {'; '.join(faults)}")

    async def level(self, question: Callable[[W3], Awaitable[int]]) -> int:
        """The highest number that `agree` of them have reached. Raises Unavailable."""
        answers = await asyncio.gather(
            *(node.ask(question) for node in self._nodes), return_exceptions=True
        )
        refusals = [one for one in answers if isinstance(one, ContractLogicError)]
        if len(refusals) >= self._agree:
            raise refusals[0]
        reached = sorted((one for one in answers if isinstance(one, int)), reverse=True)
        if len(reached) < self._agree:
            faults = (str(one) for one in answers if isinstance(one, BaseException))
            raise Unavailable(f"too few of the chain's nodes answer: {'; '.join(faults)}")
        return reached[self._agree - 1]

    async def tell(self, raw: bytes) -> None:
        """Send a transaction to all of them. Raises Unavailable where none takes it, or has it."""

        async def question(web3: W3) -> None:
            try:
                await web3.eth.send_raw_transaction(raw)
            except Web3RPCError as error:
                if not _is_known(error):
                    raise

        answers = await asyncio.gather(
            *(node.ask(question) for node in self._nodes), return_exceptions=True
        )
        faults = [str(one) for one in answers if isinstance(one, BaseException)]
        if len(faults) == len(answers):
            raise Unavailable(f"no node takes the transaction: {'; '.join(faults)}")

    def _by_health(self) -> list[Node]:
        now = asyncio.get_running_loop().time()
        return sorted(self._nodes, key=lambda node: now - node.failed_at < _SULK)


@asynccontextmanager
async def connected(urls: Sequence[str], chain_id: int, agree: int = 2) -> AsyncIterator[Nodes]:
    """The nodes at these URLs."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Nodes([Node(session, url, chain_id) for url in urls], agree)


def _is_known(error: Web3RPCError) -> bool:
    """Whether a node has the transaction already, or one of its nonce is in a block, as the next turn will see."""
    return any(words in _words(error).lower() for words in _KNOWN)


def _words(error: Web3RPCError) -> str:
    said = (error.rpc_response or {}).get("error")
    return str(said.get("message") if isinstance(said, dict) else error)[:200]


def _summary(answers: Iterable[object]) -> str:
    return "; ".join(str(answer)[:200] for answer in answers)
