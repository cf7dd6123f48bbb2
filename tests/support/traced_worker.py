"""Runs a service's worker and records which functions of the project are entered for a message.

Started as `python -m tests.support.traced_worker SERVICE DIRECTORY`. SIGUSR1 begins a recording with the
marks in `DIRECTORY/marks.json`; SIGUSR2 writes what was recorded so far to `DIRECTORY/SERVICE.json`.

What is recorded are *trees*: a function that a library called, and all that follows from it, in tasks that
it creates too. A loop that runs since the worker's start (the relay's, a pull loop) begins a new tree with
each turn, so that a turn which found nothing to do belongs to no message. A tree knows what kind of message
came in with it, and which marks (ids that belong to a message) it was given or has sent. Threads beside the
loop's are not recorded.
"""

import asyncio
import dis
import inspect
import json
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import greenlet  # type: ignore[import-untyped]
import nats.aio.client
from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg
from starlette.requests import HTTPConnection

from shared.persistence.migrations import ROOT

PROJECT = tuple(f"{ROOT / name}/" for name in ("services", "shared", "tallystick"))
NATS_CLIENT = nats.aio.client.__file__
OUR_NATS_CLIENT = str(ROOT / "tallystick" / "client" / "decoding.py")
"""A part of the NATS client: each message comes through it, and a reader need not stop there."""
COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
"""Parts of the functions they are written in."""
SCHEDULING = ("create_task", "ensure_future", "add_done_callback", "call_soon")
"""How a function has another one called later."""
ACKNOWLEDGED = "$JS.ACK"
"""How the reply subject of a message begins that JetStream delivers."""


@dataclass(slots=True)
class Tree:
    """What follows from one entrance into the project."""

    kind: str | None = None
    """`request`, `delivery` (by JetStream) or `http`; None where no message came in."""
    given: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)
    calls: list[tuple[float, str, str, str | None]] = field(default_factory=list)
    """When, file, function (one within another counts as the other), and the file of what called it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to know about a piece of code."""

    code: CodeType
    path: str | None
    """In the repository; None where it is no function of ours."""
    starts: frozenset[int]
    """Where its first instruction is; anywhere else a coroutine or generator goes on."""
    is_nats: bool


class Inherited(NamedTuple):
    """What a task or callback has from where it was created."""

    tree: Tree
    task: asyncio.Task[Any] | None
    """The one that began the tree; what it calls in its next turn is another tree."""
    path: str | None = None
    """The file of the function that created the task or callback."""


