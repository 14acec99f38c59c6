# SPDX-License-Identifier: Apache-2.0
"""The fields of a report that a host fills in at launch: what they hold, and whether a log says the same.

MRCONFIGID, MROWNER and MROWNERCONFIG of a TD (48 bytes each), HOST_DATA of an SEV-SNP guest (32) and, behind Azure's
paravisor, PCR 8 (32): the CPU signs them and gives them no meaning. Host and guest agree on one; what makes it true is
a guest that holds to it, so code that does has to be pinned beside it. dstack's agreements can be seen in MRCONFIGID:

    version 1   01, the compose-hash, 15 zero bytes
    version 2   02, Keccak-256 of compose-hash, app-id, kind of the key provider (1 byte) and its id, 15 zero bytes
    version 3   03, SHA-256 over a document that the host wrote, 15 zero bytes; see `handed`

A dstack guest does not start where the field is not zero and not its own configuration's. Confidential Containers put
the hash of init data there, which no byte tells from another hash. A hash of 32 bytes that happens to begin with 01, 02
or 03 and ends in a zero byte looks like dstack's too: a form is a name for what is seen, never a verdict.

Sources: Intel TDX Module ABI, TD_PARAMS; AMD 56860, SNP_LAUNCH_FINISH; Dstack-TEE/dstack, dstack-types (mr_config) and
dstack-util (config_id_verifier).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from verifiers import jsontext
from verifiers.eventlog.keccak import keccak256

if TYPE_CHECKING:
    from verifiers.eventlog.claims import DstackIdentity, Value

_HASH: Final = 32
_KEY_PROVIDERS: Final = {"none": 0, "local-sgx": 1, "kms": 2, "tpm": 3, "amd-snp-derived": 4}


class LaunchField(StrEnum):
    """A field, by the name of its register in policies and claims."""

    MR_CONFIG_ID = "mr_config_id"
    MR_OWNER = "mr_owner"
    MR_OWNER_CONFIG = "mr_owner_config"
    HOST_DATA = "host_data"
    PCR8 = "pcr8"

    @property
    def size(self) -> int:
        """Bytes."""
        return 32 if self in {LaunchField.HOST_DATA, LaunchField.PCR8} else 48

    @property
    def vendor_name(self) -> str:
        """As the vendor writes it."""
        return _VENDOR_NAMES[self]

    @property
    def meaning(self) -> str:
        """What it is for, in half a line."""
        return _MEANINGS[self]


_VENDOR_NAMES: Final = {
    LaunchField.MR_CONFIG_ID: "MRCONFIGID",
    LaunchField.MR_OWNER: "MROWNER",
    LaunchField.MR_OWNER_CONFIG: "MROWNERCONFIG",
    LaunchField.HOST_DATA: "HOST_DATA",
    LaunchField.PCR8: "PCR 8",
}
_MEANINGS: Final = {
    LaunchField.MR_CONFIG_ID: "an id of the TD's configuration, set by who starts it",
    LaunchField.MR_OWNER: "an id of the TD's owner, set by who starts it",
    LaunchField.MR_OWNER_CONFIG: "an id of the owner's own configuration, set by who starts it",
    LaunchField.HOST_DATA: "bytes of the host's choice, set at launch",
    LaunchField.PCR8: "extended by the guest: with init data, or with GRUB's commands",
}


class Form(StrEnum):
    """What a field's bytes look like."""

    ZERO = "zero"
    DSTACK_V1 = "dstack-v1"
    DSTACK_V2 = "dstack-v2"
    DSTACK_V3 = "dstack-v3"
    OPAQUE = "opaque"  # a hash of something, an id, a text: its bytes do not tell


_VERSIONS: Final = {1: Form.DSTACK_V1, 2: Form.DSTACK_V2, 3: Form.DSTACK_V3}


@dataclass(frozen=True, slots=True)
class Held:
    """One field of a report."""

    field: LaunchField
    value: bytes

    @property
    def form(self) -> Form:
        """What the bytes look like."""
        if not any(self.value):
            return Form.ZERO
        of_dstack = (
            self.field is LaunchField.MR_CONFIG_ID
            and any(self.value[1 : 1 + _HASH])
            and not any(self.value[1 + _HASH :])
        )
        return _VERSIONS.get(self.value[0], Form.OPAQUE) if of_dstack else Form.OPAQUE

    @property
    def digest(self) -> bytes | None:
        """The 32 bytes in a form of dstack's."""
        return self.value[1 : 1 + _HASH] if self.form in _VERSIONS.values() else None

    @property
    def compose_hash(self) -> bytes | None:
        """The compose-hash of dstack, 32 bytes, where the field has it in clear."""
        return self.digest if self.form is Form.DSTACK_V1 else None

    @property
    def text(self) -> str:
        """What it holds, for people; who chose the bytes chose the digits in it and nothing else."""
        if self.digest is not None:
            return _TEXTS[self.form].format(self.digest.hex())
        if self.form is Form.OPAQUE:
            return "not zero, in no form that says what it is"
        return f"all zero: {_WHO_GAVE_NONE.get(self.field, 'the host gave none')}"


_WHO_GAVE_NONE: Final = {LaunchField.PCR8: "nothing was extended into it"}
_TEXTS: Final = {
    Form.DSTACK_V1: "dstack's compose-hash {}",
    Form.DSTACK_V2: "dstack's version 2, the hash {} over compose-hash, app-id and key provider",
    Form.DSTACK_V3: "dstack's version 3, the hash {} of a configuration document",
}


class Agreement(StrEnum):
    """Whether a log's identity of dstack is that of the field."""

    AGREES = "agrees"
    CONTRADICTS = "contradicts"
    NOT_COMPARABLE = "not-comparable"  # the log, or the form, does not have what it takes


def compare(held: Held, identity: DstackIdentity) -> Agreement:
    """Whether a field in a form of dstack's says of the application what the replayed log says."""
    said = _as_held(held.form, identity)
    if said is None:
        return Agreement.NOT_COMPARABLE
    return Agreement.AGREES if said == held.digest else Agreement.CONTRADICTS


def _as_held(form: Form, identity: DstackIdentity) -> bytes | None:
    """The 32 bytes that the field would have for this application; None where they do not follow from the log."""
    compose, app = identity.compose_hash, identity.app_id
    if form is Form.DSTACK_V1 and compose is not None:
        return compose.value
    if form is not Form.DSTACK_V2 or compose is None or app is None:
        return None
    provider = _key_provider(identity.key_provider)
    return None if provider is None else keccak256(compose.value + app.value + provider)


def _key_provider(measured: Value | None) -> bytes | None:
    """Kind and id, as version 2 hashes them: the guest refuses a provider of another id than the one it is told."""
    if measured is None:
        return None
    try:
        members = jsontext.parse(measured.value)
        kind, identity = _KEY_PROVIDERS[str(members["name"])], bytes.fromhex(str(members["id"]))
    except (ValueError, KeyError):
        return None
    return bytes([kind]) + identity
