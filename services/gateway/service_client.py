"""Sends messages to the other services and turns their outcomes into results or HTTP responses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from services.gateway.problem_details import ProblemError
from services.gateway.request_coalescing import RequestCoalescer
from shared.observability.tracing import outgoing_headers
from tallystick.client import Client, DeadlineExceeded, UnexpectedReply, Unreachable
from tallystick.client.connection import Connection
from tallystick.client.request_reply import result_of
from tallystick.messages.base import Command, Outcome, Question, Request

Result = TypeVar("Result", bound=BaseModel)

QUESTION_TIMEOUT_SECONDS = 5.0
"""How long a browser waits for an answer before it gets `unavailable`."""
COMMAND_TIMEOUT_SECONDS = 20.0
"""A command may call Stripe for seconds; proxies give up after 30 or 60."""
OPTIONAL_TIMEOUT_SECONDS = 1.0
"""For results that a response leaves out if their service is unavailable."""
RETRY_SOON = {"Retry-After": "1"}


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """Sends commands and questions on behalf of callers whose rights have been checked."""

    client: Client
    coalescer: RequestCoalescer[bytes] = field(default_factory=RequestCoalescer)
    """For questions that many requests ask at the same moment."""

    async def respond(self, message: Request[Any], status: int = 200) -> Response:
        """Send a command or question and return its result as a response. Raises ProblemError."""
        return json_response(await self.request_json(message), status)

    async def request_json(self, message: Request[Any]) -> Mapping[str, Any]:
        """Send a command or question and return its result as JSON. Raises ProblemError."""
        return (await self._outcome(message, _timeout_of(message))).result or {}

    async def request(self, message: Request[Result]) -> Result:
        """Send a command or question and return its typed result. Raises ProblemError."""
        return result_of(message, await self._outcome(message, _timeout_of(message)))

    async def request_optional(self, message: Request[Any]) -> Mapping[str, Any] | None:
        """Return a result as JSON, or None if its service is unavailable or rejects the message."""
        try:
            return (await self._outcome(message, OPTIONAL_TIMEOUT_SECONDS)).result
        except ProblemError:
            return None

    def connection(self) -> Connection:
        """Return the NATS connection, open or reconnecting. Raises ProblemError before the first connect."""
        connection = self.client.connection
        if not (connection.nats.is_connected or connection.nats.is_reconnecting):
            raise ProblemError("unavailable", "Not connected to NATS yet. Try again.", headers=RETRY_SOON)
        return connection

    async def _outcome(self, message: Request[Any], seconds: float) -> Outcome:
        self.connection()
        headers = outgoing_headers() or None
        try:
            if isinstance(message, Command):
                outcome = await self.client.outcome(message, deadline_seconds=seconds, headers=headers)
            else:
                assert isinstance(message, Question)
                outcome = await self.client.answer(message, deadline_seconds=seconds, headers=headers)
        except (DeadlineExceeded, Unreachable, UnexpectedReply) as error:
            raise ProblemError(
                "unavailable",
                f"{message.service} does not answer just now. Ask again, a change with the same "
                "Idempotency-Key.",
                headers=RETRY_SOON,
            ) from error
        if outcome.status != "succeeded":
            raise ProblemError.from_error_body(outcome.error)
        return outcome


def json_response(content: Any, status: int = 200) -> Response:
    """Return content as a JSON response."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def _timeout_of(message: Request[Any]) -> float:
    return COMMAND_TIMEOUT_SECONDS if isinstance(message, Command) else QUESTION_TIMEOUT_SECONDS
