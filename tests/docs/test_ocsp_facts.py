# SPDX-License-Identifier: Apache-2.0
"""What docs/relying-parties.md says of the OCSP responder, in numbers and names, is what the code has."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from cryptography.x509 import ocsp

from ca.http.metrics import OcspOutcome
from ca.http.ocsp import CACHED
from ca.issuance.ocsp import LIFETIME
from ca.issuance.ocsp_question import (
    MAX_CERTIFICATES,
    MAX_NONCE_BYTES,
    MAX_REQUEST_BYTES,
    MAX_SERIAL_BYTES,
)
from tests import ocsp_lab
from tests.docs.documents import TOP, codes, rows, section

SECTION: Final = section(TOP / "docs" / "relying-parties.md", "## Asking for the status (OCSP)")
TEXT: Final = " ".join(SECTION.split())


def test_numbers() -> None:
    assert f"up to {MAX_CERTIFICATES} certificates" in TEXT
    assert f"{MAX_REQUEST_BYTES // 1024} KiB, {MAX_CERTIFICATES} certificates" in TEXT
    assert f"serial numbers from 1 on of up to {MAX_SERIAL_BYTES} bytes" in TEXT
    assert f"a nonce of 1 to {MAX_NONCE_BYTES} bytes" in TEXT
    assert timedelta(hours=1) == LIFETIME
    assert CACHED.endswith("max-age=300")
    assert "is good for an hour; caches keep it for five minutes" in TEXT


def test_hashes() -> None:
    named = {name.replace("-", "").lower() for name in re.findall(r"SHA-\d+", TEXT)}
    assert named == set(ocsp_lab.HASHES)


def test_every_answer_is_in_the_table() -> None:
    said = [codes(row[0])[0] for row in rows(SECTION)]
    statuses = [each.name.lower() for each in ocsp.OCSPCertStatus]
    errors = {
        OcspOutcome.UNAUTHORIZED: "unauthorized",
        OcspOutcome.MALFORMED: "malformedRequest",
        OcspOutcome.TRY_LATER: "tryLater",
    }
    assert set(errors) == set(OcspOutcome) - {OcspOutcome.ANSWERED}
    assert said == [*sorted(statuses, key=said.index), *errors.values()]
