"""Runs a service's worker some days from now: `python -m tests.support.worker_in_time SERVICE DAYS`."""

import runpy
import sys
from datetime import UTC, datetime, timedelta

import time_machine

IN_TIME = "tests.support.worker_in_time"


def main(service: str, days: str) -> None:
    """Run the worker as `python -m services.SERVICE.app` would; its time passes as ever."""
    with time_machine.travel(datetime.now(UTC) + timedelta(days=float(days)), tick=True):
        runpy.run_module(f"services.{service}.app", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
