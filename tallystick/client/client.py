"""Client for other applications: commands, questions, events and entitlements over one NATS connection."""

import ssl
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from tallystick.client import command_queue, request_reply
from tallystick.client.command_queue import Queued
from tallystick.client.connection import CONNECT_TIMEOUT_SECONDS, Connection
from tallystick.client.entitlements import EntitlementsMirror, token_of
from tallystick.client.errors import CommandRejected, QuestionRejected, Rejected
from tallystick.client.feed import Feed, Start
from tallystick.client.versions import Versions
from tallystick.messages.base import Command, Customer, Outcome, Question, Request
from tallystick.subjects import DEFAULT_PREFIX, PLATFORM_TOKENS, Subjects

Result = TypeVar("Result", bound=BaseModel)

CALL_DEADLINE_SECONDS = 30.0
"""Default deadline of a command; longer than a worker's restart."""
ASK_DEADLINE_SECONDS = 10.0
"""Default deadline of a question; shorter, since a user usually waits for the answer."""
SEND_DEADLINE_SECONDS = 30.0
"""Default deadline for queueing a command."""
ATTEMPT_SECONDS = 5.0
"""Timeout of one attempt. A command that calls Stripe may take seconds; a retry receives the outcome of the
first attempt."""


def connect(
    url: str,
    prefix: str = DEFAULT_PREFIX,
    *,
    name: str = "tallystick",
    tls: ssl.SSLContext | None = None,
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
) -> "Client":
    """Return a client, to be used with `async with`.

        async with tallystick.connect("nats://client:password@host:4222") as billing:
            ...

    `prefix` is the installation's `SUBJECT_PREFIX`; `name` is the connection name shown by NATS. Give the
    servers of a cluster as comma-separated URLs. A `tls://` URL encrypts the connection and verifies the
    server's certificate, with `tls` if given, else the authorities in the file NATS_CA_FILE, else the
    system's. Entering the client raises Unreachable when no server answers.
    """
    return Client(
        Connection(url, name=name, tls=tls, connect_timeout_seconds=connect_timeout_seconds), Subjects(prefix)
    )


