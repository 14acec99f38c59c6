# SPDX-License-Identifier: Apache-2.0
"""Evidence of this machine's NVIDIA GPUs, from their driver through NVML.

Of each GPU the evidence is one piece of kind `nvidia-device`: its SPDM report over the nonce, then its certificate
chain, each behind its length (`protocol.frame`). Both go as NVML gives them, nothing is added or taken away: the chain
is PEM, the attestation key's certificate first and NVIDIA's root last.

Rules:
- All GPUs or none. NVML has one mode for the whole machine; where it is on, a GPU that gives no evidence is an error,
  never left out. Which GPUs there must be is the authority's policy.
- "None" is what is known to be so: no library, no driver, no GPU, no confidential-computing mode. Anything else that
  fails is an error, so that a driver in trouble does not pass for a machine without GPUs.
- In protected-PCIe mode `ccFeature` may say disabled: `multiGpuMode` counts too.
- The driver's calls have a time limit, in a thread of their own, so that one that hangs stops nothing else.
- Nothing here changes the GPUs. Whether they accept work (the ready state) is the guest's own decision.

NVSwitches are not reachable this way: NVML does not know them, their reports come from NVIDIA's NSCQ library.

Source: the module `pynvml` of nvidia-ml-py (the extra `nvidia` of this distribution), which loads `libnvidia-ml.so.1`;
the names and sizes below are of its version 13. Imported when devices are looked for, and only if it is installed.

Tested with the real module on a fake of the library below it. Not run on a GPU yet.
"""

from __future__ import annotations

import contextlib
from ctypes import byref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attestca_client.errors import (
    DevicesMissing,
    DevicesPermission,
    DevicesUnavailable,
    EvidenceError,
)
from attestca_client.protocol import frame
from attestca_client.runtime import SYSTEM, Runtime, within
from attestca_client.wire import Evidence, plain

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator
    from types import ModuleType

KIND = "nvidia-device"
NONCE_BYTES = 32
MAX_DEVICES = 16  # the authority's limit of one enrollment
TIME_LIMIT = 60.0  # seconds for all GPUs together; a nonce is good for 120

EXTRA_HINT = "install attestca-client[nvidia], which brings nvidia-ml-py"
DRIVER_HINT = "pass the GPU into this guest and load NVIDIA's driver; in a container, its library and devices too"
MODE_HINT = (
    "the host sets the mode of its GPUs before this guest starts: ask the platform's operator"
)
PERMISSION_HINT = "run as root, or give this user the right to use /dev/nvidia*"
LOG_HINT = "the kernel log may say more; another process may be asking for reports at the same time"


class NoDevices(Exception):
    """Within this file: this machine has no GPU to give evidence of, for a reason that is known."""

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


@dataclass(frozen=True, slots=True)
class NvmlDeviceSource:
    """Callable: the 32-byte nonce for devices -> one piece of evidence of each GPU.

    Attributes:
        required: whether a machine without GPUs in confidential-computing mode is an error. If not, there is no
            evidence, and a progress line says why.
        seconds: time limit for all GPUs together.

    Raises DevicesMissing, DevicesPermission, DevicesUnavailable.
    """

    runtime: Runtime = SYSTEM
    required: bool = False
    seconds: float = TIME_LIMIT

    def __call__(self, nonce: bytes) -> list[Evidence]:
        """Evidence over `nonce` (32 bytes; ValueError otherwise)."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"the nonce must be {NONCE_BYTES} bytes, not {len(nonce)}")
        try:
            pieces = within(self.seconds, lambda: collect(load_nvml(), nonce, self.runtime), "nvml")
        except TimeoutError:
            raise DevicesUnavailable(
                f"NVIDIA's driver gave no evidence within {self.seconds:g} s", LOG_HINT
            ) from None
        except NoDevices as absent:
            if self.required:
                raise DevicesMissing(f"no devices: {absent.detail}", absent.hint) from absent
            self.runtime.say(f"no devices: {absent.detail}")
            return []
        self.runtime.say(f"devices: {len(pieces)} {'GPU' if len(pieces) == 1 else 'GPUs'}")
        return pieces


def unpack(piece: Evidence) -> tuple[bytes, bytes]:
    """Report and PEM chain of a piece of this kind that was made here."""
    size = int.from_bytes(piece.data[:4], "big")
    return piece.data[4 : 4 + size], piece.data[4 + size + 4 :]


def load_nvml() -> ModuleType:
    """The module pynvml. Raises NoDevices."""
    try:
        import pynvml  # noqa: PLC0415 - an extra, which most machines do not have
    except ImportError as error:
        raise NoDevices("nvidia-ml-py is not installed", EXTRA_HINT) from error
    module: ModuleType = pynvml
    if not hasattr(module, "nvmlSystemGetConfComputeSettings"):
        raise NoDevices("this nvidia-ml-py is too old for confidential computing", EXTRA_HINT)
    return module


def collect(nvml: ModuleType, nonce: bytes, runtime: Runtime) -> list[Evidence]:
    """A piece of each GPU, in NVML's order. Raises NoDevices, DevicesPermission, DevicesUnavailable."""
    with session(nvml):
        check_mode(nvml, runtime)
        with explained(nvml, "count the GPUs"):
            count = nvml.nvmlDeviceGetCount()
        if not count:
            raise NoDevices("NVIDIA's driver has no GPU", DRIVER_HINT)
        if count > MAX_DEVICES:
            raise DevicesUnavailable(f"{count} GPUs, but an enrollment takes {MAX_DEVICES}")
        return [device(nvml, index, nonce) for index in range(count)]


