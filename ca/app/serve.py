# SPDX-License-Identifier: Apache-2.0
"""`serve`: open the service, listen, run the jobs, and close everything in reverse when told to stop."""

from __future__ import annotations

import asyncio
import resource
import signal
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import structlog

from attestca_client.protocol import DEFAULT_OID_ARC
from ca import jobs
from ca.app.keys import BUILD
from ca.app.service import clock, load_tls, opened
from ca.errors import AuthorityError, ConfigurationError
from ca.http import Site, admin_application, public_application, runner
from ca.issuance.request import Assurance

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from ca.app.keys import Keys
    from ca.config import Config, Listen

OPEN_FILES: Final = 16_384  # a silent connection takes some 10 KiB

_log = structlog.get_logger("attestca")


async def serve(config: Config, started: Callable[[str, str], None]) -> None:
    """Run until SIGTERM or SIGINT. `started` is told the two addresses once both listeners accept connections."""
    stop = _stop_on_signal()
    allow_connections()
    async with opened(config) as service, AsyncExitStack() as stack:
        if config.ca.oid_arc == DEFAULT_OID_ARC:
            _log.warning("oid-arc.documentation", arc=DEFAULT_OID_ARC, advice="set ca.oid_arc")
        if service.keys.folder.holds_root_key:
            _log.warning("root-key.online", advice="take root.key offline; see docs/operate.md")
        if service.keys.of.assurance is Assurance.SIMULATED:
            _log.warning("simulated", advice="certificates of this authority prove nothing")
        tls = server_context(service.keys)
        await run_jobs_once(service.jobs(tls))
        doors = service.doors()
        admin_tls = None if config.admin.is_plain_http else tls
        public = await _listen(stack, public_application(doors), config.server.listen, tls)
        admin = await _listen(stack, admin_application(doors), config.admin.listen, admin_tls)
        background = asyncio.create_task(jobs.run_forever(service.jobs(tls), clock, _report))
        stack.push_async_callback(_cancel, background)
        _log.info("started", config=config.digest(), public=public, admin=admin, build=BUILD)
        started(public, admin)
        await stop.wait()
        _log.info("stopping")


def allow_connections() -> None:
    """As many open files as this process may have, within reason: one client could soon hold the usual 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def server_context(keys: Keys) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with the service's own certificate; nothing is remembered between connections."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    load_tls(context, keys, clock())
    return context


async def run_jobs_once(todo: list[jobs.Job]) -> None:
    """Jobs once before the listeners open, so that the first certificate finds its CRL published."""
    for job in (job for job in todo if job.at_start):
        try:
            await job.run(clock())
        except AuthorityError as error:
            _report(job.name, error)


def _report(name: str, error: Exception) -> None:
    _log.error("job.failed", job=name, error=str(error))


async def _listen(
    stack: AsyncExitStack, application: web.Application, listen: Listen, tls: ssl.SSLContext | None
) -> str:
    serving = runner(application)
    await serving.setup()
    stack.push_async_callback(serving.cleanup)
    site = Site(serving, listen.host, listen.port, ssl_context=tls)
    try:
        await site.start()
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {listen}: {error.strerror}") from error
    host, port = serving.addresses[0][:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _stop_on_signal() -> asyncio.Event:
    """Set when we are told to stop; from the start on, so that a signal never ends us half way."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
