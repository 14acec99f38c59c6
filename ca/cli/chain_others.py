# SPDX-License-Identifier: Apache-2.0
"""`attestca chain hand-over|revoke`: what takes the signature of somebody besides the admin of now, or instead of it.

hand-over   both admins sign the same message, here or elsewhere; what is missing is said, and nothing is sent
revoke      the guardian's: signed elsewhere and carried by the account of chain.gas_keystore, or sent by the guardian
            itself, who pays then and needs neither this authority's machine nor its configuration
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ca.cli import chain_admin, chain_sign, log_chain, options, output

if TYPE_CHECKING:
    from ca.cli.chain_sign import Signing
    from ca.config import Config
    from ca.config.chain import Chain
    from ca.ledger.contract import Registry
    from ca.ledger.desk import Decision

NewAdminArgument = Annotated[
    str, typer.Argument(metavar="NEW_ADMIN", help="The address that is the admin from then on.")
]
NewSignatureOption = Annotated[
    str | None,
    typer.Option("--new-admin-signature", metavar="HEX", help="The new admin's, of the same."),
]
NewKeystoreOption = Annotated[
    Path | None,
    typer.Option("--new-admin-keystore", metavar="FILE", help="The new admin signs here."),
]
NewPassphraseOption = Annotated[
    Path | None,
    typer.Option("--new-admin-passphrase-file", metavar="FILE", help="Its passphrase is in it."),
]
HandlesArgument = Annotated[
    list[str], typer.Argument(metavar="HANDLE…", help="64 hexadecimal digits each.")
]
GuardianSignatureOption = Annotated[
    str | None,
    typer.Option(
        "--signature", metavar="HEX", help="The guardian's signature of what was printed."
    ),
]
GuardianKeystoreOption = Annotated[
    Path | None,
    typer.Option(
        "--guardian-keystore", metavar="FILE", help="Send it from this account, which pays."
    ),
]
GuardianPassphraseOption = Annotated[
    Path | None,
    typer.Option("--guardian-passphrase-file", metavar="FILE", help="Its passphrase is in it."),
]
TrustOption = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        metavar="BUNDLE",
        help="With --rpc, instead of a configuration: the authority's trust bundle names the place.",
    ),
]
RpcOption = Annotated[
    list[str] | None,
    typer.Option("--rpc", metavar="URL", help="With --trust: a node of the chain. Repeatable."),
]
MaxFeeOption = Annotated[
    float, typer.Option("--max-fee-gwei", min=0, help="With --trust: what gas may cost at most.")
]


def hand_over_command(
    new_admin: NewAdminArgument,
    signature: chain_sign.SignatureOption = None,
    admin_keystore: chain_sign.KeystoreOption = None,
    admin_passphrase_file: chain_sign.KeystorePassphraseOption = None,
    new_admin_signature: NewSignatureOption = None,
    new_admin_keystore: NewKeystoreOption = None,
    new_admin_passphrase_file: NewPassphraseOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Make another the admin, at once. Both sign the same. `chain.admin` stays as it is: the namespace hangs on it."""
    settings = options.load_config(config)
    old = chain_sign.admin(signature, admin_keystore, admin_passphrase_file)
    new = chain_sign.Signing(
        "the new admin",
        "--new-admin",
        "--new-admin-signature",
        new_admin_signature,
        new_admin_keystore,
        new_admin_passphrase_file,
    )
    successor = chain_admin.address_given(new_admin, "NEW_ADMIN")
    asyncio.run(_hand_over(settings, successor, old, new))


async def _hand_over(settings: Config, successor: bytes, old: Signing, new: Signing) -> None:
    from ca.ledger.desk import change, namespace

    registry = chain_admin.registry_of(settings)
    async with chain_admin.nodes_of(settings.chain) as nodes:
        found = await namespace(nodes, registry)
    decision = change(registry, "HandOver", {"admin": successor}, found)
    both = ((old, found.admin), (new, successor))
    made = [(who, who.sign(decision.typed, address)) for who, address in both]
    signatures = [one for _, one in made if one is not None]
    if len(signatures) == len(both):
        await chain_admin.send(settings, decision, *signatures)
        return
    for who, one in made:
        if one is None:
            output.say(f"To be signed by {who.who}, and given back with {who.option}")
        else:
            output.say(f"Signed by {who.who}: {who.option} 0x{one.hex()}")
    output.print_json(decision.typed)