@dataclass(slots=True)
class Recorder:
    """Records from its installation until another one is installed."""

    marks: list[str]
    trees: list[Tree] = field(default_factory=list)
    frames: dict[FrameType, Tree] = field(default_factory=dict)
    """Kept, so that no other frame gets the identity of one of these."""
    known: dict[int, Known] = field(default_factory=dict)
    inherited: ContextVar[Inherited | None] = field(init=False)
    problem: str | None = None
    """Why the recording is not complete."""

    def __post_init__(self) -> None:
        self.inherited = ContextVar("inherited", default=None)

    def called(self, frame: FrameType, event: str, argument: object) -> None:
        """What `sys.setprofile` calls, which would go on in silence without us after an error."""
        try:
            self._note(frame, event, argument)
        except Exception:
            self.problem = traceback.format_exc()

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call" and getattr(argument, "__name__", "") in SCHEDULING:
            self._note_scheduled(frame)
        if event != "call":
            return
        if frame.f_code.co_name in SCHEDULING:
            self._note_scheduled(frame)
        known = self._known(frame.f_code)
        if known.is_nats:
            self._note_sent(frame)
        if known.path is None or frame.f_lasti not in known.starts:
            return
        caller = self._ours(frame.f_back)
        found = self.frames.get(caller[0]) if caller else None
        tree, caller_path = (found, caller[1]) if caller and found else self._entrance()
        self.frames[frame] = tree
        function = frame.f_code.co_qualname.partition(".<locals>")[0]
        tree.calls.append((time.monotonic(), known.path, function, caller_path))
        for value in _arguments(frame):
            tree.kind = tree.kind or _kind(value)
            tree.given.update(self._marks_in(value))

    def _known(self, code: CodeType) -> Known:
        found = self.known.get(id(code))
        if found is None:
            is_ours = code.co_filename.startswith(PROJECT) and code.co_filename != OUR_NATS_CLIENT
            is_ours = is_ours and code.co_name not in COMPREHENSIONS
            # Bodies of modules and classes are no functions.
            is_function = is_ours and bool(code.co_flags & inspect.CO_OPTIMIZED)
            path = str(Path(code.co_filename).relative_to(ROOT)) if is_function else None
            starts = _starts(code) if is_function else frozenset()
            found = Known(code, path, starts, code.co_filename == NATS_CLIENT)
            self.known[id(code)] = found
        return found

    def _ours(self, frame: FrameType | None) -> tuple[FrameType, str] | None:
        """The innermost function of ours in which a frame is."""
        for outer in _outwards(frame):
            path = self._known(outer.f_code).path
            if path is not None:
                return outer, path
        return None

    def _entrance(self) -> tuple[Tree, str | None]:
        """The tree of a function that nothing recorded has called, and the file it was scheduled in."""
        task = _current_task()
        inherited = self.inherited.get()
        if inherited is not None and inherited.task is not task:
            return inherited.tree, inherited.path
        tree = Tree()
        self.trees.append(tree)
        self.inherited.set(Inherited(tree, task))
        return tree, None

    def _note_scheduled(self, frame: FrameType) -> None:
        caller = self._ours(frame)
        inherited = self.inherited.get()
        if caller is not None and inherited is not None and caller[0] in self.frames:
            self.inherited.set(inherited._replace(path=caller[1]))

    def _note_sent(self, frame: FrameType) -> None:
        caller = self._ours(frame.f_back)
        tree = self.frames.get(caller[0]) if caller else None
        if tree is not None:
            for value in _arguments(frame):
                tree.sent.update(self._marks_in(value))

    def _marks_in(self, value: object) -> Iterator[str]:
        raw = value.raw_message if isinstance(value, NatsMessage) else value
        if isinstance(raw, Msg):
            raw = raw.data
        text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
        if isinstance(text, str):
            yield from (mark for mark in self.marks if mark in text)


def _starts(code: CodeType) -> frozenset[int]:
    return frozenset(
        one.offset for one in dis.get_instructions(code) if one.opname == "RESUME" and (one.arg or 0) & 3 == 0
    )


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and those around it; SQLAlchemy runs a part of them in greenlets."""
    within = greenlet.getcurrent()
    outer = frame
    while True:
        while outer is not None:
            yield outer
            outer = outer.f_back
        if within.parent is None:
            return
        within = within.parent
        outer = within.gr_frame


def _arguments(frame: FrameType) -> list[object]:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    values = frame.f_locals
    return [values[name] for name in names if name in values]


def _kind(value: object) -> str | None:
    raw = value.raw_message if isinstance(value, NatsMessage) else value
    if isinstance(raw, Msg):
        return "delivery" if raw.reply.startswith(ACKNOWLEDGED) else "request"
    is_scope = isinstance(value, dict) and value.get("type") == "http"
    return "http" if is_scope or isinstance(value, HTTPConnection) else None


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # a thread without a loop
        return None


@dataclass(slots=True)
class Control:
    """Starts and writes recordings on request."""

    service: str
    directory: Path
    recorder: Recorder | None = None

    def begin(self, *_: object) -> None:
        """Forget what was recorded, and record."""
        marks = json.loads((self.directory / "marks.json").read_text())
        self.recorder = Recorder(marks)
        sys.setprofile(self.recorder.called)
        self.write()

    def write(self, *_: object) -> None:
        """Write what was recorded so far."""
        assert self.recorder is not None
        trees = [
            {
                "service": self.service,
                "kind": tree.kind or "publication",
                "marks": sorted(tree.given if tree.kind else tree.sent),
                "calls": tree.calls,
            }
            for tree in self.recorder.trees
        ]
        written = self.directory / f"{self.service}.part"
        written.write_text(json.dumps({"problem": self.recorder.problem, "trees": trees}))
        written.rename(self.directory / f"{self.service}.json")


def main(service: str, directory: str) -> None:
    """Run the worker as `python -m services.SERVICE.app` would."""
    control = Control(service, Path(directory))
    signal.signal(signal.SIGUSR1, control.begin)
    signal.signal(signal.SIGUSR2, control.write)
    runpy.run_module(f"services.{service}.app", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
