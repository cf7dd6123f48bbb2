"""Reads dead letters and retries those that the gateway may publish: commands and Stripe events.

Ticks are not retried, because the next tick does the same work; neither are events of the feed, which must
not be published twice, and payloads of an ingress, which only the ingress may publish.
`./dev dead-letters retry` retries those with the administrator's credentials.
"""

import json
from collections.abc import AsyncIterator

import nats.errors
from nats.js.errors import APIError

from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.problem_details import ProblemError
from services.gateway.service_client import ServiceClient
from tallystick.client import NotProvisioned
from tallystick.client.dead_letters import (
    DeadLetter,
    read_all,
    read_one,
    send_back,
    why_not_retriable,
)
from tallystick.messages import webhooks
from tallystick.subjects import DEAD_LETTERS_STREAM, DEFAULT_WEBHOOK_SUBJECT

INTERNAL_COMMANDS = (
    "webhooks.record_outcome",
    "subscriptions.change_held_quantity",
    "subscriptions.end_add_on_with_plan",
    "subscriptions.refresh_seats",
    "subscriptions.record_usage",
    "subscriptions.bill_overage",
    "seats.hold_seat_count",
    "seats.release_seat_count",
    "licenses.confirm_license_seats",
    "consumables.charge_recharge",
    "consumables.charge_overage",
    "payouts.record_sale",
)
"""Commands that only services send to each other; the gateway's NATS user may not publish them."""


async def read_dead_letters(services: ServiceClient) -> AsyncIterator[DeadLetter]:
    """Yield every dead letter, oldest first. Raises ProblemError."""
    try:
        async for letter in read_all(services.connection()):
            yield letter
    except NotProvisioned as error:
        raise ProblemError("unavailable", "The dead letters cannot be read just now.") from error


async def read_dead_letter(services: ServiceClient, number: int) -> DeadLetter:
    """Return a dead letter by its number. Raises ProblemError."""
    try:
        letter = await read_one(services.connection(), number)
    except (nats.errors.Error, TimeoutError) as error:
        raise ProblemError("unavailable", "The dead letters cannot be read just now.") from error
    if letter is None:
        raise ProblemError("not_found", f"There is no dead letter {number}.")
    return letter


async def retry_dead_letter(
    services: ServiceClient, letter: DeadLetter, caller: Caller, command_id: str
) -> None:
    """Publish a message again and delete its dead letter. Raises ProblemError."""
    if letter.is_cut:
        raise ProblemError(
            "not_retriable", "It was too large to be kept whole; its sender has to send it again."
        )
    subjects = services.client.subjects
    prefix = subjects.prefix
    origin = letter.about("Origin-Subject")
    # Payloads of an ingress are rejected below, whatever their subject is configured to be.
    reason = why_not_retriable(letter, subjects, DEFAULT_WEBHOOK_SUBJECT)
    if reason is not None:
        raise ProblemError("not_retriable", f"It is not sent back: {reason}.")
    if origin.startswith(f"{prefix}.stripe_events."):
        await _replay(services, letter, caller, command_id)
        return
    command = origin.removeprefix(f"{prefix}.commands.")
    if command == origin or command in INTERNAL_COMMANDS:
        raise ProblemError(
            "not_retriable",
            f"A message of {origin or 'unknown origin'} is not sent back from here; "
            "`./dev dead-letters retry` can.",
        )
    problem = await send_back(services.connection(), letter, subjects)
    if problem is not None:
        raise ProblemError("unavailable", f"It could not be sent back: {problem}.")


async def _replay(services: ServiceClient, letter: DeadLetter, caller: Caller, command_id: str) -> None:
    try:
        event_id = json.loads(letter.body)["id"]
        command = command_for(webhooks.Replay, caller, command_id, event_ids=[event_id])
    except (ValueError, TypeError, KeyError):
        raise ProblemError("not_retriable", "The message is not an event of Stripe's.") from None
    await services.request_json(command)
    try:
        await services.connection().jetstream().delete_msg(DEAD_LETTERS_STREAM, letter.sequence)
    except (APIError, nats.errors.Error, TimeoutError) as error:
        raise ProblemError("unavailable", "It is replayed, but still on the list. Try again.") from error
