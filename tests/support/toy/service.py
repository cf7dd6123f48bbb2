"""A toy service that counts, for tests of the plumbing."""

import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.errors import Rejected, Unavailable
from shared.messaging.external_command import ExternalCommandSteps
from shared.messaging.service import Service
from shared.persistence.plumbing_tables import TYPES, service_metadata
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.base import (
    COMMANDS,
    EVENTS,
    QUESTIONS,
    Command,
    Count,
    Customer,
    Event,
    Question,
    Strict,
    Text,
    TolerantModel,
)


class Row(DeclarativeBase):
    """Base of this service's rows."""

    metadata = service_metadata("toy")
    type_annotation_map = TYPES


LIMIT = 1_000


class Counter(Row):
    """A counter."""

    __tablename__ = "counters"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]
    version: Mapped[int]


class CounterSnapshot(TolerantModel):
    """The snapshot of a counter."""

    counter_id: str
    value: Count


class CounterEvent(Event, service="toy", entity="counter", names=("moved",)):
    """A counter moved."""

    counter: CounterSnapshot


class Increment(Command[CounterSnapshot], service="toy", rejections=("too_much",)):
    """Increment a counter."""

    counter: Text
    by: Count = 1


class Charge(Command[CounterSnapshot], service="toy"):
    """Increment a counter after an external call."""

    counter: Text


class Fill(Command[CounterSnapshot], service="toy", rejections=("too_much",)):
    """Add a large number without an external call."""

    counter: Text


class GetCounter(Question[CounterSnapshot], service="toy"):
    """Ask for the value of a counter."""

    counter: Text


class ChargeIntent(Strict):
    """The intent stored before the external call."""

    amount: int = Field(ge=0)


class Outside:
    """An external service that can be unavailable and keeps idempotency keys, as payment providers do."""

    def __init__(self) -> None:
        self.charged: dict[str, int] = {}
        self.away = False
        self.refuses = False

    def charge(self, key: str, amount: int) -> int:
        """Charge once for each key."""
        if self.away:
            raise Unavailable("the other side is away")
        if self.refuses:
            raise Rejected("payment_failed", "The card was declined.")
        return self.charged.setdefault(key, amount)


# The registry is what the product promises, and a toy is no part of it.
for _name in ("increment", "charge", "fill"):
    del COMMANDS["toy", _name]
del EVENTS["counter", 1], QUESTIONS["toy", "get_counter"]

service = Service("toy", metadata=Row.metadata)
ACME = Customer(type="organization", id="acme")


@service.command(Increment)
async def increment(work: UnitOfWork, command: Increment) -> CounterSnapshot:
    """Increment a counter."""
    return await _move(work, command.counter, command.by)


@service.external_command(Charge)
async def charge(steps: ExternalCommandSteps, command: Charge, outside: Outside) -> CounterSnapshot:
    """Increment a counter after an external call."""

    async def plan(work: UnitOfWork) -> ChargeIntent:
        counter = await work.session.get(Counter, command.counter)
        return ChargeIntent(amount=(counter.value if counter else 0) + 1)

    intent = await steps.intend(plan, ChargeIntent)
    amount = outside.charge(steps.key("charge"), intent.amount)
    return await steps.record(lambda work: _move(work, command.counter, amount))


@service.external_command(Fill)
async def fill(steps: ExternalCommandSteps, command: Fill) -> CounterSnapshot:
    """Add a large number in one step."""
    return await steps.record(lambda work: _move(work, command.counter, 600))


@service.question(GetCounter)
async def get_counter(work: UnitOfWork, question: GetCounter) -> CounterSnapshot:
    """Ask for the value of a counter."""
    counter = await work.session.get(Counter, question.counter)
    if counter is None:
        raise Rejected("not_found", "Nobody has counted that.")
    return CounterSnapshot(counter_id=counter.name, value=counter.value)


async def _move(work: UnitOfWork, name: str, by: int) -> CounterSnapshot:
    await work.session.execute(
        sa.text("INSERT INTO toy.counters VALUES (:name, 0, 0) ON CONFLICT DO NOTHING"), {"name": name}
    )
    counter = await work.session.get_one(Counter, name, with_for_update=True)
    counter.value += by
    counter.version += 1
    if counter.value > LIMIT:
        raise Rejected("too_much", f"At most {LIMIT}.", {"limit": LIMIT})
    snapshot = CounterSnapshot(counter_id=name, value=counter.value)
    work.emit(CounterEvent, "moved", customer=ACME, version=counter.version, counter=snapshot)
    return snapshot


def create(owner_url: str) -> None:
    """Create the toy's tables, owned by the owner of the database."""
    engine = sa.create_engine(owner_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA toy"))
        Row.metadata.create_all(connection)
        connection.execute(sa.text("INSERT INTO toy.relay_position DEFAULT VALUES"))
    engine.dispose()