def revoke_command(
    handles: HandlesArgument,
    signature: GuardianSignatureOption = None,
    guardian_keystore: GuardianKeystoreOption = None,
    guardian_passphrase_file: GuardianPassphraseOption = None,
    trust: TrustOption = None,
    rpc: RpcOption = None,
    max_fee_gwei: MaxFeeOption = 5,
    config: options.ConfigOption = None,
) -> None:
    """Revoke on the chain alone, as the guardian: for ever, and whatever the authority says. Counts against its cap."""
    guardian = chain_sign.Signing(
        "the guardian",
        "--guardian",
        "--signature",
        signature,
        guardian_keystore,
        guardian_passphrase_file,
    )
    if trust is not None and signature is not None:
        raise typer.BadParameter("--signature goes with a configuration, whose account pays")
    said = tuple(map(_handle, handles))
    place = _place(trust, rpc, max_fee_gwei, config)
    asyncio.run(_revoke(place, guardian, said))


async def _revoke(place: _Place, guardian: Signing, handles: tuple[bytes, ...]) -> None:
    from ca.errors import NotFound
    from ca.ledger.desk import namespace, revocation

    async with chain_admin.nodes_of(place.chain) as nodes:
        found = await namespace(nodes, place.registry)
    if not any(found.guardian):
        raise NotFound("the namespace has no guardian: `attestca chain set-guardian`")
    decision = revocation(place.registry, handles, found)
    payer = guardian.account(found.guardian)
    if payer is not None:
        async with chain_admin.desk_of(place.chain, payer) as desk:
            await chain_admin.carry(desk, decision.call(b""), place.chain)
        await _told(place, decision)
        return
    signature = guardian.sign(decision.typed, found.guardian)
    if signature is None:
        output.say("To be signed by the guardian, and given back with --signature:")
        output.print_json(decision.typed)
        return
    async with chain_admin.desk_of(place.chain) as desk:
        await chain_admin.carry(desk, decision.call(signature), place.chain)
    await _told(place, decision)


async def _told(place: _Place, decision: Decision) -> None:
    if place.settings is not None:
        await chain_admin.told(place.settings, decision)
    output.say("Revoke: done. The log does not know of it: have the authority revoke it too.")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the guardian revokes. `settings`: of the authority, on whose machine this runs then."""

    chain: Chain
    registry: Registry
    settings: Config | None


def _place(trust: Path | None, rpc: list[str] | None, fee: float, config: Path | None) -> _Place:
    """Raises BadParameter, UnreadableError, ConfigurationError."""
    from pydantic import ValidationError

    from attestca_client.protocol.trust import root_id
    from ca.config.chain import Chain
    from ca.ledger.contract import Registry

    if (trust is None) != (not rpc):
        raise typer.BadParameter("--trust goes with --rpc")
    bundle = log_chain.bundle_of(trust)
    if bundle is None:
        settings = options.load_config(config)
        return _Place(settings.chain, chain_admin.registry_of(settings), settings)
    there = bundle.chain
    if there is None:
        raise typer.BadParameter("--trust: the bundle names no chain")
    said = {"rpc": rpc, "chain_id": there.chain_id, "max_fee_gwei": fee}
    try:
        chain = Chain.model_validate(said)
    except ValidationError as error:
        raise typer.BadParameter(f"--rpc, --max-fee-gwei: {error.errors()[0]['msg']}") from error
    registry = Registry(there.chain_id, there.contract, root_id(bundle.root), there.admin)
    if registry.namespace != there.namespace:
        raise typer.BadParameter("--trust: its namespace is not that of its root and admin")
    return _Place(chain, registry, None)


def _handle(text: str) -> bytes:
    if not re.fullmatch("(0x)?[0-9a-fA-F]{64}", text):
        raise typer.BadParameter(f"HANDLE: {text!r} has not 64 hexadecimal digits")
    return bytes.fromhex(text.removeprefix("0x"))
