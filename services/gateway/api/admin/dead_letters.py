"""`/api/v1/admin/dead-letters`: lists messages that failed permanently, and retries them."""

import heapq
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field, JsonValue

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.dead_letters import read_dead_letter, read_dead_letters, retry_dead_letter
from services.gateway.dependencies import StateDep
from services.gateway.openapi.responses import POST_CODES, problem_responses
from tallystick.client.dead_letters import DeadLetter
from tallystick.messages.base import TolerantModel

router = APIRouter(prefix="/api/v1/admin/dead-letters", tags=["admin: dead letters"])

Number = Annotated[int, Path(ge=1, le=2**63 - 1, description="The dead letter's number, from the list.")]


class DeadLetterView(TolerantModel, title="Letter"):
    """A message that failed permanently."""

    number: int
    service: str
    handler: str
    attempts: str
    error: str
    failed_at: str
    origin_subject: str = Field(description="The subject that the message was originally published to.")
    headers: dict[str, str]
    body: JsonValue

    @classmethod
    def of(cls, letter: DeadLetter) -> "DeadLetterView":
        """Create the view of a dead letter."""
        return cls(
            number=letter.sequence,
            service=letter.about("Service"),
            handler=letter.about("Handler"),
            attempts=letter.about("Attempts"),
            error=letter.about("Error"),
            failed_at=letter.about("Failed-At"),
            origin_subject=letter.about("Origin-Subject"),
            headers=letter.headers,
            body=letter.readable_body(),
        )


class DeadLetterFound(TolerantModel, title="LetterFound"):
    """One dead letter."""

    dead_letter: DeadLetterView


class DeadLetterPage(TolerantModel, title="LetterPage"):
    """Dead letters, newest first."""

    items: list[DeadLetterView]
    next_before: int | None = Field(description="The `before` of the next page; null if there is none.")


class DeadLetterRetried(TolerantModel, title="Retried"):
    """A dead letter whose message was published again."""

    number: int


@router.get("", response_model=DeadLetterPage, responses=problem_responses())
async def dead_letters(
    _: AdminCaller,
    state: StateDep,
    service: Annotated[str | None, Query(max_length=64)] = None,
    handler: Annotated[str | None, Query(max_length=64)] = None,
    before: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="`next_before` of the previous page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DeadLetterPage:
    """List dead letters, newest first."""
    matching = [
        letter
        async for letter in read_dead_letters(state.services)
        if service in (None, letter.about("Service"))
        and handler in (None, letter.about("Handler"))
        and (before is None or letter.sequence < before)
    ]
    newest = heapq.nlargest(limit, matching, key=lambda letter: letter.sequence)
    more = len(matching) > len(newest)
    return DeadLetterPage(
        items=[DeadLetterView.of(letter) for letter in newest],
        next_before=newest[-1].sequence if more else None,
    )


@router.get("/{number}", response_model=DeadLetterFound, responses=problem_responses(codes=["not_found"]))
async def dead_letter(_: AdminCaller, state: StateDep, number: Number) -> DeadLetterFound:
    """Show a dead letter."""
    return DeadLetterFound(dead_letter=DeadLetterView.of(await read_dead_letter(state.services, number)))


@router.post(
    "/{number}/retry",
    status_code=202,
    response_model=DeadLetterRetried,
    responses=problem_responses(codes=["not_found", "not_retriable", *POST_CODES]),
)
async def retry(
    caller: AdminCaller, state: StateDep, command_id: RequestCommandId, number: Number
) -> DeadLetterRetried:
    """Publish the message again and delete the dead letter."""
    letter = await read_dead_letter(state.services, number)
    await retry_dead_letter(state.services, letter, caller, command_id)
    return DeadLetterRetried(number=number)