class Client:
    """Client for one installation over one NATS connection. Safe for use by concurrent tasks."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self.connection = connection
        self.subjects = subjects
        self._feeds: set[Feed] = set()
        self._mirrors: list[EntitlementsMirror] = []

    async def __aenter__(self) -> "Client":
        await self.connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all feeds and mirrors, then the connection."""
        for feed in tuple(self._feeds):
            await feed.aclose()
        for mirror in self._mirrors:
            await mirror.aclose()
        await self.connection.close()

    async def call(
        self,
        command: Command[Result],
        *,
        deadline_seconds: float = CALL_DEADLINE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Result:
        """Send a command and return its result.

        The request is retried with the same `command_id` until there is an outcome. Raises CommandRejected
        when the service rejects the command, and DeadlineExceeded when its outcome is unknown.
        """
        outcome = await self.outcome(command, deadline_seconds=deadline_seconds, headers=headers)
        _raise_if_rejected(command, outcome, CommandRejected)
        return request_reply.result_of(command, outcome)

    async def outcome(
        self,
        command: Command[Any],
        *,
        deadline_seconds: float = CALL_DEADLINE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Send a command like `call`, but return a rejection instead of raising it."""
        return await self._request(command, deadline_seconds, headers)

    async def ask(
        self,
        question: Question[Result],
        *,
        deadline_seconds: float = ASK_DEADLINE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Result:
        """Return the answer to a question.

        Raises QuestionRejected (such as `not_found`) and DeadlineExceeded.
        """
        outcome = await self.answer(question, deadline_seconds=deadline_seconds, headers=headers)
        _raise_if_rejected(question, outcome, QuestionRejected)
        return request_reply.result_of(question, outcome)

    async def answer(
        self,
        question: Question[Any],
        *,
        deadline_seconds: float = ASK_DEADLINE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Ask a question like `ask`, but return the whole outcome, including a rejection."""
        return await self._request(question, deadline_seconds, headers)

    async def send(
        self,
        command: Command[Any],
        reply_to: str | None = None,
        *,
        deadline_seconds: float = SEND_DEADLINE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Queued:
        """Queue a command without waiting for its outcome.

        When this returns, JetStream has stored the command on disk. The outcome is published to the subject
        `reply_to`, if given; it must begin with `_INBOX`. Raises QueueRefused and DeadlineExceeded.
        """
        return await command_queue.queue_one(
            self.connection,
            command_queue.pack(command, self.subjects, reply_to, headers),
            deadline_seconds=deadline_seconds,
            attempt_seconds=ATTEMPT_SECONDS,
        )

    async def send_many(
        self,
        commands: Iterable[Command[Any]],
        reply_to: str | None = None,
        *,
        deadline_seconds: float = SEND_DEADLINE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Sequence[Queued]:
        """Queue many commands, up to 1,000 with one disk sync; `deadline_seconds` applies to each batch.

        After an error some of them may be queued. Send all of them again: duplicates are detected.
        """
        return await command_queue.queue_many(
            self.connection,
            [command_queue.pack(command, self.subjects, reply_to, headers) for command in commands],
            deadline_seconds=deadline_seconds,
            attempt_seconds=ATTEMPT_SECONDS,
        )

    def events(
        self,
        *,
        entity: str = "*",
        customer: Customer | str = "*",
        event: str = "*",
        durable: str | None = None,
        start: Start = "new",
        check_versions: bool | None = None,
        known_versions: Mapping[str, int] | None = None,
        on_gap: Literal["flag", "raise"] = "flag",
        repeated: Literal["skip", "yield"] = "skip",
    ) -> Feed:
        """Return the change feed, filtered by entity (`subscription`), customer and event (`createdV2`).

        Without `durable`, the feed begins at `start` each time. With a durable name the server stores the
        position; `start` then applies only to the first use, and several processes may share the consumer.

        Gaps are detected by the events' versions: an event after a gap has `gap` set (or FeedGap is raised),
        an event that fills a gap has `late` set, and an event that was already handled is skipped. Checking
        is on by default unless events are filtered by name, which makes gaps normal; switch it off where
        several processes share a durable name. `known_versions` (`entity_key` → version) continues from the
        versions an earlier process has handled.
        """
        versioned_event = "*" if event == "*" else event if event[-1].isdigit() else f"{event}V1"
        customer_token = customer if customer in ("*", *PLATFORM_TOKENS) else token_of(customer)
        versions_checked = (event == "*") if check_versions is None else check_versions
        feed = Feed(
            self.connection,
            self.subjects,
            filter_subject=self.subjects.feed(entity, str(customer_token), versioned_event),
            durable=durable,
            start=start,
            versions=Versions(known_versions) if versions_checked else None,
            on_gap=on_gap,
            repeated=repeated,
            on_close=self._feeds.discard,
        )
        self._feeds.add(feed)
        return feed

    def entitlements(self, customers: Iterable[Customer | str] | None = None) -> EntitlementsMirror:
        """Return a local mirror of the entitlements of these customers (or all); enter it to fill it."""
        mirror = EntitlementsMirror(self.connection, customers)
        self._mirrors.append(mirror)
        return mirror

    async def _request(
        self, message: Request[Any], deadline_seconds: float, headers: Mapping[str, str] | None
    ) -> Outcome:
        return await request_reply.request_outcome(
            self.connection,
            self.subjects.request(message.service, message.name),
            request_reply.body_of(message),
            headers=headers,
            deadline_seconds=deadline_seconds,
            attempt_seconds=ATTEMPT_SECONDS,
        )


def _raise_if_rejected(message: Request[Any], outcome: Outcome, error: type[Rejected]) -> None:
    if outcome.status == "rejected":
        name = f"{message.service}.{message.name}"
        if outcome.error is None:
            raise error(name, "unknown", "", {})
        raise error(name, outcome.error.code, outcome.error.message, outcome.error.details)
