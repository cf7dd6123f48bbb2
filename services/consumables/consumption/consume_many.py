"""Many consumptions in one message: each is a command of its own, stored and found again under its own id."""

from collections.abc import Sequence

from services.consumables.consumption import consume
from services.consumables.service import service
from shared.messaging.command_batch import Answer, BatchedCommand, decide_batch
from shared.persistence.inbox import Inbox
from shared.persistence.sql_pipeline import BoundStatement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m

MESSAGES_AT_ONCE = 8
"""Messages of up to 500 items in one transaction; more would make whoever needs the same balances wait."""


def reading(messages: Sequence[m.ConsumeMany]) -> Sequence[BoundStatement]:
    """What is read first for the items of all messages."""
    return consume.reading([item for message in messages for item in message.items])


@service.command(m.ConsumeMany, together=True, together_max=MESSAGES_AT_ONCE, reads=reading)
async def consume_many(
    work: UnitOfWork, commands: Sequence[m.ConsumeMany], inbox: Inbox
) -> list[bytes | Exception]:
    """The outcomes of each message's items, in their order, written as JSON."""
    asked = [
        BatchedCommand(item, item.model_dump_json().encode(), work.now)
        for command in commands
        for item in command.items
    ]
    for command in commands if work.traces else ():
        work.traces |= dict.fromkeys(
            (item.command_id for item in command.items), work.trace(command.command_id)
        )
    answers = iter(await decide_batch(work, inbox, asked, consume.consume))
    return [_outcomes([next(answers) for _ in command.items]) for command in commands]


def _outcomes(answers: Sequence[Answer | Exception]) -> bytes | Exception:
    bodies = []
    for answer in answers:
        if isinstance(answer, Exception):
            # Nobody can tell what became of one: the message is to be sent again.
            return answer
        bodies.append(answer.body)
    return b'{"outcomes":[%b]}' % b",".join(bodies)
