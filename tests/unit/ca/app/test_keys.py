# SPDX-License-Identifier: Apache-2.0
"""Which key is in force when, what is renewed and what is kept; and whether an authority may start at all (R-46)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from attestca_client.chain import spki
from attestca_client.protocol import ca_id as client_ca_id
from ca.app.keys import Keys, anchors_of, ca_id, key_id
from ca.app.service import opened
from ca.errors import ConfigurationError
from ca.issuance import request
from ca.issuance.authority import (
    RENEW_RESPONDER,
    RENEW_SERVICE,
    RESPONDER_LIFETIME,
    SERVICE_LIFETIME,
)
from ca.issuance.request import Assurance
from simulator.intel import FakeIntel
from simulator.pki import pem
from tests.app_lab import PASSPHRASE, install_issuing, make_config, make_keys
from verifiers.anchors import builtin

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ca.config import Config
    from ca.signers.folder import Held
    from tests.vendor_lab import Clock

DAY = timedelta(days=1)


@dataclass
class Place:
    """An authority's files, and their reader."""

    config: Config
    clock: Clock

    def open(self) -> Keys:
        return Keys.open(self.config, PASSPHRASE)


@pytest.fixture
def place(tmp_path: Path, app_clock: Clock) -> Place:
    config = simulated_config(tmp_path, app_clock)
    make_keys(config, app_clock())
    return Place(config, app_clock)


def simulated_config(folder: Path, clock: Clock, database_url: str = "sqlite:///none.db") -> Config:
    root = pem(FakeIntel.create(clock(), seed=b"unit").root_der)
    return make_config(folder, database_url, vendor="http://127.0.0.1:1", root_pem=root)


def real(config: Config) -> Config:
    return config.model_copy(update={"ca": config.ca.model_copy(update={"simulated_anchors": ()})})


# which issuing CA


def test_of_the_valid_ones_the_one_that_ends_last(place: Place) -> None:
    first = place.open().current(place.clock())
    place.clock.advance(days=80)
    install_issuing(place.config, place.clock())
    keys = place.open()
    second = keys.current(place.clock())
    assert second.certificate != first.certificate
    assert [held.certificate for held in keys.issuing_cas] == [
        first.certificate,
        second.certificate,
    ]
    before = second.certificate.not_valid_before_utc - timedelta(seconds=1)
    assert keys.current(before).certificate == first.certificate, "not before its time"
    assert keys.current(first.ends + DAY).certificate == second.certificate


def test_none_is_valid(place: Place) -> None:
    keys = place.open()
    for now in (place.clock() - DAY, place.clock() + 91 * DAY):
        with pytest.raises(ConfigurationError, match="no issuing CA certificate is valid now"):
            keys.current(now)


def test_reload_sees_what_was_installed(place: Place) -> None:
    keys = place.open()
    place.clock.advance(days=1)
    install_issuing(place.config, place.clock())
    assert len(keys.issuing_cas) == 1
    keys.reload()
    assert len(keys.issuing_cas) == 2


def test_an_issuer_is_linted_once_and_reserves_the_services_names(place: Place) -> None:
    keys = place.open()
    held = keys.current(place.clock())
    issuer = keys.issuer(held)
    assert keys.issuer(held) is issuer
    assert issuer.reserved_names == {"ca.example.org"}
    assert issuer.assurance is Assurance.SIMULATED


async def test_the_signer_holds_the_key_and_its_chain(place: Place) -> None:
    keys = place.open()
    held = keys.current(place.clock())
    signer = keys.signer(held)
    assert [x509.load_der_x509_certificate(der) for der in signer.chain_der] == [
        held.certificate,
        keys.root,
    ]


# the service's own


async def test_what_is_missing_is_made_once(place: Place) -> None:
    keys = place.open()
    assert (keys.tls, keys.ear) == ((), ())
    assert await keys.renew_service(place.clock())
    assert (len(keys.tls), len(keys.ear)) == (1, 1)
    for held in (*keys.tls, *keys.ear):
        held.certificate.verify_directly_issued_by(keys.current(place.clock()).certificate)
    names = keys.tls[0].certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["ca.example.org"]
    assert not await keys.renew_service(place.clock())
    assert not await place.open().renew_service(place.clock())


async def test_the_last_signer_of_results_ends_with_the_issuing_ca(place: Place) -> None:
    """One that ends hours before it could not sign for what the issuing CA still issues."""
    keys = place.open()
    await keys.renew_service(place.clock())
    issuing_ends = keys.current(place.clock()).ends
    for day in (
        29.5,
        59.2,
    ):  # two outages: the third signer then ends within the issuing CA's last day
        assert await keys.renew_service(place.clock() + day * DAY)
    assert issuing_ends - DAY < keys.ear[-1].ends < issuing_ends
    assert await keys.renew_service(issuing_ends - 2 * DAY)
    assert keys.ear[-1].ends == issuing_ends
    assert not await keys.renew_service(issuing_ends - DAY)


