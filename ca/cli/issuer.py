# SPDX-License-Identifier: Apache-2.0
"""`attestca issuer request|sign|install|list`: renewing the issuing CA while the root key stays offline.

    request   on the service's machine: a new key in the folder, a request in a file
    sign      on the machine with root.pem and root.key, which needs nothing else of the authority
    install   on the service's machine: the certificate beside its key, and the root's new CRL

The running service takes the new issuing CA within a minute. The old one stays in the folder: its CRL goes on, and what
it signed stays valid to its end. The file between `sign` and `install` is PEM: one certificate, one CRL.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import inputs, options, output
from ca.cli.exits import UnreadableError

if TYPE_CHECKING:
    from cryptography import x509

    from ca.app.keys import Keys
    from ca.config import Config, PassphraseSource

app = typer.Typer(name="issuer", help="Renew the issuing CA.", no_args_is_help=True)

RequestArgument = Annotated[str, typer.Argument(metavar="CSR")]
SignedArgument = Annotated[str, typer.Argument(metavar="FILE", help="What `issuer sign` wrote.")]
RootDirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Holds root.pem and root.key. Default: the configuration's folder of keys.",
    ),
]
PublicUrlOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The service's, in place of a configuration file."),
]
OidArcOption = Annotated[
    str | None, typer.Option(metavar="OID", help="The authority's, if it is not the default.")
]


@app.command("request")
def request_command(file: options.OutputOption, config: options.ConfigOption = None) -> None:
    """Make a key for a new issuing CA, and a request for its certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from ca.signers import files

    settings = options.load_config(config)
    keys = _keys(settings)
    _refuse_existing(file)
    der = keys.folder.request_issuing()
    request = x509.load_der_x509_csr(der)
    files.write_new(file, request.public_bytes(Encoding.PEM), mode=0o644)
    asyncio.run(_log(settings, "issuer.request", request.public_key()))
    output.print_facts({"request": str(file), "key id": _key_id(request.public_key())})
    output.say("Compare the key id where you sign it.")


@app.command("sign")
def sign_command(
    request: RequestArgument,
    file: options.OutputOption,
    root_dir: RootDirOption = None,
    config: options.ConfigOption = None,
    public_url: PublicUrlOption = None,
    oid_arc: OidArcOption = None,
    passphrase_file: options.PassphraseFileOption = None,
    passphrase_fd: options.PassphraseFdOption = None,
    passphrase_env: options.PassphraseEnvOption = None,
) -> None:
    """Sign a request with the root key. Without a configuration file, say --root-dir and --public-url."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from ca.app.keys import description_of
    from ca.config import read_passphrase
    from ca.signers import files
    from ca.signers.folder import KeyFolder

    passphrase = options.passphrase_source(passphrase_file, passphrase_fd, passphrase_env)
    settings = _offline(config, root_dir, public_url, oid_arc, passphrase)
    der = _request(request)
    _refuse_existing(file)
    folder = KeyFolder(settings.ca.directory, read_passphrase(settings), secrets.token_bytes)
    root = folder.root()
    certificate, crl = folder.sign_issuing(der, description_of(settings, root), inputs.now())
    files.write_new(file, certificate.public_bytes(Encoding.PEM) + _crl_pem(crl), mode=0o644)
    output.print_facts({"root": root.subject.rfc4514_string(), **_facts(certificate)})
    output.say(f"Take {file} to the service's machine: attestca issuer install {file.name}")


@app.command("install")
def install_command(file: SignedArgument, config: options.ConfigOption = None) -> None:
    """Install what `issuer sign` wrote. The service takes it within a minute, and needs no restart."""
    settings = options.load_config(config)
    keys = _keys(settings)
    certificate, crl = _signed(inputs.read_input(file), file)
    _check(keys, certificate)
    new_crl = _newer_crl(keys, crl)
    asyncio.run(_log(settings, "issuer.install", certificate.public_key()))
    if new_crl:
        keys.folder.install_root_crl(crl)
    keys.folder.install_issuing(certificate)
    output.print_facts(_facts(certificate))


@app.command("list")
def list_command(config: options.ConfigOption = None) -> None:
    """Show the issuing CAs, the one in force among them."""
    keys = _keys(options.load_config(config))
    now = inputs.now()
    valid = [held for held in keys.issuing_cas if held.valid(now)]
    output.print_table(
        ("key id", "subject", "not before", "not after", "state"),
        (
            (
                _key_id(held.certificate.public_key()),
                held.certificate.subject.rfc4514_string(),
                held.certificate.not_valid_before_utc.isoformat(),
                held.ends.isoformat(),
                "in force" if held in valid[-1:] else "valid" if held in valid else "ended",
            )
            for held in keys.issuing_cas
        ),
        "Issuing CAs",
    )


def _keys(settings: Config) -> Keys:
    from ca.app.keys import Keys
    from ca.config import read_passphrase

    return Keys.open(settings, read_passphrase(settings))


def _offline(
    config: Path | None,
    root_dir: Path | None,
    public_url: str | None,
    oid_arc: str | None,
    passphrase: PassphraseSource | None,
) -> Config:
    """The configuration, with what the command line says in its place."""
    from ca.config import default_path, load

    if public_url is not None and root_dir is None:
        raise typer.BadParameter("--public-url goes with --root-dir")
    ca = {
        "directory": root_dir and root_dir.absolute(),
        "oid_arc": oid_arc,
        "passphrase": passphrase,
    }
    said: dict[str, dict[str, object]] = {
        "ca": {key: str(value) for key, value in ca.items() if value is not None}
    }
    if public_url is None:
        return load(config or default_path(), said=said)
    return load(config, said={**said, "server": {"public_url": public_url}})


def _request(name: str) -> bytes:
    """DER of a request in PEM or DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    data = inputs.read_input(name)
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        request = x509.load_pem_x509_csr(data) if pem else x509.load_der_x509_csr(data)
    except ValueError as error:
        raise UnreadableError(f"{name}: not a certificate request") from error
    return request.public_bytes(Encoding.DER)


