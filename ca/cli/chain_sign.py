# SPDX-License-Identifier: Apache-2.0
"""How somebody signs what the registry takes: not yet, elsewhere, or here with a keystore file.

Whoever it is has options that begin alike: `--admin-keystore` and `--admin-passphrase-file` sign here, and a signature
that was made elsewhere (by a wallet, say) comes back as hexadecimal digits. What is given is looked at before anything
else is done.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ca.cli import inputs

if TYPE_CHECKING:
    from ca.ledger.accounts import LocalAccount

SignatureOption = Annotated[
    str | None,
    typer.Option("--signature", metavar="HEX", help="The admin's signature of what was printed."),
]
KeystoreOption = Annotated[
    Path | None,
    typer.Option("--admin-keystore", metavar="FILE", help="Sign here, with the key in this file."),
]
KeystorePassphraseOption = Annotated[
    Path | None,
    typer.Option("--admin-passphrase-file", metavar="FILE", help="Its passphrase is in it."),
]


@dataclass(frozen=True, slots=True)
class Signing:
    """Of `who`, in words. `prefix`: what the names of the keystore's options begin with. Raises BadParameter."""

    who: str
    prefix: str
    option: str
    signature: str | None
    keystore: Path | None
    passphrase: Path | None

    def __post_init__(self) -> None:
        if self.signature is not None and self.keystore is not None:
            raise typer.BadParameter(f"only one of {self.option} and {self.prefix}-keystore")
        if self.signature is not None and not re.fullmatch(
            "(0x)?([0-9a-fA-F]{2})+", self.signature
        ):
            raise typer.BadParameter(f"{self.option}: must be hexadecimal digits")
        if (self.keystore is None) != (self.passphrase is None):
            raise typer.BadParameter(
                f"{self.prefix}-keystore goes with {self.prefix}-passphrase-file"
            )

    def sign(self, typed: dict[str, Any], address: bytes) -> bytes | None:
        """The signature of typed data by the one with this address; None where it is still to be made.

        One that was made elsewhere is for the contract to judge: who signs may be a contract itself.
        """
        from ca.ledger.desk import sign_typed

        if self.signature is not None:
            return bytes.fromhex(self.signature.removeprefix("0x"))
        account = self.account(address)
        return None if account is None else sign_typed(account, typed)

    def account(self, address: bytes) -> LocalAccount | None:
        """The key in the keystore, which must be the one with this address. Raises BadParameter."""
        from ca.config import PassphraseSource, read_from
        from ca.ledger.accounts import address_of, open_keystore
        from ca.ledger.contract import checksum

        if self.keystore is None:
            return None
        source = PassphraseSource("file", str(self.passphrase))
        passphrase = read_from(source, f"{self.prefix}-passphrase-file")
        found = open_keystore(inputs.read_input(self.keystore), passphrase, str(self.keystore))
        if address_of(found) != address:
            wanted = checksum(address)
            raise typer.BadParameter(f"{self.prefix}-keystore: not the key of {self.who}, {wanted}")
        return found


def admin(signature: str | None, keystore: Path | None, passphrase: Path | None) -> Signing:
    """The admin of the namespace, as the commands of `ca.cli.chain_admin` have it."""
    return Signing("the admin", "--admin", "--signature", signature, keystore, passphrase)
