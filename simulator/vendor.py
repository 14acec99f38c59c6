# SPDX-License-Identifier: Apache-2.0
"""`python -m simulator.vendor --world FILE`: the fake Intel of a world, answering PCS paths on 127.0.0.1.

Makes the world if FILE is not there, with its root in FILE.root.pem. Prints its address and runs until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from simulator import pcs
from simulator.world import World


async def serve(world: World, port: int) -> None:
    """Serve a world until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with pcs.running(world.intel, port) as service:
        sys.stdout.write(f"{service.base_url}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="python -m simulator.vendor", description=__doc__)
    arguments.add_argument("--world", type=Path, required=True)
    arguments.add_argument("--port", type=int, default=0)
    options = arguments.parse_args()
    path = options.world
    asyncio.run(serve(World.load(path) if path.exists() else World.create(path), options.port))
