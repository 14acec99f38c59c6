# SPDX-License-Identifier: Apache-2.0
"""Names of the types of events in a log, for policies to say and for people to read.

Sources: TCG PC Client Platform Firmware Profile 1.06, 10.4.1; Dstack-TEE/dstack, cc-eventlog.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from pydantic import PlainValidator

EVENT_TYPES: Final = {
    "EV_POST_CODE": 0x00000001,
    "EV_NO_ACTION": 0x00000003,
    "EV_SEPARATOR": 0x00000004,
    "EV_ACTION": 0x00000005,
    "EV_EVENT_TAG": 0x00000006,
    "EV_S_CRTM_CONTENTS": 0x00000007,
    "EV_S_CRTM_VERSION": 0x00000008,
    "EV_CPU_MICROCODE": 0x00000009,
    "EV_PLATFORM_CONFIG_FLAGS": 0x0000000A,
    "EV_TABLE_OF_DEVICES": 0x0000000B,
    "EV_COMPACT_HASH": 0x0000000C,
    "EV_IPL": 0x0000000D,
    "EV_IPL_PARTITION_DATA": 0x0000000E,
    "EV_NONHOST_CODE": 0x0000000F,
    "EV_NONHOST_CONFIG": 0x00000010,
    "EV_NONHOST_INFO": 0x00000011,
    "EV_OMIT_BOOT_DEVICE_EVENTS": 0x00000012,
    "EV_POST_CODE2": 0x00000013,
    "EV_EFI_VARIABLE_DRIVER_CONFIG": 0x80000001,
    "EV_EFI_VARIABLE_BOOT": 0x80000002,
    "EV_EFI_BOOT_SERVICES_APPLICATION": 0x80000003,
    "EV_EFI_BOOT_SERVICES_DRIVER": 0x80000004,
    "EV_EFI_RUNTIME_SERVICES_DRIVER": 0x80000005,
    "EV_EFI_GPT_EVENT": 0x80000006,
    "EV_EFI_ACTION": 0x80000007,
    "EV_EFI_PLATFORM_FIRMWARE_BLOB": 0x80000008,
    "EV_EFI_HANDOFF_TABLES": 0x80000009,
    "EV_EFI_PLATFORM_FIRMWARE_BLOB2": 0x8000000A,
    "EV_EFI_HANDOFF_TABLES2": 0x8000000B,
    "EV_EFI_VARIABLE_BOOT2": 0x8000000C,
    "EV_EFI_GPT_EVENT2": 0x8000000D,
    "EV_EFI_HCRTM_EVENT": 0x80000010,
    "EV_EFI_VARIABLE_AUTHORITY": 0x800000E0,
    "EV_EFI_SPDM_FIRMWARE_BLOB": 0x800000E1,
    "EV_EFI_SPDM_FIRMWARE_CONFIG": 0x800000E2,
    "DSTACK_RUNTIME_EVENT": 0x08000001,
    "CEL_CONFIDENTIAL_SPACE": 0x00000050,
}
_NAMES: Final = {number: name for name, number in EVENT_TYPES.items()}


def _number(said: object) -> int:
    if isinstance(said, str) and said in EVENT_TYPES:
        return EVENT_TYPES[said]
    if type(said) is int and 0 <= said < 1 << 32:
        return said
    raise ValueError("wants a name such as EV_EFI_ACTION, or a number of 32 bits")


EventType: TypeAlias = Annotated[int, PlainValidator(_number)]


def type_name(number: int | None) -> str:
    """The name of a type, its number where it has none; "no type" where the log has none."""
    return "no type" if number is None else _NAMES.get(number, f"type {number:#x}")
