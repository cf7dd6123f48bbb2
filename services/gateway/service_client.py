"""From a message to an HTTP answer: the one place where the gateway speaks to the other services."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from services.gateway.problem_details import ProblemError
from services.gateway.request_coalescing import Joining
from shared.observability.tracing import outgoing_headers
from tallystick.client import Client, DeadlineExceeded, UnexpectedReply, Unreachable
from tallystick.client.connection import Connection
from tallystick.client.request_reply import result_of
from tallystick.messages.base import Command, Outcome, Question, Request

Result = TypeVar("Result", bound=BaseModel)

ASK_SECONDS = 5.0
"""How long a browser waits for an answer before it hears `unavailable`."""
CALL_SECONDS = 20.0
"""A command may talk to Stripe for seconds; proxies give up after 30 or 60."""
SOON = {"Retry-After": "1"}
BESIDE_SECONDS = 1.0
"""For what is shown beside the answer, and left out where its service is away."""


@dataclass(frozen=True, slots=True)
class Billing:
    """The other services, asked on behalf of callers whose rights have been checked."""

    client: Client
    joining: Joining[bytes] = field(default_factory=Joining)
    """For questions that many ask at the same moment."""

    async def respond(self, message: Request[Any], status: int = 200) -> Response:
        """The result of a command or question as it came, as a response. Raises ProblemError."""
        return json_response(await self.result(message), status)

    async def result(self, message: Request[Any]) -> Mapping[str, Any]:
        """The result of a command or question as JSON. Raises ProblemError."""
        return (await self._outcome(message, _patience(message))).result or {}

    async def ask(self, message: Request[Result]) -> Result:
        """The typed result of a command or question. Raises ProblemError."""
        return result_of(message, await self._outcome(message, _patience(message)))

    async def beside(self, message: Request[Any]) -> Mapping[str, Any] | None:
        """A result that can be done without; None where its service is away or has none."""
        try:
            return (await self._outcome(message, BESIDE_SECONDS)).result
        except ProblemError:
            return None

    def connection(self) -> Connection:
        """The connection to NATS, open or reconnecting. Raises ProblemError until the first one is made."""
        connection = self.client.connection
        if not (connection.nats.is_connected or connection.nats.is_reconnecting):
            raise ProblemError("unavailable", "Not connected to NATS yet. Try again.", headers=SOON)
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
                headers=SOON,
            ) from error
        if outcome.status != "succeeded":
            raise ProblemError.because(outcome.error)
        return outcome


def json_response(content: Any, status: int = 200) -> Response:
    """Something as a JSON response."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def _patience(message: Request[Any]) -> float:
    return CALL_SECONDS if isinstance(message, Command) else ASK_SECONDS
