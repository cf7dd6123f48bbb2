"""A client for synchronous requests to other services over NATS.

For use cases that cannot continue without the other service. A command gets an id derived from the id of the
command being handled, so that sending it again, even after a crash, changes nothing. A command that can wait
goes through the outbox (`UnitOfWork.send`); state of other services comes from the change feed.
"""

import asyncio
from typing import Any, TypeVar

import orjson
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import BaseModel, ValidationError

from shared.errors import Rejected, Unavailable
from shared.messaging.nats_connection import connect
from shared.observability.tracing import outgoing_headers
from shared.settings import CommonSettings
from shared.tuning import ASK_TIMEOUT_SECONDS
from tallystick.messages.base import Outcome, Request
from tallystick.subjects import Subjects

log = structlog.get_logger()

Result = TypeVar("Result", bound=BaseModel)


class ServiceClient:
    """Sends one service's requests to other services; connects at the first request."""

    def __init__(self, settings: CommonSettings, service: str) -> None:
        self._nats_url = settings.nats_url.get_secret_value()
        self._subjects = Subjects(settings.subject_prefix)
        self._service = service
        self._connection: Client | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, message: Request[Result], *, timeout_seconds: float = ASK_TIMEOUT_SECONDS) -> Result:
        """Send a command or question to its service and return the result.

        Raises Rejected with the other service's error, and Unavailable when there is no answer in time or the
        outcome is `failed`. A command may have taken effect then; retry it with the same id.
        """
        outcome = await self._outcome(message, timeout_seconds)
        if outcome.status == "rejected" and outcome.error is not None:
            raise Rejected(outcome.error.code, outcome.error.message, outcome.error.details)
        if outcome.status != "succeeded":
            raise Unavailable(f"{message.service} cannot say just now")
        result: Any = type(message).result
        try:
            found: Result = result.model_validate_json(orjson.dumps(outcome.result))
        except ValidationError as error:
            raise Unavailable(f"{message.service} answers in a form that is not known here") from error
        return found

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _outcome(self, message: Request[Any], timeout_seconds: float) -> Outcome:
        subject = self._subjects.request(message.service, message.name)
        body = message.model_dump_json(exclude_unset=True).encode()
        try:
            async with asyncio.timeout(timeout_seconds):
                connection = await self._open_connection()
                reply = await connection.request(
                    subject, body, timeout=timeout_seconds, headers=outgoing_headers() or None
                )
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("no answer", subject=subject, error=str(error) or type(error).__name__)
            raise Unavailable(f"{message.service} does not answer") from error
        try:
            return Outcome.model_validate_json(reply.data)
        except ValidationError as error:
            raise Unavailable(f"{message.service} answers with what is no outcome") from error

    async def _open_connection(self) -> Client:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed:
                self._connection = await connect(self._nats_url, f"{self._service}-asking")
            return self._connection
