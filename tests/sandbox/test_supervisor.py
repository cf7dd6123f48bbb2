"""The supervisor shows and restarts its programs, and leaves none of them behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sandbox import stale_processes
from sandbox.console import Output
from sandbox.managed_process import Child, Program
from sandbox.supervisor import StartFailed, Stopped, Supervisor

ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 10.0
SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
# Starts a grandchild that ignores the polite signal, and says its process id.
STUBBORN_PARENT = """
import signal, subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
print(subprocess.Popen([sys.executable, "-c", child]).pid, flush=True)
time.sleep(600)
"""


def program(name: str, code: str) -> Program:
    return Program(name, [sys.executable, "-c", code], {"PATH": os.environ["PATH"]})


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, Output())
    yield supervisor
    supervisor.stop_all([])


def test_what_a_program_writes_is_shown_with_its_name_and_kept(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.start(lambda: program("worker", SLEEPER), shown=True)
    log = supervisor.log("worker")
    supervisor.wait_until(lambda: log.exists() and log.read_text() == "up\n", _PATIENCE_SECONDS, "worker")
    assert capsys.readouterr().out == "worker         up\n"


def test_a_program_that_dies_is_restarted_and_said_so(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.start(lambda: program("worker", SLEEPER), shown=False)
    first = supervisor.pids()["worker"]
    os.kill(first, signal.SIGKILL)

    def restarted() -> bool:
        supervisor.look_after_all()
        return supervisor.pids()["worker"] != first

    eventually(restarted)
    assert psutil.pid_exists(supervisor.pids()["worker"])
    said = capsys.readouterr().out
    assert "worker died (killed by SIGKILL); restarting in 0.5 s" in said
    assert "worker restarted" in said


def test_a_crashing_program_is_restarted_ever_more_slowly(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.start(lambda: program("worker", "raise SystemExit(3)"), shown=False)
    said = ""

    def third_delay() -> bool:
        nonlocal said
        supervisor.look_after_all()
        said += capsys.readouterr().out
        return "restarting in 2 s" in said

    eventually(third_delay)
    assert said.index("exit code 3); restarting in 0.5 s") < said.index("restarting in 1 s")


def test_stopping_leaves_no_grandchild_behind(supervisor: Supervisor) -> None:
    supervisor.start(lambda: program("worker", STUBBORN_PARENT), shown=False)
    log = supervisor.log("worker")
    supervisor.wait_until(
        lambda: log.exists() and log.read_text().endswith("\n"), _PATIENCE_SECONDS, "worker"
    )
    grandchild = psutil.Process(int(log.read_text()))
    supervisor.stop_all([["worker"]])
    eventually(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_a_program_that_fails_to_start_says_why(supervisor: Supervisor) -> None:
    with pytest.raises(StartFailed, match="no such table"):
        supervisor.run(program("provision", "import sys; sys.exit('no such table')"), _PATIENCE_SECONDS)


def test_a_stop_while_starting_ends_the_start(supervisor: Supervisor) -> None:
    supervisor.stop_requested = True
    with pytest.raises(Stopped):
        supervisor.run(program("provision", SLEEPER), _PATIENCE_SECONDS)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at a parent's death is Linux's own")
def test_programs_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from sandbox.console import Output;"
        "from sandbox.supervisor import Supervisor;"
        "from tests.sandbox.test_supervisor import SLEEPER, program;"
        f"supervisor = Supervisor(Path({str(tmp_path)!r}), Output());"
        "supervisor.start(lambda: program('worker', SLEEPER), shown=False);"
        "print(supervisor.pids()['worker'], flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def test_what_an_earlier_run_left_is_ended_and_strangers_are_not(tmp_path: Path) -> None:
    left = Child(program("left", SLEEPER), subprocess.DEVNULL)
    stranger = Child(program("stranger", SLEEPER), subprocess.DEVNULL)
    try:
        note = tmp_path / "running.json"
        stale_processes.note(note, [left, stranger])
        entries = json.loads(note.read_text())
        entries[1]["started"] -= 1000  # the process id has gone to somebody else since
        note.write_text(json.dumps(entries))
        assert stale_processes.end(note) == [left.pid]
        eventually(lambda: left.exit_code is not None)
        assert stranger.exit_code is None
        assert not note.exists()
    finally:
        left.stop()
        stranger.stop()


def test_a_directory_serves_one_supervisor_at_a_time(tmp_path: Path) -> None:
    with (
        stale_processes.exclusive(tmp_path),
        pytest.raises(stale_processes.AlreadyRunning),
        stale_processes.exclusive(tmp_path),
    ):
        pass
    with stale_processes.exclusive(tmp_path):
        pass
