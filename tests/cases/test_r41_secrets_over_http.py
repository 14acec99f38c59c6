# SPDX-License-Identifier: Apache-2.0
"""R-41, over HTTP: marked secrets, all logged at DEBUG, none in logs, metrics, error bodies, or the audit."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import structlog
from structlog.testing import LogCapture

from ca.errors import AuthorityError, ConfigurationError, LintFailed, Unavailable
from ca.http.routes import ROUTES, On
from ca.tokens import Scope
from tests.canary import leaks, private_parts
from tests.service_lab import CHIP_KEY, NONCE_KEY, body_of, open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.service_lab import Reply, Service
    from verifiers.endorsements import Gather

T = TypeVar("T")
DATABASE = b"postgresql://attestca:marked-database-password@db.internal/ca"
CALLERS = b"marked-secret-of-a-caller"  # what may stand in any place of a request
QUOTED = CALLERS.decode()


class Failing:
    """Fails with an error whose text is a secret."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def distrust(self, gather: Gather[T]) -> None:
        gather.close()

    async def run(self, gather: Gather[T]) -> T:
        gather.close()
        raise self.error


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[LogCapture]:
    """All that is logged in whatever way, of whatever level."""
    caplog.set_level(logging.DEBUG)
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[capture], wrapper_class=structlog.BoundLogger)
    yield capture
    structlog.configure(**before)


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with open_service(sqlite_url) as running:
        yield running


def _secrets(service: Service, token: str) -> dict[str, bytes]:
    return {
        "nonce key": NONCE_KEY,
        "chip key": CHIP_KEY,
        "token": token.encode(),
        "database": DATABASE,
        "ppid": service.machine.sgx.ppid,
        "caller": CALLERS,
        **dict(private_parts("issuing key", service.lab.issuer_key)),
        **dict(private_parts("root key", service.lab.root_key)),
        **dict(private_parts("result key", service.ear_key.private_key)),
    }


async def _public_mischief(service: Service) -> list[Reply]:
    """Every place of a public request with a secret in it."""
    nonce = await service.nonce()
    quote = ("tdx-quote", b"x" * 2000)
    marked: dict[str, Any] = {
        "headers": {
            "Authorization": f"Bearer {QUOTED}",
            "Cookie": f"session={QUOTED}",
            "User-Agent": QUOTED,
            "X-Forwarded-For": QUOTED,
            "Referer": f"https://example.org/?{QUOTED}",
        }
    }
    replies = [
        await service.get(f"{path}?token={QUOTED}#{QUOTED}", **marked)
        for path in (
            "/v1/nonce",
            f"/{QUOTED}",
            f"/v1/certificates/{QUOTED}",
            f"/v1/crl/{QUOTED}.crl",
            f"/v1/crl/{'0' * 40}/{QUOTED}.crl",
        )
    ]
    replies += [
        await service.post(body, **marked["headers"])
        for body in (
            CALLERS,
            json.dumps(QUOTED).encode(),
            body_of(nonce, b"csr", [quote], **{QUOTED: QUOTED}),
            body_of(nonce, CALLERS, [quote]),
            body_of(nonce, b"csr", [quote], profile=QUOTED),
            body_of(nonce, b"csr", [(QUOTED, CALLERS)]),
            body_of(CALLERS, b"csr", [quote]),
            body_of(nonce, b"csr", [("tdx-quote", CALLERS * 4000)]),
        )
    ]
    replies.append(await service.post(b"{}", **{"Content-Type": f"application/{QUOTED}"}))
    replies.append(await service.post(b"{}", **{"Content-Encoding": QUOTED}))
    replies.append(await service.post(service.request(await service.nonce(), rtmr0=bytes(48))))
    return replies


