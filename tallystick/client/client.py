"""The client other teams use: commands, questions, events and entitlements over one connection."""

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
from tallystick.subjects import CATALOG_TOKEN, DEFAULT_PREFIX, Subjects

Result = TypeVar("Result", bound=BaseModel)

CALL_DEADLINE_SECONDS = 30.0
"""How long a command is tried: longer than a worker's restart."""
ASK_DEADLINE_SECONDS = 10.0
"""How long a question is tried: somebody usually waits for the answer."""
SEND_DEADLINE_SECONDS = 30.0
"""How long handing over a command to the queue is tried."""
ATTEMPT_SECONDS = 5.0
"""How long one attempt waits. A command that talks to Stripe may take seconds; its retry finds the first
one's outcome."""


def connect(
    url: str,
    prefix: str = DEFAULT_PREFIX,
    *,
    name: str = "tallystick",
    tls: ssl.SSLContext | None = None,
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
) -> "Client":
    """A client for `async with tallystick.connect("nats://client:password@host:4222") as billing: …`.

    `prefix` is the installation's `SUBJECT_PREFIX`; `name` is what NATS shows for this connection. Several
    servers of one cluster are given as one URL each, joined by commas. With `tls://` the connection is
    encrypted and the server's certificate verified, by `tls`, the file that NATS_CA_FILE names, or what the
    system trusts. Entering raises Unreachable when none answers.
    """
    return Client(
        Connection(url, name=name, tls=tls, connect_timeout_seconds=connect_timeout_seconds), Subjects(prefix)
    )


class Client:
    """One connection's worth of billing. Safe to use from many tasks at once."""

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
        """End feeds and mirrors, then close the connection."""
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
        """Have a command carried out and return its result.

        Asked again with the same `command_id` until there is an outcome. Raises CommandRejected when the
        service says no, and DeadlineExceeded when it is not known what became of the command.
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
        """As `call`, with a rejection returned instead of raised."""
        return await self._request(command, deadline_seconds, headers)

    async def ask(
        self,
        question: Question[Result],
        *,
        deadline_seconds: float = ASK_DEADLINE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Result:
        """The answer to a question; raises QuestionRejected (`not_found`, say) and DeadlineExceeded."""
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
        """As `ask`, with the outcome as it came, a rejection included."""
        return await self._request(question, deadline_seconds, headers)

    async def send(
        self,
        command: Command[Any],
        reply_to: str | None = None,
        *,
        deadline_seconds: float = SEND_DEADLINE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Queued:
        """Hand a command over: once this returns it is on JetStream's disk, and is carried out in its turn.

        The outcome is published to the subject `reply_to`, if given: one that begins with `_INBOX`. Raises
        QueueRefused and DeadlineExceeded.
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
        """Hand many commands over, up to 1,000 with one disk sync; `deadline_seconds` is for each thousand.

        When it raises, some may be queued: send all of them again, what is there already is recognised.
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
        """The change feed, filtered by entity (`subscription`), customer and event (`created`, `createdV2`).

        Without `durable` the feed begins at `start` each time. With a durable name the server remembers what
        was handled; `start` then counts only the first time, and several processes may share the work.

        Versions tell what is odd: an event after a gap has `gap` set (or raises FeedGap), one that fills a
        gap is `late`, one that was handled already is skipped. Checking is on unless events are filtered by
        name, when gaps are natural; switch it off where several processes share a durable name.
        `known_versions` (`entity_key` → version) carries on where an earlier process stopped.
        """
        wanted = "*" if event == "*" else event if event[-1].isdigit() else f"{event}V1"
        token = customer if customer in ("*", CATALOG_TOKEN) else token_of(customer)
        checked = (event == "*") if check_versions is None else check_versions
        feed = Feed(
            self.connection,
            self.subjects,
            filter_subject=self.subjects.feed(entity, str(token), wanted),
            durable=durable,
            start=start,
            versions=Versions(known_versions) if checked else None,
            on_gap=on_gap,
            repeated=repeated,
            on_close=self._feeds.discard,
        )
        self._feeds.add(feed)
        return feed

    def entitlements(self, customers: Iterable[Customer | str] | None = None) -> EntitlementsMirror:
        """A local mirror of what these customers (or all) may use; enter it to fill it."""
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
