# SPDX-License-Identifier: Apache-2.0
"""Intel's certificate hierarchy, as its real certificates are: names, extensions and their order, lifetimes.

Serial numbers are the subject key identifiers, as those of Intel's authorities. Source: Intel SGX PCK Certificate and
CRL Profile Specification 1.5. What a test wants otherwise it changes on the `Entity` or `Crl` it gets.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from simulator import pki
from simulator.pki import CertificateSpec, Crl, CrlSpec, Entity, Key

if TYPE_CHECKING:
    from datetime import datetime

    from simulator.pck import SgxExtension

ROOT_CRL_URL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
PCK_CRL_URL = "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca={}&encoding=der"
YEAR = timedelta(days=365)


def root(now: datetime, key: Key) -> Entity:
    """The root: self-signed, one level of authorities below it."""
    spec = CertificateSpec(
        serial=_serial(key),
        issuer=pki.name("Intel SGX Root CA"),
        subject=pki.name("Intel SGX Root CA"),
        not_before=now - 8 * YEAR,
        not_after=now + 23 * YEAR,
        spki=key.spki,
        extensions=_extensions(
            key,
            key,
            ROOT_CRL_URL,
            pki.CERT_SIGN_AND_CRL_SIGN,
            pki.basic_constraints(ca=True, path_len=1),
        ),
    )
    return Entity(spec=spec, signer=key, key=key)


def pck_ca(now: datetime, root: Entity, key: Key, kind: str) -> Entity:
    """A PCK authority; `kind` is "Platform" or "Processor"."""
    constraints = pki.basic_constraints(ca=True, path_len=0)
    spec = CertificateSpec(
        serial=_serial(key),
        issuer=root.spec.subject,
        subject=pki.name(f"Intel SGX PCK {kind} CA"),
        not_before=now - 8 * YEAR,
        not_after=now + 7 * YEAR,
        spki=key.spki,
        extensions=_extensions(
            root.key, key, ROOT_CRL_URL, pki.CERT_SIGN_AND_CRL_SIGN, constraints
        ),
    )
    return Entity(spec=spec, signer=root.key, key=key)


def tcb_signing(now: datetime, root: Entity, key: Key) -> Entity:
    """The signer of TCB info and QE identity."""
    spec = CertificateSpec(
        serial=_serial(key),
        issuer=root.spec.subject,
        subject=pki.name("Intel SGX TCB Signing"),
        not_before=now - YEAR,
        not_after=now + 6 * YEAR,
        spki=key.spki,
        extensions=_end_entity(root.key, key, ROOT_CRL_URL),
    )
    return Entity(spec=spec, signer=root.key, key=key)


def pck(now: datetime, ca: Entity, key: Key, kind: str, sgx: SgxExtension) -> Entity:
    """The certificate of a machine; `kind` is "platform" or "processor", as in the URL of its revocation list."""
    common = _end_entity(ca.key, key, PCK_CRL_URL.format(kind))
    spec = CertificateSpec(
        serial=_serial(key),
        issuer=ca.spec.subject,
        subject=pki.name("Intel SGX PCK Certificate"),
        not_before=now - timedelta(days=60),
        not_after=now + 7 * YEAR,
        spki=key.spki,
        extensions=(*common, sgx.extension()),
    )
    return Entity(spec=spec, signer=ca.key, key=key)


def crl(ca: Entity, this_update: datetime, next_update: datetime) -> Crl:
    """An empty revocation list of `ca`, number 1."""
    identifier = pki.authority_key_identifier(ca.key.key_id)
    extensions = (pki.crl_number(1), identifier)
    return Crl(spec=CrlSpec(ca.spec.subject, this_update, next_update, extensions), signer=ca.key)


def _end_entity(issuer: Key, key: Key, crl_url: str) -> tuple[pki.Extension, ...]:
    constraints = pki.basic_constraints(ca=False)
    return _extensions(issuer, key, crl_url, pki.SIGNATURE_AND_NON_REPUDIATION, constraints)


def _extensions(
    issuer: Key, key: Key, crl_url: str, usage: bytes, constraints: pki.Extension
) -> tuple[pki.Extension, ...]:
    """The five extensions of every certificate of Intel's, in its order."""
    return (
        pki.authority_key_identifier(issuer.key_id),
        pki.crl_distribution_point(crl_url),
        pki.subject_key_identifier(key.key_id),
        pki.key_usage(usage),
        constraints,
    )


def _serial(key: Key) -> int:
    return int.from_bytes(key.key_id, "big")