async def _operators_mischief(service: Service, token: str) -> list[Reply]:
    """Every operators' route with a token, without one, and with secrets in its query, path and body."""
    replies = []
    for route in ROUTES:
        if route.on is On.ADMIN:
            path = route.path.format(serial="1234", name="demo", version=9)
            for text in (token, token[:-1], QUOTED):
                replies.append(await service.operate(text, path, method=route.method))
                marked = f"{path}?{QUOTED}={QUOTED}"
                replies.append(await service.operate(text, marked, method=route.method))
    yaml = {"Content-Type": "application/yaml"}
    named = f"/v1/admin/policies/{QUOTED}/{QUOTED}"
    replies.append(await service.operate(token, named))
    texts = (f"{QUOTED}: [", f"name: [{QUOTED}")
    replies += [
        await service.operate(token, "/v1/admin/policies", method="POST", data=text, headers=yaml)
        for text in texts
    ]
    return replies


async def _faults(service: Service) -> list[Reply]:
    """Errors of every class whose own text is a secret."""
    replies = []
    for error in (
        Unavailable(DATABASE.decode()),
        ConfigurationError(DATABASE.decode()),
        LintFailed(DATABASE.decode()),
        AuthorityError(DATABASE.decode()),
        RuntimeError(DATABASE.decode()),
        ValueError(NONCE_KEY, CHIP_KEY),
    ):
        replica = await service.add_variant(endorser=Failing(error))
        body = service.request(await service.nonce())
        replies.append(await service.post(body, to=replica.public))
    return replies


def _written(reply: Reply) -> bytes:
    """Headers and body of an answer that is an error. An operator who sends a policy is told what is wrong in it."""
    if reply.status < 400 or reply.code == "policy-invalid":
        return b""
    return str(dict(reply.headers)).encode() + reply.body


async def test_no_secret_is_written_anywhere(
    service: Service, logged: LogCapture, caplog: pytest.LogCaptureFixture
) -> None:
    token = await service.token(*Scope)
    await service.enrolled()
    replies = await _public_mischief(service)
    replies += await _operators_mischief(service, token)
    replies += await _faults(service)
    assert {reply.status for reply in replies} >= {200, 400, 401, 403, 404, 413, 415, 422, 500, 503}
    secrets = _secrets(service, token)
    auditor = await service.token(*Scope)
    audit = [
        await service.operate(auditor, f"/v1/admin/{path}?limit=1000")
        for path in ("actions", "refusals")
    ]
    sample = await service.operate(auditor, "/v1/admin/refusals?kind=sampled&limit=1000")
    texts = {
        "metrics": (await service.get("/metrics")).body,
        "audit": b"".join(reply.body for reply in (*audit, sample)),
        **{f"answer {n}": _written(reply) for n, reply in enumerate(replies)},
    }
    assert leaks(texts, secrets) == []
    # of our own errors the operator's log has the words: keeping secrets out of those is up to who raises them
    lines = [entry for entry in logged.entries if entry["event"] != "http.failed"]
    unexpected = [entry for entry in logged.entries if entry.get("alarm") == "unhandled"]
    assert len(unexpected) == 2
    ours = [record for record in caplog.records if not record.name.startswith("sqlalchemy")]
    logs = {
        "structlog": repr(lines + unexpected).encode(),
        "logging": "\n".join(map(logging.Formatter().format, ours)).encode(),
    }
    assert len(lines) > 50
    assert leaks(logs, secrets) == []


async def test_the_search_finds_a_secret_that_is_there(service: Service) -> None:
    """The counter-check, with the very texts: a token that an operator is shown is found."""
    token = await service.token(Scope.AUDIT_READ)
    secrets = _secrets(service, token)
    assert leaks({"text": f"… {token} …".encode()}, secrets) == ["token in text"]
    assert leaks({"text": NONCE_KEY.hex().encode()}, secrets) == ["nonce key in text"]


async def test_records_of_tokens_show_no_digest(service: Service) -> None:
    token = await service.token(*Scope)
    (record,) = await service.store.tokens()
    for path in ("whoami", "actions", "policies"):
        reply = await service.operate(token, f"/v1/admin/{path}")
        assert record.sha256.hex()[16:] not in reply.body.decode(), "its first half names it"
