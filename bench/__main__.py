# SPDX-License-Identifier: Apache-2.0
"""`python -m bench [--json]`: the performance table of the README."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path

from bench import (
    enrollment,
    eventlog,
    log,
    nvidia,
    relying,
    revocation,
    simulation,
    snp,
    tree,
    verification,
)


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    origin, rate = verification.measure()
    snp_origin, snp_rate = snp.measure()
    nvidia_origin, nvidia_rate, nvidia_numbers = nvidia.measure()
    event_logs = eventlog.measure()
    enrolled = enrollment.measure()
    dry_run = simulation.measure()
    revoked = revocation.measure()
    relied, staples = relying.measure()
    logged = log.measure()
    trees = tree.measure()
    ratios = {
        "warm / dcap-qvl verify": rate["warm"] / rate["dcap-qvl verify"],
        "warm / 2 P-256 verifications": rate["warm"] / (rate["P-256 verify"] / 2),
        "cold / dcap-qvl from_json + verify": rate["cold"] / rate["dcap-qvl from_json + verify"],
        "P-384 verification / SNP warm": snp_rate["P-384 verify"] / snp_rate["SNP warm"],
        "SNP warm / SNP cold": snp_rate["SNP warm"] / snp_rate["SNP cold"],
        "P-384 verifications that it needs / H100 first seen": nvidia_rate[
            "P-384 verify of a report"
        ]
        / nvidia_numbers["P-384 verifications of an H100 first seen"]
        / nvidia_rate["H100 first seen, manifests known"],
    }
    ratios["its signatures / relying party, staple, 100 revoked"] = (
        relied["signatures of a certificate and a staple"]
        / relied["relying party, staple, 100 revoked"]
    )
    machine = f"{_processor()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    rate |= snp_rate | nvidia_rate | dry_run | relied
    revoked |= staples
    subject = f"{origin}, {snp_origin}, {nvidia_origin}"
    if as_json:
        facts = {"machine": machine, "subject": subject, "per_second": rate, "ratios": ratios}
        facts["numbers"] = nvidia_numbers | revoked
        facts["log"] = list(map(asdict, logged))
        facts["event_logs"] = [asdict(one) | {"ratio": one.ratio} for one in event_logs]
        facts["revocation_tree"] = list(map(asdict, trees))
        print(json.dumps(facts | {"enrollments_per_second": enrolled}, indent=2))
        return
    print(f"{machine}; {subject}\n")
    print("| what | per second |\n|---|---|")
    for name, value in (rate | enrolled).items():
        print(f"| {name} | {value:,.0f} |")
    print("\n| number | |\n|---|---|")
    for name, value in (nvidia_numbers | revoked).items():
        print(f"| {name} | {value:,.0f} |")
    print(f"\n{log.HEAD}")
    for cost in logged:
        print(log.row(cost))
    print(f"\n{eventlog.HEAD}")
    for judged in event_logs:
        print(eventlog.row(judged))
    print(f"\n{tree.HEAD}")
    for grown in trees:
        print(tree.row(grown))
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