def _signed(data: bytes, name: str) -> tuple[x509.Certificate, bytes]:
    """The one certificate, and the DER of the one CRL."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        (certificate,) = x509.load_pem_x509_certificates(data)
        crl = x509.load_pem_x509_crl(data)
    except ValueError as error:
        raise UnreadableError(
            f"{name}: not one certificate and one CRL, as `attestca issuer sign` writes them"
        ) from error
    return certificate, crl.public_bytes(Encoding.DER)


def _check(keys: Keys, certificate: x509.Certificate) -> None:
    """Raises NotFound, Conflict."""
    from ca.errors import Conflict, LintFailed
    from ca.issuance.authority import check_install

    new = keys.folder.waiting(certificate)
    current = keys.issuing_cas[-1]
    try:
        check_install(keys.issuer(new), keys.issuer(current), new.key.public_key(), inputs.now())
    except LintFailed as error:  # the file's fault here, not ours
        raise Conflict(error.detail, code="not-installed") from error
    _check_crl_url(keys, certificate)


def _check_crl_url(keys: Keys, certificate: x509.Certificate) -> None:
    """Where the offline machine was told another address, relying parties would ask there. Raises Conflict."""
    from cryptography import x509

    from ca.app.keys import key_id
    from ca.errors import Conflict
    from ca.issuance.profile import crl_distribution
    from ca.issuance.request import root_crl_url

    wanted = root_crl_url(keys.of.public_url, key_id(keys.root))
    found = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    if found != crl_distribution(wanted):
        raise Conflict(
            f"its CRL address is not {wanted}: sign it again with --public-url {keys.of.public_url}",
            code="not-installed",
        )


def _newer_crl(keys: Keys, der: bytes) -> bool:
    """Whether this is another CRL than the one here, and a newer one of our root. Raises Conflict otherwise."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from ca.errors import Conflict

    if der == keys.folder.root_crl():
        return False
    crl = x509.load_der_x509_crl(der)
    public = keys.root.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):  # lint has held the root to that
        raise TypeError("the root key is P-384")
    if crl.issuer != keys.root.subject or not crl.is_signature_valid(public):
        raise Conflict("the CRL is not of this root", code="not-installed")
    if _crl_number(crl) <= _crl_number(x509.load_der_x509_crl(keys.folder.root_crl())):
        raise Conflict("the CRL is not newer than the one here", code="not-installed")
    return True


def _crl_number(crl: x509.CertificateRevocationList) -> int:
    from cryptography import x509

    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _refuse_existing(file: Path) -> None:
    """Before anything is made, for a file is never overwritten."""
    from ca.errors import ConfigurationError

    if file.exists() or not file.absolute().parent.is_dir():
        raise ConfigurationError(f"{file}: exists, or its folder does not")


def _crl_pem(der: bytes) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)


def _key_id(key: object) -> str:
    from ca.issuance import keys

    return keys.key_id(keys.accept(key)).hex()


def _facts(certificate: x509.Certificate) -> dict[str, str]:
    return {
        "issuing CA": certificate.subject.rfc4514_string(),
        "key id": _key_id(certificate.public_key()),
        "ends": certificate.not_valid_after_utc.isoformat(),
    }


async def _log(settings: Config, action: str, key: object) -> None:
    from ca.ports import OperatorAction
    from ca.store.sql import SqlStore

    store = await SqlStore.open(options.database_url(settings))
    try:
        await store.log_action(
            OperatorAction(inputs.now(), inputs.actor(), action, _key_id(key), json.dumps({}))
        )
    finally:
        await store.close()
