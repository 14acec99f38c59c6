# SPDX-License-Identifier: Apache-2.0
"""Lines 26 to 34, 49 and 50 as they concern asking: whose status, where, how old an answer may be, what is missing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from ca.config.model import Collateral
from ca.fetch.cache import CacheLimits, CollateralCache
from simulator.nvidia.answers import Answer, responder
from simulator.nvidia.certificates import DAY, NOW
from simulator.nvidia.rims import CHAIN, RIM_L2, RIM_L3, SIGNER
from tests import nvidia_devices as lab
from tests.cases.nvidia.case import Case
from tests.nvidia_desk import Desk, found, gathered
from tests.nvidia_devices import Exhibit, System
from tests.vendor_lab import Clock, MemoryStore, open_lab
from verifiers.endorsements import Response
from verifiers.errors import Reason
from verifiers.nvidia.claims import AppraisedBy
from verifiers.nvidia.system import appraise_set

if TYPE_CHECKING:
    from verifiers.endorsements import Fetch

ONE = System((Exhibit(),))
DEVICE = ONE.exhibits[0].device.parties
REVOKED, UNKNOWN = ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN
HOLD = x509.ReasonFlags.certificate_hold


def desk(part: str, answer: bytes | int) -> Desk:
    """The last answer to a part is this one, or this status."""
    made = Desk.of(ONE.exhibits)
    status, body = (answer, b"") if isinstance(answer, int) else (200, answer)
    made.changed[part] = lambda _: Response(status, body, {})
    return made


def verified(part: str, answer: bytes | int) -> str:
    """The status of the device, if it is verified with what was got."""
    endorsements = gathered(ONE, desk(part, answer))
    claims = appraise_set(found(ONE), endorsements, lab.anchors(), AppraisedBy.LOCAL, NOW)
    return claims.devices[0].revocation.value


def asked() -> list[Fetch]:
    made = Desk.of(ONE.exhibits)
    gathered(ONE, made, AppraisedBy.BOTH)
    return made.asked


def requests() -> list[bytes]:
    """Of OCSP, DER."""
    of_ocsp = [one.question for one in asked() if one.part.startswith("ocsp")]
    return [one.body for one in of_ocsp if one is not None]


def certificates() -> list[x509.Certificate]:
    """Whose status is asked for, in order."""
    made = Desk.of(ONE.exhibits)
    return [made.about(one).about.certificate for one in requests()]


def nonces() -> list[int]:
    return [len(ocsp.load_der_ocsp_request(one).extensions) for one in requests()]


L2, ROOT = DEVICE[3], DEVICE[4]
OF_L2 = Answer(L2, ROOT, responder(ROOT))
OF_RIM_L2 = Answer(RIM_L2, CHAIN[3], responder(CHAIN[3]))

OCSP = [
    Case(
        26,
        "L4, L3 and L2 of the device and of the manifests' signer are asked about, and nothing else",
        [DEVICE[number].certificate for number in (1, 2, 3)]
        + [one.certificate for one in CHAIN[:3]],
        certificates,
    ),
    Case(26, "no answer about the device", Reason.INCOMPLETE, lambda: verified("ocsp-device", 404)),
    Case(26, "no answer about a signer", Reason.INCOMPLETE, lambda: verified("ocsp-rim", 404)),
    Case(
        26,
        "a responder that refuses to answer",
        Reason.INCOMPLETE,
        lambda: verified(
            "ocsp-device",
            ocsp.OCSPResponseBuilder.build_unsuccessful(
                ocsp.OCSPResponseStatus.TRY_LATER
            ).public_bytes(Encoding.DER),
        ),
    ),
    Case(26, "all answers", "good", lambda: verified("ocsp-device", OF_L2.der)),
    Case(
        28,
        "an answer about another certificate than was asked about",
        Reason.OCSP_INVALID,
        lambda: verified("ocsp-device", OF_RIM_L2.der),
    ),
    Case(
        29,
        "an answer of the responder of another authority",
        Reason.OCSP_INVALID,
        lambda: verified("ocsp-rim", replace(OF_RIM_L2, by=responder(RIM_L3)).der),
    ),
    Case(30, "no nonce is sent, so none is missed", [0] * 6, nonces),
    Case(
        31,
        "an answer that was got: UNKNOWN",
        Reason.CERTIFICATE_STATUS_UNKNOWN,
        lambda: verified("ocsp-device", replace(OF_L2, status=UNKNOWN).der),
    ),
    Case(
        31,
        "an answer that was got: on hold",
        Reason.CERTIFICATE_REVOKED,
        lambda: verified("ocsp-device", replace(OF_L2, status=REVOKED, reason=HOLD).der),
    ),
    Case(
        34,
        "an answer that was got: the authority of signers was revoked",
        Reason.CERTIFICATE_REVOKED,
        lambda: verified("ocsp-rim", replace(OF_RIM_L2, status=REVOKED).der),
    ),
]


# How old an answer may be that is kept: the service's own client, cache and ages before a responder on loopback.


async def _times_asked(ends: timedelta, after: timedelta) -> int:
    """How often the responder is asked for two uses of an answer, the second so much later."""
    clock, fetch = Clock(NOW), next(one for one in asked() if one.part == "ocsp-rim")
    answer = Answer(SIGNER, RIM_L3, responder(RIM_L3), next_update=NOW + ends).der

    async def respond(_: web.Request) -> web.Response:
        return web.Response(body=answer)

    async with open_lab() as opened:
        vendor = await opened.vendor(respond)
        limits = CacheLimits(Collateral().refresh_after)
        cache = CollateralCache(await opened.client(vendor.base), MemoryStore(), limits, clock)
        for wait in (timedelta(0), after):
            clock.now += wait
            await cache.get(replace(fetch, url=vendor.base), patience=5)
        await cache.close()
        return vendor.count


def times_asked(ends: timedelta, after: timedelta) -> int:
    return asyncio.run(_times_asked(ends, after))


MINUTE = timedelta(minutes=1)
KEPT = [
    Case(33, "kept, and used until it ends", 1, partial(times_asked, 30 * MINUTE, 29 * MINUTE)),
    Case(33, "kept, and past its nextUpdate", 2, partial(times_asked, 30 * MINUTE, 30 * MINUTE)),
    Case(33, "kept for an hour at most", 2, partial(times_asked, DAY, 60 * MINUTE)),
    Case(33, "kept for less than an hour", 1, partial(times_asked, DAY, 59 * MINUTE)),
    Case(
        33,
        "the status of another certificate of the same responder is another question",
        6,
        lambda: len({one.key for one in asked() if one.part.startswith("ocsp")}),
    ),
]

# Where is asked, whatever the evidence names.

AIA = x509.AuthorityInformationAccess(
    [
        x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP,
            x509.UniformResourceIdentifier("http://responder.of.whoever.sends.it/"),
        )
    ]
)
AIA_OID = AIA.oid.dotted_string


def hosts(exhibit: Exhibit) -> set[str]:
    """Scheme and host of all that is asked about a device."""
    system = System((exhibit,))
    made = Desk.of(system.exhibits)
    gathered(system, made, AppraisedBy.BOTH)
    return {"/".join(one.url.split("/")[:3]) for one in made.asked}


CONFIGURED = {"https://rim.test", "https://ocsp.test", "https://nras.test"}
NAMING = ONE.exhibits[0].device
for _place in (1, 2, 3):
    NAMING = NAMING.having(_place, extensions=((AIA_OID, AIA.public_bytes()),))

WHERE = [
    Case(49, "what is configured", CONFIGURED, lambda: hosts(ONE.exhibits[0])),
    Case(
        49,
        "certificates that name a responder",
        CONFIGURED,
        lambda: hosts(ONE.exhibits[0].but(device=NAMING)),
    ),
    *(
        Case(
            49,
            f"a driver version that would be more than a name: {text!r}",
            Reason.MALFORMED,
            partial(lambda text: hosts(ONE.exhibits[0].having({3: text})), text),
        )
        for text in (b"550.90/../../x", b"@host/", b"550.90.07?", b"550.90.07#", b"%2e%2e")
    ),
]

MISSING = [
    Case(
        50,
        "a name that the service does not know",
        Reason.INCOMPLETE,
        lambda: verified("rim", 404),
    ),
    Case(50, "a manifest that was taken away", Reason.INCOMPLETE, lambda: verified("rim", 410)),
    Case(
        50,
        "an answer about another name",
        Reason.COLLATERAL_MALFORMED,
        lambda: verified("rim", b"{}"),
    ),
]

CASES = [*OCSP, *KEPT, *WHERE, *MISSING]
