# SPDX-License-Identifier: Apache-2.0
"""What a host hands to a guest at launch, and how reports and logs show it: init data, identities, a command line.

MRCONFIGID, MROWNER and MROWNERCONFIG of a TD (48 bytes each) and HOST_DATA of an SEV-SNP guest (32 bytes) mean what
host and guest agreed on; the CPU gives them no meaning. Two agreements are known here:

- Confidential Containers' init data: their hash, by the whole field and no padding. On Azure, where a paravisor has the
  field, the guest extends PCR 8 with it.
- dstack's configuration, version 1: 01, the compose-hash, 15 zero bytes, in MRCONFIGID.

A kernel that is started by firmware or a boot loader through EFI gets its command line as load options, which its EFI
stub measures.

Sources: confidential-containers/guest-components, attester; Dstack-TEE/dstack; Linux' EFI stub.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from hashlib import sha256, sha384
from typing import Final

from verifiers.eventlog.events import Algorithm

_DSTACK_V1: Final = b"\x01"
_COMPOSE_HASH: Final = 32


class LaunchField(StrEnum):
    """A field of a verified report, by its name in the claims."""

    MR_CONFIG_ID = "mr_config_id"
    MR_OWNER = "mr_owner"
    MR_OWNER_CONFIG = "mr_owner_config"
    HOST_DATA = "host_data"

    @property
    def size(self) -> int:
        """Bytes."""
        return 32 if self is LaunchField.HOST_DATA else 48


def init_data_digest(field: LaunchField, init_data: bytes) -> bytes:
    """What a field holds that init data were put in: SHA-384 of them in a TD's, SHA-256 in an SEV-SNP guest's.

    `init_data`: the text exactly as the guest got it.
    """
    return (sha256 if field is LaunchField.HOST_DATA else sha384)(init_data).digest()


def init_data_pcr8(init_data: bytes) -> bytes:
    """PCR 8 (bank SHA-256) of a guest on Azure that extended it with its init data alone."""
    return sha256(bytes(32) + sha256(init_data).digest()).digest()


def dstack_compose_hash(mr_config_id: bytes) -> bytes | None:
    """The compose-hash (32 bytes) in a MRCONFIGID of dstack's, version 1; None for any other content."""
    head, tail = mr_config_id[:1], mr_config_id[1 + _COMPOSE_HASH :]
    if head != _DSTACK_V1 or len(mr_config_id) != LaunchField.MR_CONFIG_ID.size or any(tail):
        return None
    return mr_config_id[1 : 1 + _COMPOSE_HASH]


def load_options_digest(text: str, algorithm: Algorithm = Algorithm.SHA384) -> bytes:
    """What Linux' EFI stub measures of its command line: the hash of the text in UTF-16LE with NUL.

    QEMU and boot loaders may add to the text that they were given, e.g. ` initrd=initrd`.

    Raises:
        ValueError: an algorithm that the library cannot compute; a text with half of a surrogate pair.
    """
    return hashlib.new(algorithm, (text + "\0").encode("utf-16-le")).digest()
