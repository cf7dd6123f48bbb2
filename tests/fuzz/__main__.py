"""`./dev fuzz`: random input to a system of its own, for an hour unless told otherwise."""

import argparse
import asyncio
import sys
import time

from tests.fuzz.run import fuzz
from tests.support.gateway import gateway_before
from tests.support.stack import whole_system

HOUR_SECONDS = 3_600.0


def main() -> None:
    """Run the fuzzer and print its findings; the exit code is 1 where there are any."""
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=HOUR_SECONDS)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="makes the same attempts again")
    options = parser.parse_args()
    sys.stderr.write(f"seed {options.seed}, {options.seconds:g} s\n")
    with whole_system() as system, gateway_before(system) as gateway:
        findings = asyncio.run(fuzz(gateway, options.seconds, options.seed))
    for problem in findings.problems:
        sys.stdout.write(f"{problem}\n")
    sys.stderr.write(f"{findings.attempts} attempts, {len(findings.problems)} problems\n")
    sys.exit(1 if findings.problems else 0)


if __name__ == "__main__":
    main()
