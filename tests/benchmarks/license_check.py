"""Processor time of one check of a license file in the licensed product; the floor is the bare signature."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from tallystick.licensing import check
from tests.support.license_files import ISSUED, key_set, private_key, signed_file

CHECKS = 2_000
ROUNDS = 5
WANTED_MICROSECONDS = 100


def run() -> dict[str, Any]:
    """By turns with the floor, so that both see the same noise."""
    file, keys, public = signed_file(), key_set(), private_key().public_key()
    signed, _, _ = file.rpartition(".")
    signature = private_key().sign(signed.encode())
    took, floors = [], []
    for _ in range(ROUNDS):
        floors.append(_microseconds(lambda: public.verify(signature, signed.encode())))
        took.append(_microseconds(lambda: check(file, keys, "host-1", ISSUED, ISSUED)))
    return {
        "benchmark": "license_check",
        "ratio": round(median(took) / median(floors), 2),
        "wanted": 2.0,
        "lower_is_better": True,
        "microseconds": round(median(took), 1),
        "wanted_microseconds": WANTED_MICROSECONDS,
        "floor_microseconds": round(median(floors), 1),
    }


def _microseconds(called: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(CHECKS):
        called()
    return (time.process_time() - started) / CHECKS * 1_000_000
