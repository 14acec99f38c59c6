# SPDX-License-Identifier: Apache-2.0
"""The certificate of the authority that certified a key of Google's virtual TPM, from where that certificate says.

Google publishes it in a bucket of its own, over plain HTTP (RFC 5280 section 4.2.2.1). No other host is asked. What
comes must have signed the key's certificate; whether it is Google's is the authority's to say.
"""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import AuthorityInformationAccessOID

from attestca_client import plainhttp
from attestca_client.chain import UNREADABLE
from attestca_client.plainhttp import Question, ask
from attestca_client.runtime import within

if TYPE_CHECKING:
    from attestca_client.runtime import Runtime

HOST: Final = re.compile(r"[a-z0-9.-]+\.storage\.googleapis\.com")
SECONDS: Final = 1.5  # for all of it, the name's resolution among it
MAX_CERTIFICATE: Final = 16 * 1024
FAULTS: Final = (
    *plainhttp.FAULTS,
    *UNREADABLE,
    x509.ExtensionNotFound,
    InvalidSignature,
    TypeError,
)


def fetch_issuer(
    leaf: x509.Certificate, runtime: Runtime, address: tuple[str, int] | None = None
) -> x509.Certificate:
    """The certificate that `leaf` was signed with, within 1.5 seconds from now.

    `address`: for tests, who is asked in the place of the host that `leaf` names.

    Raises the exceptions in `FAULTS`.
    """
    host, path = issuer_location(leaf)
    question = Question(path, {"Host": host}, seconds=SECONDS, most=MAX_CERTIFICATE)
    where = address or (host, http.client.HTTP_PORT)
    found = within(SECONDS, lambda: ask(where, question, runtime), "issuer")
    issuer = x509.load_der_x509_certificate(found)
    leaf.verify_directly_issued_by(issuer)
    return issuer


def issuer_location(leaf: x509.Certificate) -> tuple[str, str]:
    """Host and path that a certificate names for that of its issuer. Raises the exceptions in `FAULTS`."""
    found = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    for access in found:
        if access.access_method != AuthorityInformationAccessOID.CA_ISSUERS:
            continue
        if not isinstance(access.access_location, x509.UniformResourceIdentifier):
            continue
        parts = urlsplit(access.access_location.value)
        if parts.scheme == "http" and HOST.fullmatch(parts.netloc):
            return parts.netloc, parts.path or "/"
    raise ValueError("it names no bucket of Google's for that of its issuer")
