"""Asks over NATS until there is an outcome: the one retry loop behind commands and questions."""

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
    """An attempt came to nothing, and the next one may do better."""


def body_of(message: Request[Result]) -> bytes:
    """The message as sent.

    Only the fields that were set travel, so that a service which does not know the newest optional field
    still understands whoever does not use it, and so that a repeated command has the same content under a
    newer client.
    """
    return message.model_dump_json(exclude_unset=True).encode()


def check_size(connection: Connection, subject: str, body: bytes, headers: Mapping[str, str] | None) -> None:
    """Raise TallystickError where headers and body are larger together than the server accepts.

    The server would close the connection, and with it everything else that goes on over it.
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
    """Make attempts with growing delays until one has an answer; each is given its timeout in seconds.

    Raises DeadlineExceeded when none had one in time, and Unreachable when the connection is closed.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + deadline_seconds
    attempts = 0
    for delay in growing_delays():
        attempts += 1
        left = ends_at - loop.time()
        try:
            return await attempt(max(min(attempt_seconds, left), 0.001))
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
        if loop.time() + delay >= ends_at:
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
    """Send a request, again and again with the same body, until its outcome is `succeeded` or `rejected`."""

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
    """The typed result in a succeeded outcome; raises UnexpectedReply when it has another form."""
    try:
        # By way of JSON: in Python's own types a strict model would refuse a time written as text.
        return cast(Result, type(message).result.model_validate_json(json.dumps(outcome.result or {})))
    except ValidationError as error:
        raise UnexpectedReply(
            f"the result of {message.service}.{message.name} has another form: {error}"
        ) from error
