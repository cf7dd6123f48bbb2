"""Requests over NATS with retries until there is an outcome, for commands and questions."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar, cast

import nats.errors
import nats.js.errors
from pydantic import BaseModel, ValidationError

from tallystick.client.connection import Connection, growing_delays
from tallystick.client.errors import DeadlineExceeded, TallystickError, UnexpectedReply, Unreachable
from tallystick.message_size import message_size
from tallystick.messages.base import Outcome, Request

Answer = TypeVar("Answer")
Result = TypeVar("Result", bound=BaseModel)


class TryAgain(Exception):
    """An attempt failed in a way that may succeed on a retry."""


def body_of(message: Request[Result]) -> bytes:
    """Encode a message as JSON.

    Only fields that were set are sent. A service that does not know the newest optional field therefore still
    accepts messages without it, and a repeated command has the same content under a newer client.
    """
    return message.model_dump_json(exclude_unset=True).encode()


def check_size(connection: Connection, subject: str, body: bytes, headers: Mapping[str, str] | None) -> None:
    """Raise TallystickError when headers and body exceed the server's `max_payload`.

    The server would otherwise close the connection and interrupt everything else on it.
    """
    if message_size(body, headers) > connection.nats.max_payload:
        raise TallystickError(f"the message to {subject} is larger than NATS accepts")


async def until_deadline(
    attempt: Callable[[float], Awaitable[Answer]],
    *,
    subject: str,
    connection: Connection,
    deadline_seconds: float,
    attempt_seconds: float,
) -> Answer:
    """Call `attempt` with a timeout in seconds until it succeeds, with growing delays in between.

    Raises DeadlineExceeded when no attempt succeeds in time, and Unreachable when the connection is closed.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + deadline_seconds
    attempts = 0
    for delay in growing_delays():
        attempts += 1
        remaining = deadline - loop.time()
        try:
            return await attempt(max(min(attempt_seconds, remaining), 0.001))
        except TryAgain as problem:
            last_problem = str(problem)
        except nats.errors.ConnectionClosedError:
            raise Unreachable("the connection to NATS is closed") from None
        except (nats.errors.NoRespondersError, nats.js.errors.NoStreamResponseError):
            last_problem = "nobody listens there"
        except (TimeoutError, nats.errors.TimeoutError):
            last_problem = (
                f"no answer; NATS says: {connection.last_problem}" if connection.last_problem else "no answer"
            )
        except nats.errors.OutboundBufferLimitError:
            last_problem = "not connected to NATS"
        except nats.errors.MaxPayloadError:
            raise TallystickError(f"the message to {subject} is larger than NATS accepts") from None
        if loop.time() + delay >= deadline:
            break
        await asyncio.sleep(delay)
    raise DeadlineExceeded(subject, deadline_seconds, attempts, last_problem)


async def request_outcome(
    connection: Connection,
    subject: str,
    body: bytes,
    *,
    headers: Mapping[str, str] | None,
    deadline_seconds: float,
    attempt_seconds: float,
) -> Outcome:
    """Send a request, retrying with the same body until the outcome is `succeeded` or `rejected`."""

    async def attempt(timeout_seconds: float) -> Outcome:
        sent_headers = dict(headers) if headers else None
        check_size(connection, subject, body, sent_headers)
        reply = await connection.nats.request(subject, body, timeout=timeout_seconds, headers=sent_headers)
        try:
            outcome = Outcome.model_validate_json(reply.data)
        except ValidationError as error:
            raise UnexpectedReply(f"the reply on {subject} is not an outcome: {error}") from error
        if outcome.status == "failed":
            raise TryAgain(f"the service answered {outcome.error.code if outcome.error else 'failed'}")
        return outcome

    return await until_deadline(
        attempt,
        subject=subject,
        connection=connection,
        deadline_seconds=deadline_seconds,
        attempt_seconds=attempt_seconds,
    )


def result_of(message: Request[Result], outcome: Outcome) -> Result:
    """Parse the result of a succeeded outcome; raises UnexpectedReply when it has another form."""
    try:
        # Parsed from JSON, since a strict model rejects timestamps as Python strings.
        return cast(Result, type(message).result.model_validate_json(json.dumps(outcome.result or {})))
    except ValidationError as error:
        raise UnexpectedReply(
            f"the result of {message.service}.{message.name} has another form: {error}"
        ) from error
