# SPDX-License-Identifier: Apache-2.0
"""Quotes of TPMs, before ours and before tpm2_checkquote, which shares no code with it: real ones, and fresh ones.

The fresh ones are made by a software TPM under keys of each kind. What it was extended with is told by an event log,
which replays to what it quotes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import replace
from struct import pack
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from attestca_client.tpm import SAFE_PATH
from tests import tdx_vectors, vtpm_vectors
from tests.azure_td_lab import TdLab
from tests.eventlog_lab import action, digests, event2, tcg2
from tests.unit.client import software_tpm
from tests.unit.client.software_tpm import AK_ATTRIBUTES
from verifiers.errors import Reason, VerificationError
from verifiers.eventlog.claims import SecureBoot
from verifiers.eventlog.events import Algorithm, Register
from verifiers.eventlog.replay import ReplayState
from verifiers.evidence import Evidence, EvidenceKind
from verifiers.logs import booted
from verifiers.vtpm import hcl
from verifiers.vtpm.attest import parse_attest, verify_quote
from verifiers.vtpm.bare import sort_quote, verify_bare
from verifiers.vtpm.public import read_attestation_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.client.software_tpm import SoftwareTpm
    from tests.vtpm_vectors import TpmVector
    from verifiers.vtpm.claims import TpmClaims

CHECKQUOTE = shutil.which("tpm2_checkquote", path=SAFE_PATH)
NOTICE = "tpm2-tools are not installed: tpm2_checkquote has judged no quote"
BANKS = {"sha256": (0x000B, 32), "sha384": (0x000C, 48)}
SHA256 = (0x0B,)
NONCE = bytes(range(32))


def serialized(pcrs: bytes, bank: str) -> bytes:
    """24 values as tpm2-tools keep them: TPML_PCR_SELECTION and TPML_DIGESTs of eight, as they lie in memory."""
    algorithm, size = BANKS[bank]
    selection = pack("<I", 1) + pack("<HB", algorithm, 3) + b"\xff\xff\xff\0\0"
    values = [pcrs[at : at + size] for at in range(0, len(pcrs), size)]
    digests_ = [pack("<H", size) + value.ljust(64, b"\0") for value in values]
    lists = [pack("<I", 8) + b"".join(digests_[at : at + 8]) for at in (0, 8, 16)]
    return selection.ljust(132, b"\0") + pack("<I", len(lists)) + b"".join(lists)


def checkquote(
    folder: Path, vector: TpmVector, key: vtpm_vectors.Key, bank: str, nonce: bytes
) -> bool:
    """Whether tpm2_checkquote accepts it."""
    if CHECKQUOTE is None:
        pytest.skip(NOTICE)
    tpmt = vector.signature
    if len(tpmt) == 256:  # bare, as Azure's tools give it
        tpmt = pack(">HHH", 0x0014, 0x000B, 256) + tpmt
    files = {
        "ak": key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "message": vector.attest,
        "signature": tpmt,
        "pcrs": serialized(vector.pcrs, bank),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    words = ["-u", "ak", "-m", "message", "-s", "signature", "-f", "pcrs", "-q", nonce.hex()]
    done = subprocess.run(  # noqa: S603 - a program of the system
        [CHECKQUOTE, *words],
        cwd=folder,
        env={"PATH": SAFE_PATH, "TPM2TOOLS_TCTI": "none"},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def ours(vector: TpmVector, key: vtpm_vectors.Key, nonce: bytes) -> bool:
    """Whether we do."""
    try:
        claims = verify_quote(parse_attest(vector.attest), vector.signature, vector.pcrs, key)
    except VerificationError:
        return False
    return claims.extra_data == nonce


def both(folder: Path, vector: TpmVector, key: vtpm_vectors.Key, bank: str, nonce: bytes) -> bool:
    """What both say, who must agree."""
    said = ours(vector, key, nonce)
    assert checkquote(folder, vector, key, bank, nonce) is said
    return said


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def agree(folder: Path, vector: TpmVector, key: vtpm_vectors.Key, bank: str, nonce: bytes) -> None:
    """A right quote is accepted by both; whatever is changed, both refuse."""
    assert both(folder, vector, key, bank, nonce)
    for changed in (
        replace(vector, attest=flipped(vector.attest, 60)),
        replace(vector, attest=flipped(vector.attest, len(vector.attest) - 1)),
        replace(vector, signature=flipped(vector.signature, len(vector.signature) - 1)),
        replace(vector, pcrs=flipped(vector.pcrs, 9 * BANKS[bank][1])),
        replace(vector, pcrs=flipped(vector.pcrs, len(vector.pcrs) - 1)),
    ):
        assert not both(folder, changed, key, bank, nonce)
    assert not both(folder, vector, key, bank, nonce[:-1] + bytes([nonce[-1] ^ 1]))


def key_of(vector: TpmVector) -> vtpm_vectors.Key:
    if vector.ak_der:
        key = load_der_public_key(vector.ak_der)
        assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        return key
    return hcl.read_runtime_data(hcl.parse_hcl(vector.hcl))[1]


@pytest.mark.parametrize("name", [*vtpm_vectors.AZURE, "plain-tpm-quote"])
def test_real_quotes(name: str, tmp_path: Path) -> None:
    vector = vtpm_vectors.load(name)
    nonce = bytes.fromhex(vector.expected["tpm_quote"]["extraData"])
    agree(tmp_path, vector, key_of(vector), "sha256", nonce)


@pytest.mark.parametrize("bank", BANKS)
def test_real_quotes_of_google(bank: str, tmp_path: Path) -> None:
    vector = vtpm_vectors.load_gce()[bank]
    nonce = bytes.fromhex(vector.expected["tpm_quote"]["extraData"])
    public = (tdx_vectors.ROOT / "vtpm" / vtpm_vectors.GCE / "ak_tpmt_public.bin").read_bytes()
    agree(tmp_path, vector, read_attestation_key(public), bank, nonce)


# A software TPM


@pytest.fixture(scope="module")
def tpm() -> Iterator[SoftwareTpm]:
    with software_tpm.started() as running:
        yield running


KEYS = {
    "rsa2048": "rsa2048:rsassa-sha256:null",
    "rsa3072": "rsa3072:rsassa-sha256:null",
    "rsa-sha384": "rsa2048:rsassa-sha384:null",
    "p256": "ecc256:ecdsa-sha256:null",
    "p384": "ecc384:ecdsa-sha384:null",
}


def make_key(tpm: SoftwareTpm, name: str, scheme: str, attributes: str = AK_ATTRIBUTES) -> bytes:
    """TPM2B_PUBLIC of a key that is in the file `name` then."""
    tpm.tool("createprimary", "-C", "e", "-G", scheme, "-a", attributes, "-c", name)
    tpm.tool("flushcontext", "-t")
    tpm.tool("readpublic", "-c", name, "-f", "tss", "-o", "public")
    tpm.tool("flushcontext", "-t")
    return (tpm.folder / "public").read_bytes()


def quoted(tpm: SoftwareTpm, name: str, selection: str, scheme: str = "") -> TpmVector:
    hash_ = ("-g", scheme) if scheme else ()
    words = ("-m", "message", "-s", "signature", "-o", "pcrs", "-F", "values")
    tpm.tool("quote", "-c", name, "-l", selection, "-q", NONCE.hex(), *words, *hash_)
    tpm.tool("flushcontext", "-t")
    attest, signature, pcrs = (
        (tpm.folder / part).read_bytes() for part in ("message", "signature", "pcrs")
    )
    return vtpm_vectors.TpmVector(name, attest, signature, pcrs, b"", b"", b"", {})


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("bank", BANKS)
def test_fresh_quotes(tpm: SoftwareTpm, tmp_path: Path, name: str, bank: str) -> None:
    public = make_key(tpm, name, KEYS[name])
    scheme = "sha384" if "384" in KEYS[name].partition("-")[2] else "sha256"
    vector = quoted(tpm, name, f"{bank}:all", scheme)
    agree(tmp_path, vector, read_attestation_key(public), bank, NONCE)


def test_a_selection_of_two_banks(tpm: SoftwareTpm) -> None:
    public = make_key(tpm, "p256", KEYS["p256"])
    vector = quoted(tpm, "p256", "sha256:0,7,16,23+sha384:4")
    quote = sort_quote([public, vector.pcrs, vector.attest, vector.signature])
    assert quote is not None
    claims = verify_bare(quote)
    assert [(str(bank), index) for bank, index, _ in claims.pcrs] == [
        *(("sha256", index) for index in (0, 7, 16, 23)),
        ("sha384", 4),
    ]


UNRESTRICTED = AK_ATTRIBUTES.replace("|restricted", "")


@pytest.mark.parametrize("scheme", ["rsa2048:rsassa-sha256:null", "ecc256:ecdsa-sha256:null"])
def test_a_key_that_signs_anything(tpm: SoftwareTpm, scheme: str) -> None:
    """It could have signed a quote that no TPM made: its own public area says so."""
    public = make_key(tpm, "loose", scheme, UNRESTRICTED)
    with pytest.raises(VerificationError, match="not restricted") as caught:
        read_attestation_key(public)
    assert caught.value.reason is Reason.UNSUPPORTED_FORMAT


def test_an_endorsement_key_is_none(tpm: SoftwareTpm) -> None:
    tpm.tool("createek", "-c", "ek", "-G", "rsa", "-u", "ek.pub", "-f", "tss")
    tpm.tool("flushcontext", "-t")
    with pytest.raises(VerificationError, match="no signing key") as caught:
        read_attestation_key((tpm.folder / "ek.pub").read_bytes())
    assert caught.value.reason is Reason.UNSUPPORTED_FORMAT


# Its event log

BOOT = (
    (7, b"Secure Boot is none of these events"),
    (4, b"Calling EFI Application from Boot Option"),
    (4, b"a boot loader"),
    (5, b"Exit Boot Services Invocation"),
    (9, b"an initial file system"),
)


def told(*events: tuple[int, bytes]) -> bytes:
    return tcg2(*(action(index, text, SHA256) for index, text in events), algorithms=SHA256)


def measured(tpm: SoftwareTpm) -> TpmClaims:
    """A fresh TPM that these events were measured into, quoted."""
    public = make_key(tpm, "ak", KEYS["p256"])
    for index, text in BOOT:
        tpm.tool("pcrextend", f"{index}:sha256={hashlib.sha256(text).hexdigest()}")
    vector = quoted(tpm, "ak", "sha256:all")
    quote = sort_quote([public, vector.pcrs, vector.attest, vector.signature])
    assert quote is not None
    return verify_bare(quote)


@pytest.fixture(scope="module")
def quote_of_a_boot() -> TpmClaims:
    with software_tpm.started() as fresh:
        return measured(fresh)


def judged(tpm: TpmClaims, log: bytes) -> dict[Register, ReplayState]:
    """By the registry, as of a TD of Azure whose vTPM this is."""
    claims = replace(TdLab().verify(), tpm=tpm)
    boot = booted(claims, [Evidence(EvidenceKind.TPM_EVENT_LOG, log)])
    assert boot is not None
    assert boot.algorithm is Algorithm.SHA256
    assert boot.claims.secure_boot in {None, SecureBoot.UNDETERMINED}
    return {register: one.state for register, one in boot.replayed.items()}


def test_its_log_replays(quote_of_a_boot: TpmClaims) -> None:
    states = judged(quote_of_a_boot, told(*BOOT))
    assert set(states) == set(list(Register)[5:])
    assert set(states.values()) == {ReplayState.REPLAYED}


@pytest.mark.parametrize("place", range(len(BOOT)))
def test_a_log_that_leaves_an_event_out(quote_of_a_boot: TpmClaims, place: int) -> None:
    states = judged(quote_of_a_boot, told(*BOOT[:place], *BOOT[place + 1 :]))
    wrong = {one for one, state in states.items() if state is not ReplayState.REPLAYED}
    assert wrong == {Register(f"pcr{BOOT[place][0]}")}


def test_a_log_in_another_order(quote_of_a_boot: TpmClaims) -> None:
    states = judged(quote_of_a_boot, told(BOOT[0], BOOT[2], BOOT[1], *BOOT[3:]))
    assert states[Register.PCR4] is ReplayState.MISMATCH


def test_an_event_that_extends_nothing(quote_of_a_boot: TpmClaims) -> None:
    """EV_NO_ACTION with a digest, which a TPM was never extended with."""
    silent = event2(4, 3, digests(b"x", SHA256), b"x")
    log = tcg2(*(action(i, t, SHA256) for i, t in BOOT), silent, algorithms=SHA256)
    assert judged(quote_of_a_boot, log)[Register.PCR4] is ReplayState.REPLAYED


def test_a_log_without_the_quoted_bank(quote_of_a_boot: TpmClaims) -> None:
    with pytest.raises(VerificationError) as caught:
        judged(quote_of_a_boot, tcg2(action(4, b"x", (0x0C,)), algorithms=(0x0C,)))
    assert caught.value.reason is Reason.INCOMPLETE


def test_a_log_of_a_td_is_not_one_of_a_tpm(quote_of_a_boot: TpmClaims) -> None:
    claims = replace(TdLab().verify(), tpm=quote_of_a_boot)
    with pytest.raises(VerificationError) as caught:
        booted(claims, [Evidence(EvidenceKind.CCEL, told(*BOOT))])
    assert caught.value.reason is Reason.EVIDENCE


def test_without_a_pcr_no_log_is_judged(quote_of_a_boot: TpmClaims) -> None:
    log = [Evidence(EvidenceKind.TPM_EVENT_LOG, told(*BOOT))]
    lab = TdLab()
    for tpm in (None, replace(quote_of_a_boot, pcrs=())):
        with pytest.raises(VerificationError) as caught:
            booted(replace(lab.verify(), tpm=tpm), log)
        assert caught.value.reason is Reason.EVIDENCE
