"""Dead letters, read and sent back as far as the gateway may: commands, and Stripe's events.

A tick is not sent back, since the next one does its work; an event of the feed is not told twice; and a
payload from an ingress is the ingress' to send. `./dev dead-letters retry` does those, as the administrator.
"""

import json
from collections.abc import AsyncIterator

import nats.errors
from nats.js.errors import APIError

from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.problem_details import ProblemError
from services.gateway.service_client import Billing
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
    "subscriptions.refresh_seats",
    "subscriptions.record_usage",
    "seats.hold_seat_count",
    "seats.release_seat_count",
    "consumables.charge_recharge",
)
"""Spoken between services only; the gateway may not publish them."""


async def letters(billing: Billing) -> AsyncIterator[DeadLetter]:
    """Every dead letter, oldest first. Raises ProblemError."""
    try:
        async for letter in read_all(billing.connection()):
            yield letter
    except NotProvisioned as error:
        raise ProblemError("unavailable", "The dead letters cannot be read just now.") from error


async def the_letter(billing: Billing, number: int) -> DeadLetter:
    """One dead letter. Raises ProblemError."""
    try:
        letter = await read_one(billing.connection(), number)
    except (nats.errors.Error, TimeoutError) as error:
        raise ProblemError("unavailable", "The dead letters cannot be read just now.") from error
    if letter is None:
        raise ProblemError("not_found", f"There is no dead letter {number}.")
    return letter


async def retry_letter(billing: Billing, letter: DeadLetter, caller: Caller, command_id: str) -> None:
    """Have a message handled again, and take it off the list. Raises ProblemError."""
    if letter.is_cut:
        raise ProblemError(
            "not_retriable", "It was too large to be kept whole; its sender has to send it again."
        )
    subjects = billing.client.subjects
    prefix = subjects.prefix
    origin = letter.about("Origin-Subject")
    # The ingress' payloads are refused below, whatever their subject is called here.
    forged = why_not_retriable(letter, subjects, DEFAULT_WEBHOOK_SUBJECT)
    if forged is not None:
        raise ProblemError("not_retriable", f"It is not sent back: {forged}.")
    if origin.startswith(f"{prefix}.stripe_events."):
        await _replay(billing, letter, caller, command_id)
        return
    command = origin.removeprefix(f"{prefix}.commands.")
    if command == origin or command in INTERNAL_COMMANDS:
        raise ProblemError(
            "not_retriable",
            f"A message of {origin or 'unknown origin'} is not sent back from here; "
            "`./dev dead-letters retry` can.",
        )
    problem = await send_back(billing.connection(), letter, subjects)
    if problem is not None:
        raise ProblemError("unavailable", f"It could not be sent back: {problem}.")


async def _replay(billing: Billing, letter: DeadLetter, caller: Caller, command_id: str) -> None:
    try:
        event_id = json.loads(letter.body)["id"]
        command = command_for(webhooks.Replay, caller, command_id, event_ids=[event_id])
    except (ValueError, TypeError, KeyError):
        raise ProblemError("not_retriable", "The message is not an event of Stripe's.") from None
    await billing.result(command)
    try:
        await billing.connection().jetstream().delete_msg(DEAD_LETTERS_STREAM, letter.sequence)
    except (APIError, nats.errors.Error, TimeoutError) as error:
        raise ProblemError("unavailable", "It is replayed, but still on the list. Try again.") from error
