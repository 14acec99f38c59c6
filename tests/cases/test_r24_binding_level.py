# SPDX-License-Identifier: Apache-2.0
"""R-24, the certificates' side: each states the binding level that was reached, and nothing is labelled higher.

Three words: "none" without devices; "nonce", which no certificate gets, because this authority takes no devices that
the CPU's evidence does not name; "nonce+cpu-digest". None of them says that a device is this machine's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import LintFailed, RequestRefused
from ca.issuance import ear, extension, handles, lint, listed
from ca.issuance.request import Assurance, BindingLevel
from tests.authority_lab import (
    ARC,
    Lab,
    make_device,
    make_lab,
    make_request,
    make_switch,
    with_devices,
)
from tests.foreign_info import rewritten

if TYPE_CHECKING:
    from ca.issuance.extension import AttestationInfo

LABS = [make_lab(), make_lab(Assurance.SIMULATED)]
DEVICES = (make_device(0), make_device(1), make_switch())
COUNTS = range(len(DEVICES) + 1)
KEY_ID = b"i" * 20


def level_of(count: int) -> BindingLevel:
    """What a set of so many devices reaches."""
    return BindingLevel.NONCE_CPU_DIGEST if count else BindingLevel.NONE


def info_of(der: bytes) -> AttestationInfo:
    """AttestationInfo of a certificate."""
    found = x509.load_der_x509_certificate(der).extensions.get_extension_for_oid(
        x509.ObjectIdentifier(f"{ARC}.1.1")
    )
    return extension.decode(found.value.public_bytes())


def encoded(**changes: Any) -> bytes:  # noqa: ANN401 - goes to replace()
    """AttestationInfo of a machine with all devices."""
    request = make_request(**with_devices(*DEVICES))
    info = extension.info(request, handles.of_leaf(request, KEY_ID, 1 << 126))
    return extension.encode(replace(info, **changes))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("lab", LABS, ids=["real", "simulated"])
def test_certificate_and_result_state_the_level_that_was_reached(lab: Lab, count: int) -> None:
    """Of a request as the service makes it; the words are spelled out here, for they outlive releases."""
    word = "nonce+cpu-digest" if count else "none"
    issued = lab.issue(make_request(lab, devices=DEVICES[:count], binding=level_of(count)))
    info = info_of(issued.der)
    assert info.binding.value == word
    assert len(info.devices) == count
    claims = jwt.decode(ear.token(issued, lab.ear_key()), options={"verify_signature": False})
    assert ("devices" in claims["submods"]) is (count > 0)
    for submodule in claims["submods"].values():
        assert submodule["ear_verifier_claims"]["binding"] == word


@pytest.mark.parametrize("binding", BindingLevel)
@pytest.mark.parametrize("count", COUNTS)
def test_no_other_level_gets_through_lint(count: int, binding: BindingLevel) -> None:
    request = make_request(devices=DEVICES[:count], binding=binding)
    if binding is level_of(count):
        assert info_of(LABS[0].issue(request).der).binding is binding
        return
    with pytest.raises(LintFailed, match=r"^lints failed: binding-level$"):
        LABS[0].issue(request)


def test_nonce_alone_is_a_word_that_no_request_makes() -> None:
    assert {lint.binding_level(make_request(devices=DEVICES[:count])) for count in COUNTS} == {
        BindingLevel.NONE,
        BindingLevel.NONCE_CPU_DIGEST,
    }


@pytest.mark.parametrize(
    "word", ["cpu", "tdisp", "NONCE", "nonce+cpu-digest ", "nonce+cpu-digest+tdisp", ""]
)
def test_a_level_that_nobody_checks_is_no_level(word: str) -> None:
    with pytest.raises(ValueError, match="not a valid BindingLevel"):
        BindingLevel(word)
    with pytest.raises(RequestRefused):
        extension.decode(rewritten(encoded(), {"binding": word}))


def test_no_list_with_a_level_of_another() -> None:
    extension.decode(encoded())
    for der in (encoded(binding=BindingLevel.NONE), encoded(devices=())):
        with pytest.raises(RequestRefused, match="a binding level without its devices"):
            extension.decode(der)


@given(count=st.integers(0, 3), binding=st.sampled_from(BindingLevel), withheld=st.booleans())
def test_what_is_encoded_is_decoded_or_contradicts_itself(
    count: int, binding: BindingLevel, *, withheld: bool
) -> None:
    devices = tuple(listed.of(one) for one in DEVICES[:count])
    if withheld:
        devices = tuple(replace(one, handle=None) for one in devices)
    der = encoded(devices=devices, binding=binding)
    if (binding is BindingLevel.NONE) is (count == 0):
        found = extension.decode(der)
        assert (found.devices, found.binding) == (devices, binding)
        assert extension.encode(found) == der
        return
    with pytest.raises(RequestRefused):
        extension.decode(der)


def test_the_result_claims_no_more_for_devices_than_the_level_carries() -> None:
    """Neither that a device is this machine's (instance-identity), nor that nobody looks into it (runtime-opaque)."""
    issued = LABS[0].issue(make_request(**with_devices(*DEVICES)))
    claims = jwt.decode(ear.token(issued, LABS[0].ear_key()), options={"verify_signature": False})
    vector = claims["submods"]["devices"]["ear_trustworthiness_vector"]
    assert vector.keys() == {"hardware", "executables", "configuration"}
