# SPDX-License-Identifier: Apache-2.0
"""What Azure's instance metadata service gives a confidential VM: AMD's certificates, and a quote of Intel TDX.

Source: http://169.254.169.254, plain HTTP within the host. `GET /metadata/THIM/amd/certification` (Microsoft, trusted
hardware identity management), `POST /acc/tdquote` with {"report": TDREPORT in base64url}, answered by {"quote": …}. The
latter takes `Content-Type: application/json` and no other form of it. What comes is checked for its form alone; the
authority verifies it. Nothing is asked of a proxy, and no redirection is followed.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from attestca_client.plainhttp import FAULTS, Question, ask

if TYPE_CHECKING:
    from attestca_client.runtime import Runtime

__all__ = ["ADDRESS", "FAULTS", "fetch_certificates", "fetch_td_quote"]

ADDRESS: Final = ("169.254.169.254", 80)
MAX_METADATA: Final = 64 * 1024
MAX_QUOTE: Final = 64 * 1024  # the authority's limit
MAX_ANSWER: Final = 96 * 1024  # such a quote in base64, in JSON
CERTIFICATION: Final = Question(
    "/metadata/THIM/amd/certification", {"Metadata": "true"}, seconds=1.0, most=MAX_METADATA
)
TD_QUOTE: Final = Question(  # an enclave of the host signs it
    "/acc/tdquote", {"Content-Type": "application/json"}, seconds=10.0, most=MAX_ANSWER
)


def fetch_certificates(address: tuple[str, int], runtime: Runtime) -> bytes:
    """VCEK and chain as PEM, within a second from now.

    Raises OSError, http.client.HTTPException, ValueError, RecursionError.
    """
    return parse_certification(ask(address, CERTIFICATION, runtime))


def fetch_td_quote(address: tuple[str, int], report: bytes, runtime: Runtime) -> bytes:
    """The quote of a TDREPORT (1024 bytes), within 10 seconds from now.

    Raises OSError, http.client.HTTPException, ValueError, RecursionError.
    """
    asked = json.dumps({"report": base64.urlsafe_b64encode(report).rstrip(b"=").decode()})
    return parse_td_quote(ask(address, replace(TD_QUOTE, body=asked.encode()), runtime))


def parse_certification(body: bytes) -> bytes:
    """PEM from the service's JSON: `vcekCert`, then `certificateChain`. Raises ValueError, RecursionError."""
    answer = json.loads(body)
    parts = [
        answer.get(name) if isinstance(answer, dict) else None
        for name in ("vcekCert", "certificateChain")
    ]
    texts = [part.strip() for part in parts if isinstance(part, str)]
    if len(texts) != 2 or not all(text.startswith("-----BEGIN CERTIFICATE-----") for text in texts):
        raise ValueError("an answer without vcekCert and certificateChain")
    return "".join(f"{text}\n" for text in texts).encode("ascii")


def parse_td_quote(body: bytes) -> bytes:
    """The quote from the service's JSON: `quote`, in base64url or base64, padded or not.

    Raises ValueError, RecursionError.
    """
    answer = json.loads(body)
    text = answer.get("quote") if isinstance(answer, dict) else None
    text = text.rstrip("=") if isinstance(text, str) else ""
    if not text:
        raise ValueError("an answer without a quote")
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    quote = base64.b64decode(padded, altchars=b"-_", validate=True)
    if len(quote) > MAX_QUOTE:
        raise ValueError(f"a quote of {len(quote)} bytes, at most {MAX_QUOTE}")
    return quote