@contextlib.contextmanager
def session(nvml: ModuleType) -> Iterator[None]:
    """NVML, from nvmlInit to nvmlShutdown. Raises NoDevices, DevicesPermission, DevicesUnavailable."""
    absent = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver: libnvidia-ml.so.1 is not there",
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: "no NVIDIA driver is loaded",
    }
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if error.value in absent:
            raise NoDevices(absent[error.value], DRIVER_HINT) from error
        raise explain(nvml, "start NVML", error) from error
    try:
        yield
    finally:
        with contextlib.suppress(nvml.NVMLError):  # we have what we came for, or say what was wrong
            nvml.nvmlShutdown()


def check_mode(nvml: ModuleType, runtime: Runtime) -> None:
    """Raises NoDevices unless the GPUs are in confidential-computing or protected-PCIe mode."""
    with explained(nvml, "ask for the mode of the GPUs"):
        enabled, developer = mode(nvml)
    if not enabled:
        raise NoDevices("the GPUs are not in confidential-computing mode", MODE_HINT)
    if developer:
        runtime.say("devices: in developer-tools mode, whose measurements match no release")


def mode(nvml: ModuleType) -> tuple[bool, bool]:
    """Whether the GPUs are confidential, and whether developer tools may look in. Raises NVMLError, NoDevices."""
    for ask in (mode_by_settings, mode_by_state):  # older drivers have the second alone
        with contextlib.suppress(nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NotSupported):
            return ask(nvml)
    raise NoDevices("this driver has no confidential computing", DRIVER_HINT)


def mode_by_settings(nvml: ModuleType) -> tuple[bool, bool]:
    """As `mode`. Unlike its neighbours, the function wants a pointer and gives the return code back unchecked."""
    settings = nvml.c_nvmlSystemConfComputeSettings_v1_t()
    code = nvml.nvmlSystemGetConfComputeSettings(byref(settings))
    if code != nvml.NVML_SUCCESS:
        raise nvml.NVMLError(code)
    protected = settings.multiGpuMode == nvml.NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE
    enabled, developer = flags(nvml, settings)
    return enabled or protected, developer


def mode_by_state(nvml: ModuleType) -> tuple[bool, bool]:
    """As `mode`."""
    return flags(nvml, nvml.nvmlSystemGetConfComputeState())


def flags(nvml: ModuleType, answer: ctypes.Structure) -> tuple[bool, bool]:
    """The two fields that both answers have."""
    return (
        answer.ccFeature == nvml.NVML_CC_SYSTEM_FEATURE_ENABLED,
        answer.devToolsMode == nvml.NVML_CC_SYSTEM_DEVTOOLS_MODE_ON,
    )


def device(nvml: ModuleType, index: int, nonce: bytes) -> Evidence:
    """The piece of one GPU. Raises DevicesPermission, DevicesUnavailable."""
    with explained(nvml, f"open GPU {index}"):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    with explained(nvml, f"get a report of GPU {index}"):
        answer = nvml.nvmlDeviceGetConfComputeGpuAttestationReport(handle, nonce)
    with explained(nvml, f"get the certificates of GPU {index}"):
        chains = nvml.nvmlDeviceGetConfComputeGpuCertificate(handle)
    report = taken(answer.attestationReport, answer.attestationReportSize, index, "report")
    chain = taken(
        chains.attestationCertChain, chains.attestationCertChainSize, index, "certificate chain"
    )
    return Evidence(KIND, frame(report, chain))


def taken(buffer: ctypes.Array[ctypes.c_uint8], size: int, index: int, what: str) -> bytes:
    """The first `size` bytes. Raises DevicesUnavailable for a size of nothing, or of more than there is."""
    if not 1 <= size <= len(buffer):
        raise DevicesUnavailable(f"GPU {index}: a {what} of {size} bytes, of {len(buffer)} at most")
    return bytes(buffer[:size])


@contextlib.contextmanager
def explained(nvml: ModuleType, what: str) -> Iterator[None]:
    """Turn an error of NVML into what it means here."""
    try:
        yield
    except nvml.NVMLError as error:
        raise explain(nvml, what, error) from error


def explain(nvml: ModuleType, what: str, error: Exception) -> EvidenceError:
    """The meaning of one NVMLError while `what` was being done."""
    detail = f"cannot {what}: {plain(str(error))}"
    if isinstance(error, nvml.NVMLError_NoPermission):
        return DevicesPermission(detail, PERMISSION_HINT)
    return DevicesUnavailable(detail, LOG_HINT)
