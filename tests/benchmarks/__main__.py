"""Runs benchmarks and prints one JSON line for each: `python -m tests.benchmarks [NAME …]`.

A benchmark is a module here with a function `run() -> dict`. Its `ratio` is against a floor measured in the
same run, because machines differ and are noisy; `wanted` is what it should reach (or stay under, where
`lower_is_better`).
"""

import importlib
import json
import sys

from shared.observability.logging_setup import set_up_logs

BENCHMARKS = (
    "webhook_ingress",
    "entitlement_local",
    "feed",
    "command_round_trip",
    "renewal",
    "grant_renewal",
    "check_entitlement",
    "gateway",
    "assign_seats",
    "follow_subscriptions",
    "capture_snapshot",
    "revenue_report",
    "consume_hot",
    "consume_spread",
    "consume_many",
    "consume_idle",
    "consume_with_history",
    "license_check",
    "refresh_license",
    "faststream_layers",
    "mail_sending",
    "webhooks_out",
)


def main() -> None:
    """Run the benchmarks named on the command line, or all of them."""
    chosen = sys.argv[1:] or BENCHMARKS
    unknown = sorted(set(chosen) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
    set_up_logs("benchmarks", style="console", level="warning")
    for name in chosen:
        print(json.dumps(importlib.import_module(f"tests.benchmarks.{name}").run()), flush=True)


if __name__ == "__main__":
    main()
