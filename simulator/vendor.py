# SPDX-License-Identifier: Apache-2.0
"""`python -m simulator.vendor --world FILE`: the fake vendors of a world on 127.0.0.1.

Makes the world if FILE is not there, its anchors beside it. Prints four addresses: Intel's PCS, AMD's KDS, NVIDIA's
services, which are RIM service, OCSP and NRAS under one address, and the list of what Google's root has revoked. Runs
until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from simulator import bucket, kds, pcs
from simulator.nvidia import services
from simulator.world import World


async def serve(
    world: World, pcs_port: int, kds_port: int, nvidia_port: int, google_port: int
) -> None:
    """Serve a world until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        pcs.running(world.intel, pcs_port) as intel,
        kds.running(world.amd, kds_port) as amd,
        services.running(world.nvidia, nvidia_port) as nvidia,
        bucket.running(world.google, google_port) as google,
    ):
        addresses = (intel.base_url, amd.base_url, nvidia.base_url, google.crl_url)
        sys.stdout.write("".join(f"{one}\n" for one in addresses))
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="python -m simulator.vendor", description=__doc__)
    arguments.add_argument("--world", type=Path, required=True)
    arguments.add_argument("--port", type=int, default=0, help="of Intel's service")
    arguments.add_argument("--kds-port", type=int, default=0, help="of AMD's service")
    arguments.add_argument("--nvidia-port", type=int, default=0, help="of NVIDIA's services")
    arguments.add_argument("--google-port", type=int, default=0, help="of Google's list")
    options = arguments.parse_args()
    path = options.world
    world = World.load(path) if path.exists() else World.create(path)
    ports = (options.port, options.kds_port, options.nvidia_port, options.google_port)
    asyncio.run(serve(world, *ports))