async def test_renewed_eight_days_before_the_end_and_not_before(place: Place) -> None:
    keys = place.open()
    await keys.renew_service(place.clock())
    due = keys.ear[0].ends - RENEW_SERVICE
    assert not await keys.renew_service(due - timedelta(seconds=1))
    assert await keys.renew_service(due)
    assert (len(keys.tls), len(keys.ear)) == (2, 2)
    assert keys.ear[-1].ends == due.replace(microsecond=0) + timedelta(days=30)


@pytest.mark.parametrize("days", [0, 75], ids=["far from its end", "to the end of its issuing CA"])
async def test_a_certificate_that_names_the_list_of_before_is_renewed_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """There was one CRL for each issuing CA before there was one for each day; nobody serves it any more."""

    def before(public_url: str, issuer_key_id: bytes, _day: object) -> str:
        return f"{public_url}/v1/crl/{issuer_key_id.hex()}.crl"

    def named(held: Held) -> list[str]:
        points = held.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints)
        return [name.value for point in points.value for name in point.full_name or ()]

    now = place.clock() + days * DAY
    keys = place.open()
    monkeypatch.setattr(request, "shard_url", before)
    assert await keys.renew_service(now)
    old = (*keys.tls, *keys.ear)
    issuing = key_id(keys.current(now).certificate).hex()
    assert [named(held) for held in old] == [[f"https://ca.example.org/v1/crl/{issuing}.crl"]] * 2
    monkeypatch.undo()

    later = now + timedelta(minutes=1)
    assert await keys.renew_service(later)
    for held in (keys.tls[-1], keys.ear[-1]):
        day = held.ends.date().isoformat()
        assert named(held) == [f"https://ca.example.org/v1/crl/{issuing}/{day}.crl"]
        assert held not in old
    assert not await keys.renew_service(later + timedelta(minutes=1))


async def test_at_the_end_of_the_issuing_ca_nothing_is_made_over_and_over(place: Place) -> None:
    """Its last certificates end with it; they are not renewed every minute because that is soon."""
    keys = place.open()
    await keys.renew_service(place.clock())
    end = keys.current(place.clock()).ends
    assert await keys.renew_service(end - 5 * DAY)
    assert keys.ear[-1].ends == end
    for left in (5, 4, 3, 2):
        assert not await keys.renew_service(end - left * DAY + timedelta(minutes=1))


async def test_a_new_issuing_ca_signs_the_services_next_certificates(place: Place) -> None:
    keys = place.open()
    await keys.renew_service(place.clock())
    end = keys.current(place.clock()).ends
    await keys.renew_service(end - 5 * DAY)
    install_issuing(place.config, end - 5 * DAY)
    keys.reload()
    assert await keys.renew_service(end - 5 * DAY)
    assert keys.ear[-1].certificate.issuer == keys.issuing_cas[-1].certificate.subject
    assert keys.ear[-1].ends > end


# who answers OCSP


async def renewed(keys: Keys, now: datetime) -> None:
    """What the service does every minute."""
    await keys.renew_responders(now)
    keys.reload()


async def test_every_issuing_ca_that_is_valid_has_a_responder_of_its_own(place: Place) -> None:
    keys = place.open()
    first = keys.current(place.clock())
    assert keys.responders(place.clock()) == ()
    await renewed(keys, place.clock())
    later = place.clock() + 60 * DAY
    install_issuing(place.config, later)
    await renewed(keys, later)
    second = keys.current(later)
    found = {one.issuer_key_id: one for one in keys.responders(later)}
    assert found.keys() == {key_id(first.certificate), key_id(second.certificate)}
    for held in (first, second):
        responder = found[key_id(held.certificate)]
        responder.certificate.verify_directly_issued_by(held.certificate)
        assert responder.key.public_key() == responder.certificate.public_key()
        usage = responder.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        assert list(usage.value) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    count = len(keys.ocsp)
    await renewed(keys, later)
    assert len(keys.ocsp) == count


async def test_a_new_issuing_ca_is_never_seen_without_its_responder(place: Place) -> None:
    keys = place.open()
    await renewed(keys, place.clock())
    later = place.clock() + 60 * DAY
    install_issuing(place.config, later)
    await keys.renew_responders(later)
    assert len(keys.issuing_cas) == 1, "made before it is taken"
    keys.reload()
    ours = {one.issuer_key_id for one in keys.responders(later)}
    assert key_id(keys.current(later).certificate) in ours


