# SPDX-License-Identifier: Apache-2.0
"""A software TPM (swtpm) that is set up like the vTPM of a cloud's confidential VM, with some registers extended.

As in Azure: a signing key at 0x81000003, an HCL report in NV index 0x01400001. As at Google: templates and certificates
of keys in indices of their own (`google_keys`). A process of its own, over Unix sockets in a temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from attestca_client.azure import AK_HANDLE, HCL_INDEX
from attestca_client.tpm import SAFE_PATH
from tests.tpm_lab import Hcl, jwk, runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("swtpm", "tpm2_quote", "tpm2_nvread")
NOTICE = "swtpm or tpm2-tools are not installed: no quote of a software TPM was verified"
AK_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign"


@dataclass
class SoftwareTpm:
    """A running one. tcti: how tpm2-tools reach it. hcl: the report in it, None before there is one."""

    folder: Path
    tcti: str
    hcl: bytes = b""

    def tool(self, name: str, *arguments: str) -> bytes:
        """Run one of tpm2-tools; what it prints."""
        environment = {"PATH": SAFE_PATH, "TPM2TOOLS_TCTI": self.tcti}
        command = [f"tpm2_{name}", *arguments]
        done = subprocess.run(  # noqa: S603 - a program of the system
            command, cwd=self.folder, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def make_key(self) -> rsa.RSAPublicKey:
        """A restricted signing key at the handle of Azure's."""
        scheme = ("-G", "rsa2048:rsassa-sha256:null", "-a", AK_ATTRIBUTES)
        self.tool("createprimary", "-C", "e", *scheme, "-c", "ak.ctx")
        self.tool("evictcontrol", "-C", "o", "-c", "ak.ctx", AK_HANDLE)
        self.tool("flushcontext", "-t")
        self.tool("readpublic", "-c", AK_HANDLE, "-f", "pem", "-o", "ak.pem")
        key = load_pem_public_key((self.folder / "ak.pem").read_bytes())
        assert isinstance(key, rsa.RSAPublicKey)
        return key

    def make_report(self, key: rsa.RSAPublicKey) -> None:
        """An HCL report that names the key; the CPU's report in it is none."""
        self.store(Hcl(runtime=runtime(keys=[jwk(key)]), trailing=bytes(8)).data)

    def store(self, hcl: bytes) -> None:
        """Put an HCL report where the paravisor does; swtpm's largest index holds 2048 bytes, so it names one key."""
        self.hcl = hcl
        self.write(HCL_INDEX, hcl)

    def write(self, index: str, data: bytes) -> None:
        """A new NV index."""
        (self.folder / "data").write_bytes(data)
        attributes = ("-a", "ownerread|ownerwrite|authread")
        self.tool("nvdefine", "-C", "o", "-s", str(len(data)), *attributes, index)
        self.tool("nvwrite", "-C", "o", "-i", "data", index)

    def erase(self, index: str) -> None:
        """Of an NV index, that it is there."""
        self.tool("nvundefine", "-C", "o", index)

    def send(self, command: bytes) -> bytes:
        """The answer to a command, both as the TPM has them."""
        (self.folder / "command").write_bytes(command)
        self.tool("send", "-o", "answer", "command")
        return (self.folder / "answer").read_bytes()

    def extend(self, *numbers: int) -> dict[int, bytes]:
        """Extend registers of 0 to 15, which are zero after a start; the values they have if it was the first time."""
        digests = {number: bytes([number]) + b"\x5a" * 31 for number in numbers}
        for number, digest in digests.items():
            self.tool("pcrextend", f"{number}:sha256={digest.hex()}")
        return {n: sha256(bytes(32) + digest).digest() for n, digest in digests.items()}


@contextlib.contextmanager
def started() -> Iterator[SoftwareTpm]:
    """A fresh TPM without keys; skips the test where the programs are not installed."""
    if any(shutil.which(program, path=SAFE_PATH) is None for program in PROGRAMS):
        pytest.skip(NOTICE)
    with tempfile.TemporaryDirectory(prefix="swtpm-") as name:  # a socket's path must be short
        folder = Path(name)
        paths = {"server": folder / "tpm", "ctrl": folder / "tpm.ctrl"}  # as tpm2-tss wants them
        channels = [f"--{kind}=type=unixio,path={path}" for kind, path in paths.items()]
        state = [f"--tpmstate=dir={folder}", f"--log=file={folder / 'log'}"]
        flags = "--flags=not-need-init,startup-clear"
        process = subprocess.Popen(  # noqa: S603 - a program of the system
            ["swtpm", "socket", "--tpm2", flags, *state, *channels],  # noqa: S607 - by its PATH, below
            env={"PATH": SAFE_PATH, "HOME": os.fspath(folder)},
        )
        try:
            until = time.monotonic() + 30
            while not all(path.exists() for path in paths.values()):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.01)
            yield SoftwareTpm(folder, f"swtpm:path={paths['server']}")
        finally:
            process.terminate()
            process.wait()
