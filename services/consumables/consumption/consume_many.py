"""Many consumptions in one message, each of which is a command with an id and a stored outcome of its own."""

from collections.abc import Sequence

from services.consumables.consumption import consume
from services.consumables.service import service
from shared.messaging.command_batch import Answer, BatchedCommand, decide_batch
from shared.persistence.inbox import Inbox
from shared.persistence.sql_pipeline import BoundStatement
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as m

MESSAGES_MAX = 8
"""Messages of up to 500 items in one transaction; more would block others with the same balances too long."""


def preload_statements(messages: Sequence[m.ConsumeMany]) -> Sequence[BoundStatement]:
    """Return the statements that load the balances of all messages' items."""
    return consume.preload_statements([item for message in messages for item in message.items])


@service.command(m.ConsumeMany, together=True, together_max=MESSAGES_MAX, reads=preload_statements)
async def consume_many(
    work: UnitOfWork, commands: Sequence[m.ConsumeMany], inbox: Inbox
) -> list[bytes | Exception]:
    """Consume units for the items of each message; return their outcomes in order, encoded as JSON."""
    items = [
        BatchedCommand(item, item.model_dump_json().encode(), work.now)
        for command in commands
        for item in command.items
    ]
    for command in commands if work.traces else ():
        work.traces |= dict.fromkeys(
            (item.command_id for item in command.items), work.trace(command.command_id)
        )
    answers = iter(await decide_batch(work, inbox, items, consume.consume))
    return [_outcomes([next(answers) for _ in command.items]) for command in commands]


def _outcomes(answers: Sequence[Answer | Exception]) -> bytes | Exception:
    bodies = []
    for answer in answers:
        if isinstance(answer, Exception):
            # The outcome of one item is unknown, so the whole message must be sent again.
            return answer
        bodies.append(answer.body)
    return b'{"outcomes":[%b]}' % b",".join(bodies)
