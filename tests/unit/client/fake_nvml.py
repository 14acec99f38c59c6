# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's library libnvidia-ml.so.1, as the real module pynvml loads it: C functions, made with ctypes.

What is called is the module of nvidia-ml-py itself, with its structures and its errors; below it these functions answer
as the library's documentation says. Each has a C prototype, so that an argument which a C function could not take is
refused here too. `errors` and `missing` break in at a given function, `hang` keeps one from coming back.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pynvml

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    import pytest

REQUEST = bytes.fromhex("11e001ff")  # SPDM 1.1 GET_MEASUREMENTS, before the nonce
CHAIN = b"-----BEGIN CERTIFICATE-----\nleaf %d\n-----END CERTIFICATE-----\n"


def chain_of(index: int) -> bytes:
    """What stands for its certificates."""
    return CHAIN % index


def report_over(nonce: bytes, index: int) -> bytes:
    """What stands for a report of these tests: the request, and an answer that names the GPU."""
    return REQUEST + nonce + b"\0" + b"measurements of GPU %d" % index


@dataclass
class FakeNvml:
    """One machine's driver. `cc`, `developer`, `multi_gpu`: ccFeature, devToolsMode, multiGpuMode."""

    gpus: int = 1
    cc: int = 1
    developer: int = 0
    multi_gpu: int = 0
    errors: dict[str, int] = field(default_factory=dict)  # C function -> code that it returns
    missing: set[str] = field(default_factory=set)  # C functions that this driver lacks
    sizes: dict[str, int] = field(default_factory=dict)  # lies about a size, by field
    report: Callable[[bytes, int], bytes] = report_over
    chain: Callable[[int], bytes] = chain_of
    hang: tuple[str, Event] | None = None
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    sessions: int = 0  # open ones
    nonces: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        pointer = ctypes.POINTER
        handle = pynvml.c_nvmlDevice_t
        settings = pointer(pynvml.c_nvmlSystemConfComputeSettings_v1_t)
        report = pointer(pynvml.c_nvmlConfComputeGpuAttestationReport_t)
        certificate = pointer(pynvml.c_nvmlConfComputeGpuCertificate_t)
        prototypes: dict[str, tuple[Callable[..., int | None], list[Any]]] = {
            "nvmlInitWithFlags": (self._init, [ctypes.c_uint]),
            "nvmlShutdown": (self._shutdown, []),
            "nvmlDeviceGetCount_v2": (self._count, [pointer(ctypes.c_uint)]),
            "nvmlDeviceGetHandleByIndex_v2": (self._handle, [ctypes.c_uint, pointer(handle)]),
            "nvmlSystemGetConfComputeSettings": (self._settings, [settings]),
            "nvmlSystemGetConfComputeState": (
                self._state,
                [pointer(pynvml.c_nvmlConfComputeSystemState_t)],
            ),
            "nvmlDeviceGetConfComputeGpuAttestationReport": (self._report, [handle, report]),
            "nvmlDeviceGetConfComputeGpuCertificate": (self._certificate, [handle, certificate]),
        }
        self._functions = {
            name: ctypes.CFUNCTYPE(ctypes.c_uint, *types)(self._checked(name, answer))
            for name, (answer, types) in prototypes.items()
        }

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
        """This is the library that pynvml has loaded."""
        monkeypatch.setattr(pynvml, "nvmlLib", self)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        return self

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a symbol of a library
        functions = self.__dict__.get("_functions", {})
        if name in functions and name not in self.missing:
            return functions[name]
        raise AttributeError(name)

    def _checked(self, name: str, answer: Callable[..., int | None]) -> Callable[..., int]:
        """`answer`, behind what every function of NVML checks. Returns NVML's code."""

        def function(*arguments: Any) -> int:  # noqa: ANN401 - C types
            self.calls[name] += 1
            if self.hang and self.hang[0] == name:
                self.hang[1].wait(30)
            if name in self.errors:
                return self.errors[name]
            if name != "nvmlInitWithFlags" and not self.sessions:
                return int(pynvml.NVML_ERROR_UNINITIALIZED)
            return int(answer(*arguments) or pynvml.NVML_SUCCESS)

        return function

    def _init(self, _flags: int) -> None:
        self.sessions += 1

    def _shutdown(self) -> None:
        self.sessions -= 1

    def _count(self, count: Any) -> None:  # noqa: ANN401 - a C pointer, as are all below
        count[0] = self.gpus

    def _handle(self, index: int, handle: Any) -> int | None:  # noqa: ANN401
        if index >= self.gpus:
            return int(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        handle[0] = ctypes.cast(index + 1, pynvml.c_nvmlDevice_t)
        return None

    def _settings(self, settings: Any) -> int | None:  # noqa: ANN401
        if settings[0].version != pynvml.nvmlSystemConfComputeSettings_v1:
            return int(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        settings[0].multiGpuMode = self.multi_gpu
        self._state(settings)
        return None

    def _state(self, state: Any) -> None:  # noqa: ANN401
        state[0].ccFeature, state[0].devToolsMode = self.cc, self.developer

    def _report(self, device: Any, answer: Any) -> int | None:  # noqa: ANN401
        if not self.cc and self.multi_gpu != pynvml.NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE:
            return int(pynvml.NVML_ERROR_NOT_SUPPORTED)
        nonce = bytes(answer[0].nonce)
        self.nonces.append(nonce)
        self._fill(answer[0], "attestationReport", self.report(nonce, _index(device)))
        return None

    def _certificate(self, device: Any, answer: Any) -> None:  # noqa: ANN401
        self._fill(answer[0], "attestationCertChain", self.chain(_index(device)))

    def _fill(self, structure: Any, name: str, data: bytes) -> None:  # noqa: ANN401
        ctypes.memmove(getattr(structure, name), data, len(data))
        setattr(structure, f"{name}Size", self.sizes.get(name, len(data)))


def _index(device: Any) -> int:  # noqa: ANN401
    return (ctypes.cast(device, ctypes.c_void_p).value or 0) - 1