async def test_an_issuing_ca_that_has_ended_gets_none(place: Place) -> None:
    keys = place.open()
    ended = keys.current(place.clock()).ends + DAY
    install_issuing(place.config, ended)
    await renewed(keys, ended)
    (responder,) = keys.responders(ended)
    assert responder.issuer_key_id == key_id(keys.current(ended).certificate)


async def test_a_responder_is_renewed_and_never_asked_beyond_its_dates(place: Place) -> None:
    keys = place.open()
    await renewed(keys, place.clock())
    (held,) = keys.ocsp
    starts = held.certificate.not_valid_before_utc
    for now, count in (
        (starts - timedelta(seconds=1), 0),
        (starts, 1),
        (held.ends, 1),
        (held.ends + timedelta(seconds=1), 0),
    ):
        assert len(keys.responders(now)) == count
    assert held.ends - starts == RESPONDER_LIFETIME < SERVICE_LIFETIME
    due = held.ends - RENEW_RESPONDER
    await renewed(keys, due - timedelta(seconds=1))
    assert keys.ocsp == (held,)
    await renewed(keys, due)
    newest, oldest = keys.responders(due)
    assert newest.certificate.not_valid_after_utc > oldest.certificate.not_valid_after_utc
    assert oldest.certificate == held.certificate


async def test_a_responder_whose_issuing_ca_is_gone_answers_nobody(place: Place) -> None:
    keys = place.open()
    await renewed(keys, place.clock())
    (held,) = keys.issuing_cas
    place.clock.advance(minutes=1)
    install_issuing(place.config, place.clock())
    for path in place.config.ca.directory.glob(f"issuing-{key_id(held.certificate).hex()[:16]}*"):
        path.unlink()
    keys.reload()
    assert keys.responders(place.clock()) == ()
    await renewed(keys, place.clock())
    (responder,) = keys.responders(place.clock())
    assert responder.issuer_key_id == key_id(keys.current(place.clock()).certificate)


# names of the authority


def test_ids_are_those_that_the_client_computes(place: Place) -> None:
    root = place.open().root
    assert ca_id(root) == client_ca_id(spki(root.public_key()))
    assert len(key_id(root)) == 20


#


def test_a_simulated_root_without_simulated_anchors_does_not_open(place: Place) -> None:
    with pytest.raises(ConfigurationError, match="simulated_anchors"):
        Keys.open(real(place.config), PASSPHRASE)


def test_a_real_root_with_simulated_anchors_does_not_open(tmp_path: Path, app_clock: Clock) -> None:
    config = simulated_config(tmp_path, app_clock)
    make_keys(config, app_clock(), Assurance.VERIFIED)
    with pytest.raises(ConfigurationError, match="simulated_anchors"):
        Keys.open(config, PASSPHRASE)
    keys = Keys.open(real(config), PASSPHRASE)
    assert keys.of.assurance is Assurance.VERIFIED


@pytest.mark.parametrize("assurance", list(Assurance))
async def test_such_a_service_does_not_open(
    tmp_path: Path, app_clock: Clock, sqlite_url: str, assurance: Assurance
) -> None:
    config = simulated_config(tmp_path, app_clock, sqlite_url)
    make_keys(config, app_clock(), assurance)
    wrong = config if assurance is Assurance.VERIFIED else real(config)
    right = real(config) if assurance is Assurance.VERIFIED else config
    with pytest.raises(ConfigurationError, match="simulated_anchors"):
        async with opened(wrong):
            pass
    async with opened(right) as service:
        assert service.authority.anchors.simulated is (assurance is Assurance.SIMULATED)
        assert service.keys.of.assurance is assurance


def test_a_real_authority_trusts_the_built_in_anchors(place: Place) -> None:
    assert anchors_of(real(place.config)) is builtin()


def test_simulated_anchors_are_those_of_the_file(place: Place) -> None:
    anchors = anchors_of(place.config)
    assert anchors.simulated
    assert anchors.sha256 != builtin().sha256


def test_anchors_that_cannot_be_used(place: Place) -> None:
    """More in test_anchors.py."""
    der = builtin().intel_sgx_root.certificate.der
    (path,) = place.config.ca.simulated_anchors
    path.write_text(pem(der))
    with pytest.raises(ConfigurationError, match="a real vendor"):
        anchors_of(place.config)


# a folder that is not whole


def test_a_wrong_passphrase(place: Place) -> None:
    with pytest.raises(ConfigurationError, match="another passphrase"):
        Keys.open(place.config, b"not the passphrase")


def test_no_folder(place: Place) -> None:
    shutil.rmtree(place.config.ca.directory)
    with pytest.raises(ConfigurationError, match=r"root\.pem"):
        place.open()
