# SPDX-License-Identifier: Apache-2.0
"""`python -m bench [--json]`: the performance table of the README."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path

from bench import enrollment, verification


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    origin, rate = verification.measure()
    enrolled = enrollment.measure()
    ratios = {
        "warm / dcap-qvl verify": rate["warm"] / rate["dcap-qvl verify"],
        "warm / 2 P-256 verifications": rate["warm"] / (rate["P-256 verify"] / 2),
        "cold / dcap-qvl from_json + verify": rate["cold"] / rate["dcap-qvl from_json + verify"],
    }
    machine = f"{_processor()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    if as_json:
        facts = {"machine": machine, "subject": origin, "per_second": rate, "ratios": ratios}
        print(json.dumps(facts | {"enrollments_per_second": enrolled}, indent=2))
        return
    print(f"{machine}; {origin}\n")
    print("| what | per second |\n|---|---|")
    for name, value in (rate | enrolled).items():
        print(f"| {name} | {value:,.0f} |")
    print("\n| ratio in this run | |\n|---|---|")
    for name, value in ratios.items():
        print(f"| {name} | {value:.2f} |")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
