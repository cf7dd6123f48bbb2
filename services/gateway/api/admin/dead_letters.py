"""`/api/v1/admin/dead-letters`: messages that failed for good, why, and sending them back."""

import heapq
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field, JsonValue

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.dead_letters import read_dead_letter, read_dead_letters, retry_dead_letter
from services.gateway.dependencies import StateDep
from services.gateway.openapi.responses import POST_CODES, problem_responses
from tallystick.client.dead_letters import DeadLetter
from tallystick.messages.base import Told

router = APIRouter(prefix="/api/v1/admin/dead-letters", tags=["admin: dead letters"])

Number = Annotated[int, Path(ge=1, le=2**63 - 1, description="As the list says.")]


class Letter(Told):
    """A message that failed for good."""

    number: int
    service: str
    handler: str
    attempts: str
    error: str
    failed_at: str
    origin_subject: str = Field(description="Where the message was sent in the first place.")
    headers: dict[str, str]
    body: JsonValue

    @classmethod
    def of(cls, letter: DeadLetter) -> "Letter":
        """As operators see it."""
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


class LetterFound(Told):
    """One dead letter."""

    dead_letter: Letter


class LetterPage(Told):
    """Dead letters, newest first."""

    items: list[Letter]
    next_before: int | None = Field(description="The `before` of the next page; null: there is none.")


class Retried(Told):
    """A dead letter that is on its way again."""

    number: int


@router.get("", response_model=LetterPage, responses=problem_responses())
async def dead_letters(
    _: AdminCaller,
    state: StateDep,
    service: Annotated[str | None, Query(max_length=64)] = None,
    handler: Annotated[str | None, Query(max_length=64)] = None,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next_before` of a page.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> LetterPage:
    """Dead letters, newest first."""
    wanted = [
        letter
        async for letter in read_dead_letters(state.services)
        if service in (None, letter.about("Service"))
        and handler in (None, letter.about("Handler"))
        and (before is None or letter.sequence < before)
    ]
    shown = heapq.nlargest(limit, wanted, key=lambda letter: letter.sequence)
    more = len(wanted) > len(shown)
    return LetterPage(
        items=[Letter.of(letter) for letter in shown],
        next_before=shown[-1].sequence if more else None,
    )


@router.get("/{number}", response_model=LetterFound, responses=problem_responses(codes=["not_found"]))
async def dead_letter(_: AdminCaller, state: StateDep, number: Number) -> LetterFound:
    """One dead letter."""
    return LetterFound(dead_letter=Letter.of(await read_dead_letter(state.services, number)))


@router.post(
    "/{number}/retry",
    status_code=202,
    response_model=Retried,
    responses=problem_responses(codes=["not_found", "not_retriable", *POST_CODES]),
)
async def retry(
    caller: AdminCaller, state: StateDep, command_id: RequestCommandId, number: Number
) -> Retried:
    """Have a message handled again, and take it off the list."""
    letter = await read_dead_letter(state.services, number)
    await retry_dead_letter(state.services, letter, caller, command_id)
    return Retried(number=number)
