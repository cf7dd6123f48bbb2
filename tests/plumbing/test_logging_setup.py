"""Logs contain no secrets, whatever the error and the format."""

import subprocess
import sys

import pytest

PROGRAM = """
import logging, structlog
from shared.observability.logging_setup import set_up_logs
set_up_logs("shop", style=%r, level="info")

def charge(secret_key):
    raise ValueError("no such charge with sk_test_" + "51AbC")

try:
    charge("swordfish-" + "in-a-local")
except ValueError:
    structlog.get_logger().exception("broke", url="postgresql://user:" + "hunter2@host/db")
    logging.getLogger("other").exception("broke too")
headers = {"Authorization": "Bearer " + "open-sesame", "seen": [b"sk_test_" + b"51AbC"]}
structlog.get_logger().info("called", headers=headers, servers=("nats://user:" + "hunter2@host",))
"""


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_shows_neither_variables_nor_keys(style: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM % style], capture_output=True, text=True, check=True)

    written = done.stdout + done.stderr
    assert written.count("no such charge with") == 2
    assert "swordfish-in" not in written
    assert "sk_test_51AbC" not in written
    assert "hunter2" not in written
    assert "called" in written
    assert "open-sesame" not in written
