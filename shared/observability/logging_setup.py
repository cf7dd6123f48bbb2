"""Structured logs without secrets: JSON, or coloured lines for a terminal."""

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

SECRET_NAMES = re.compile(r"(secret|password|token|authorization|signature|api_key)", re.IGNORECASE)
SECRET_VALUES = re.compile(
    r"(sk_(live|test)_|rk_(live|test)_|whsec_)[A-Za-z0-9_]+|(?<=://)[^/@\s:]+:[^/@\s]+(?=@)"
)
"""Stripe's keys and signing secrets, and credentials inside URLs, anywhere in a value."""
HIDDEN = "[hidden]"


def set_up_logs(service: str, *, style: str, level: str) -> None:
    """Configure structlog, and the standard library's logging that other packages use, for one process."""
    number = logging.getLevelNamesMapping()[level.upper()]
    # Plain tracebacks: rich ones show every local variable, which may be a secret.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = console if style == "console" else structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks become text first, so that secrets in them are hidden as well.
    ending: list[Any] = [structlog.processors.format_exc_info, hide_secrets, renderer]
    structlog.configure(
        processors=[*processors, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=processors, processors=[_drop_meta, *ending])
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Replace everything that looks like a secret; a structlog processor."""
    return {name: HIDDEN if SECRET_NAMES.search(name) else _hidden(value) for name, value in event.items()}


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return SECRET_VALUES.sub(HIDDEN, value)
    if isinstance(value, Mapping):
        return hide_secrets(None, "", {str(name): one for name, one in value.items()})
    if isinstance(value, list | tuple | set | frozenset):
        return [_hidden(one) for one in value]
    # Any other value as the renderer would write it.
    return value if value is None or isinstance(value, int | float) else SECRET_VALUES.sub(HIDDEN, str(value))


def _drop_meta(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event
