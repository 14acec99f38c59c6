# SPDX-License-Identifier: Apache-2.0
"""Enrollment at the use case, without HTTP: requests of the usual machine, answered at the app's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ca.enrollment import enroll
from ca.errors import RequestRefused
from ca.http.wire import decode_enrollment
from ca.issuance import nonce as nonces
from ca.ports import CertificateQuery

if TYPE_CHECKING:
    from ca.authority import Authority, EnrollmentRequest
    from ca.enrollment import Enrolled
    from tests.app_lab import App


class Desk:
    """Requests of the usual machine, and `enroll` at the app's clock."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.store = app.service.store
        self.authority = app.service.authority

    def nonce(self) -> bytes:
        a = self.authority
        return nonces.make(a.nonce_keys[0], a.ca_id, self.app.clock(), a.entropy(24)).value

    def request(self, **fields: Any) -> EnrollmentRequest:  # noqa: ANN401 - of App.body
        return decode_enrollment(self.app.body(self.nonce(), **fields))

    async def __call__(
        self, request: EnrollmentRequest | None = None, authority: Authority | None = None
    ) -> Enrolled:
        wanted = request or self.request()
        return await enroll(wanted, authority or self.authority, self.app.clock())

    async def refused(self, request: EnrollmentRequest, code: str) -> None:
        """Refused with that code, and the nonce is not spent."""
        with pytest.raises(RequestRefused) as caught:
            await self(request)
        assert caught.value.code == code
        assert await self.is_untouched(request)

    async def is_untouched(self, request: EnrollmentRequest) -> bool:
        kept = await self.store.certificates(CertificateQuery())
        return not (
            kept
            or await self.store.refusals(1, None)
            or await self.store.nonce_state(request.nonce)
        )

    async def active(self) -> bytes:
        """SHA-256 of the one policy in force."""
        (policy,) = await self.store.policies(active_only=True)
        return policy.sha256
