"""Service canvases: the commands, events, streams and tables of a service, generated into its README.md.

Run as `python -m shared.operations.canvas`; with `--check` nothing is written, and an outdated README is an
error. Text outside of the marked section is written by hand.
"""

import argparse
import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from shared.messaging.service import Service
from shared.operations.jetstream_layout import Layout, load_layout
from shared.operations.provision import LAYOUT_PATH
from shared.persistence.migrations import ROOT
from shared.persistence.plumbing_tables import service_metadata
from tallystick.messages import EVENTS
from tallystick.messages.base import Command
from tallystick.subjects import DEFAULT_PREFIX, DEFAULT_WEBHOOK_SUBJECT, TICKS_STREAM, Subjects

BEGIN = "<!-- canvas: made from the code by `python -m shared.operations.canvas`; edit that, not this -->"
END = "<!-- end of the canvas -->"
PERMISSIONS_PATH = ROOT / "deploy" / "nats.conf"
PLUMBING = frozenset(table.name for table in service_metadata("any").tables.values())
"""The tables that every service has."""

SUBJECTS = Subjects(DEFAULT_PREFIX)
IN_STEPS = "↗"
LEGEND = f"{IN_STEPS} in steps, each committed, because it calls somebody outside or takes long."


def services() -> list[Service]:
    """Import every service, which registers its handlers; the gateway is none, because it has no handlers."""
    found = []
    for path in sorted((ROOT / "services").glob("*/app.py")):
        worker = importlib.import_module(f"services.{path.parent.name}.app")
        if isinstance(getattr(worker, "service", None), Service):
            found.append(worker.service)
    return found


def readme(service: Service) -> Path:
    """Return the path of the README with a service's canvas."""
    return ROOT / "services" / service.name / "README.md"


def rendered(service: Service, text: str) -> str:
    """Replace the marked section of a README by the service's canvas; append it if there is no section."""
    section = f"{BEGIN}\n{canvas(service)}\n{END}"
    if BEGIN not in text:
        return f"{text.rstrip()}\n\n{section}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{section}{after}"


def canvas(service: Service) -> str:
    """Build the canvas of one service as Markdown."""
    layout = load_layout(LAYOUT_PATH, prefix=DEFAULT_PREFIX, webhook_subject=DEFAULT_WEBHOOK_SUBJECT)
    parts = [
        ("Commands it takes", ("command", "what it does", "refuses with"), _commands(service)),
        ("Questions it answers", ("question", "answer"), _questions(service)),
        ("Events it publishes", ("event", "what happened"), _events(service)),
        ("What else it publishes", ("subject",), _other_subjects(service)),
        ("Commands it sends to others", ("command", "what for", "sent in"), _sent(service)),
        (
            "Streams it follows",
            ("durable consumer", "stream", "subjects", "handler"),
            _follows(service, layout),
        ),
        ("Jobs", ("job", "when", "what it does"), _jobs(service, layout)),
        ("Tables it owns", ("table", "what it holds"), _tables(service)),
    ]
    sections = [f"## {title}\n\n{_table(heads, rows)}" for title, heads, rows in parts if rows]
    return "\n\n".join([sections[0], LEGEND, *sections[1:]] if IN_STEPS in sections[0] else sections)


def _commands(service: Service) -> list[Sequence[str]]:
    handlers = [handler for handler in service.handlers.values() if handler.kind != "question"]
    return [
        (
            f"`{handler.name}` {IN_STEPS}" if handler.kind == "external_command" else f"`{handler.name}`",
            _first_line(handler.message),
            ", ".join(f"`{code}`" for code in handler.message.rejections),
        )
        for handler in handlers
    ]


def _questions(service: Service) -> list[Sequence[str]]:
    handlers = [handler for handler in service.handlers.values() if handler.kind == "question"]
    return [(f"`{handler.name}`", _first_line(handler.message)) for handler in handlers]


def _events(service: Service) -> list[Sequence[str]]:
    return [
        (f"`{entity}`: " + ", ".join(f"{name}V{version}" for name in event.names), _first_line(event))
        for (entity, version), event in EVENTS.items()
        if event.service == service.name
    ]


def _other_subjects(service: Service) -> list[Sequence[str]]:
    """List the subjects that the service may publish to beside events, queued commands and answers."""
    ours = (f"{DEFAULT_PREFIX}.", "$KV.")
    shown_elsewhere = (f"{DEFAULT_PREFIX}.change_feed.", f"{DEFAULT_PREFIX}.commands.")
    allowed = service_subjects(service.name)
    return [
        (f"`{subject}`",)
        for subject in allowed
        if subject.startswith(ours) and not subject.startswith(shown_elsewhere)
    ]


def service_subjects(service: str) -> list[str]:
    """List the subjects that `nats.conf` allows a service to publish to: its relay's, then its own."""
    configuration = PERMISSIONS_PATH.read_text()
    return [
        subject
        for user in (f"{service}_relay", service)
        for subject in permitted_subjects(configuration, user)
    ]


def permitted_subjects(configuration: str, user: str) -> list[str]:
    """List the subjects that `nats.conf` allows a user to publish to, in its order."""
    found = re.search(rf"user: {user},.*?publish: \{{\s*allow: \[(.*?)\]", configuration, re.DOTALL)
    return re.findall(r'^[^#"]*"([^"]+)"', found.group(1), re.MULTILINE) if found else []


def _sent(service: Service) -> list[Sequence[str]]:
    return [
        (f"`{command.service}.{command.name}`", _first_line(command), f"`{path}`")
        for command, path in sorted(sent_commands(service), key=lambda sent: (sent[0].service, sent[0].name))
    ]


def sent_commands(service: Service) -> Iterator[tuple[type[Command[Any]], str]]:
    """Find the commands that a service sends with `work.send(Command(…))` or a factory of it, and the files.

    Raises ValueError for a call that does not name the command.
    """
    folder = ROOT / "services" / service.name
    for path in sorted(folder.rglob("*.py")):
        for call in _send_calls(ast.parse(path.read_text())):
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            argument = call.args[0] if call.args else None
            sent = _resolved(module, argument.func) if isinstance(argument, ast.Call) else None
            sent = getattr(sent, "__self__", sent)  # the class of `Command.factory(…)`
            if not (inspect.isclass(sent) and issubclass(sent, Command)):
                raise ValueError(f"{path}:{call.lineno}: name the command in the call of work.send")
            yield sent, str(path.relative_to(folder))


def _send_calls(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "work.send":
            yield node


def _resolved(module: ModuleType, expression: ast.expr) -> Any:
    """Resolve a name, with or without dots, in a module."""
    found: Any = module
    for part in ast.unparse(expression).split("."):
        found = getattr(found, part, None)
    return found


def _follows(service: Service, layout: Layout) -> list[Sequence[str]]:
    handlers = {
        stream_consumer.consumer: stream_consumer.name for stream_consumer in service.stream_consumers
    }
    kinds = {
        f"{service.name}-commands": "the commands above",
        f"{service.name}-ticks": "the jobs below",
        f"{service.name}-feed": ", ".join(
            f"`{event_handler.name}`" for event_handler in service.event_handlers.values()
        ),
    }
    return [
        (
            f"`{name}`",
            stream,
            ", ".join(f"`{subject}`" for subject in config["filter_subjects"]) or "all",
            f"`{handlers[name]}`" if name in handlers else kinds.get(name, ""),
        )
        for name, (stream, config) in layout.consumers.items()
        if name.startswith(f"{service.name}-")
    ]


def _jobs(service: Service, layout: Layout) -> list[Sequence[str]]:
    every = {schedule["target"]: f"`{schedule['every']}`" for schedule in layout.schedules.values()}
    return [
        (
            f"`{job.name}`",
            every.get(
                SUBJECTS.scheduled(service.name, job.name), f"when somebody publishes to {TICKS_STREAM}"
            ),
            _first_line(job.function),
        )
        for job in service.jobs.values()
    ]


def _tables(service: Service) -> list[Sequence[str]]:
    described = {table.name: _first_line(row) for row, table in _mapped(service)}
    tables = service.metadata.tables.values()
    own = sorted(table.name for table in tables if table.name not in PLUMBING)
    shared = sorted(table.name for table in tables if table.name in PLUMBING)
    comments = {table.name: table.comment or "" for table in tables}
    return [(f"`{name}`", described.get(name) or comments[name]) for name in [*own, *shared]]


def _mapped(service: Service) -> Iterator[tuple[type[Any], sa.Table]]:
    """Find a service's row classes, each with its table."""
    for name, module in sorted(sys.modules.items()):
        if not name.startswith(f"services.{service.name}."):
            continue
        for _, row in inspect.getmembers(module, inspect.isclass):
            table = getattr(row, "__table__", None)
            if isinstance(table, sa.Table) and table.metadata is service.metadata:
                yield row, table


def _first_line(described: Any) -> str:
    return (inspect.getdoc(described) or "").partition("\n\n")[0].replace("\n", " ")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main() -> None:
    """Update every canvas, or with `--check` fail if one is outdated."""
    parser = argparse.ArgumentParser(prog="canvas", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if a canvas is out of date"
    )
    checking = parser.parse_args().check
    outdated = []
    for service in services():
        path = readme(service)
        text = path.read_text() if path.exists() else f"# {service.name}\n"
        wanted = rendered(service, text)
        if path.exists() and wanted == text:
            continue
        outdated.append(str(path.relative_to(ROOT)))
        if not checking:
            path.write_text(wanted)
    if outdated and checking:
        sys.exit(f"Out of date: {', '.join(outdated)}. Bring up to date: python -m shared.operations.canvas")
    sys.stdout.write(f"{'Written' if outdated else 'Up to date'}: {', '.join(outdated) or 'every canvas'}\n")


if __name__ == "__main__":
    main()
