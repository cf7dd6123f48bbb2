"""What every message shares: its strictness, the types of its fields, and the registry of all messages.

Commands and questions refuse unknown fields, so that a typo cannot pass. Events and snapshots ignore them, so
that a field can be added without breaking anybody.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)

Result = TypeVar("Result", bound=BaseModel)
"""What a command or question answers with."""

INT64_MAX = 2**63 - 1
"""Largest whole number a message may carry: what Postgres and most languages can hold."""
TEXT_MAX_CHARACTERS = 1_000
"""Free text is for people; more than this is a mistake or an attack."""
URL_MAX_CHARACTERS = 2_048
METADATA_MAX_KEYS = 50
"""As many as Stripe keeps on an object."""


def _refuse_nul(text: str) -> str:
    # Postgres cannot store it, and nobody types it.
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _as_written(moment: Any) -> Any:
    # pydantic would take "2027" too, for so many seconds after 1970.
    if not isinstance(moment, str):
        return moment
    try:
        if moment[4:5] == "-":
            return datetime.fromisoformat(moment.upper())
    except ValueError:
        pass
    raise ValueError("is not a moment such as 2026-02-01T00:00:00Z")


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before the year 1 or after the year 9999 in UTC") from None


def _check_metadata(metadata: dict[str, str]) -> dict[str, str]:
    if len(metadata) > METADATA_MAX_KEYS:
        raise ValueError(f"at most {METADATA_MAX_KEYS} keys")
    return metadata


Text = Annotated[str, StringConstraints(max_length=TEXT_MAX_CHARACTERS), AfterValidator(_refuse_nul)]
CommandId = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_refuse_nul)]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]
"""A catalog code: it becomes a token of a subject and a key of a bucket."""
EntityId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}_[a-z0-9]{1,64}$")]
"""An id of ours: a type prefix and a sortable unique part."""
StripeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,255}$")]
Url = Annotated[
    str,
    StringConstraints(max_length=URL_MAX_CHARACTERS, pattern=r"^https?://[^\s\x00]+$"),
]
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00]+$"
    ),
]
Currency = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}$")]
"""Lower-case ISO 4217."""
Instant = Annotated[AwareDatetime, BeforeValidator(_as_written), AfterValidator(_to_utc)]
"""A moment, RFC 3339, always shown in UTC."""
Count = Annotated[int, Field(ge=0, le=INT64_MAX)]
PositiveCount = Annotated[int, Field(ge=1, le=INT64_MAX)]
Amount = Annotated[int, Field(ge=-INT64_MAX, le=INT64_MAX)]
"""Money in the currency's minor unit (cents; whole yen)."""
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=40), AfterValidator(_refuse_nul)],
        Annotated[str, StringConstraints(max_length=500), AfterValidator(_refuse_nul)],
    ],
    AfterValidator(_check_metadata),
]


class Strict(BaseModel):
    """A message from outside, or a part of one: exact types, no unknown fields, never changed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Told(BaseModel):
    """Something we tell others: consumers ignore fields they do not know."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Customer(Strict):
    """Somebody with a bill: a user or an organization of the host application."""

    type: Literal["user", "organization"] = Field(description="What kind of customer.")
    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] = Field(
        description="The host application's id: 1 to 64 of A-Z a-z 0-9 and the hyphen."
    )

    @property
    def token(self) -> str:
        """The customer as one token of a subject or key: `organization_acme`."""
        return f"{self.type}_{self.id}"

    @classmethod
    def from_token(cls, token: str) -> "Customer":
        """The customer behind a token; raises ValueError when it is none."""
        kind, _, identifier = token.partition("_")
        return cls.model_validate({"type": kind, "id": identifier})


class Money(Strict):
    """An amount in minor units and its currency."""

    amount: Amount = Field(description="In the currency's minor unit.")
    currency: Currency = Field(description="Lower-case ISO 4217.")


class Page(Strict):
    """The fields that every listing question takes."""

    limit: Annotated[int, Field(ge=1, le=200)] = Field(default=50, description="How many items at most.")
    cursor: Annotated[str, StringConstraints(max_length=200), AfterValidator(_refuse_nul)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )


COMMANDS: dict[tuple[str, str], type["Command[Any]"]] = {}
"""Every command by (service, name)."""
QUESTIONS: dict[tuple[str, str], type["Question[Any]"]] = {}
"""Every question by (service, name)."""
EVENTS: dict[tuple[str, int], type["Event"]] = {}
"""Every event model by (entity, schema version)."""


class Request(Strict, Generic[Result]):
    """What commands and questions have in common: who answers, under which name, with what."""

    service: ClassVar[str]
    name: ClassVar[str]
    rejections: ClassVar[tuple[str, ...]]
    result: ClassVar[type[BaseModel]]
    registry: ClassVar[dict[tuple[str, str], Any]]

    def __init_subclass__(cls, **_: Any) -> None:
        # pydantic passes class keywords on to here as well as to the hook below, which uses them.
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(
        cls, service: str = "", rejections: tuple[str, ...] = (), **kwargs: Any
    ) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if not service:
            return
        cls.service = service
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.rejections = rejections
        described = (getattr(base, "__pydantic_generic_metadata__", {}).get("args") for base in cls.__mro__)
        cls.result = next(arguments[0] for arguments in described if arguments)
        cls.registry[service, cls.name] = cls


class Command(Request[Result], Generic[Result]):
    """A wish to change something; carried out at most once for each `command_id`."""

    command_id: CommandId = Field(description="Chosen by the caller; the idempotency key.")
    requested_by: Text | None = Field(default=None, description="Who asked; kept in the audit trail.")

    registry = COMMANDS
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Fields that must not be kept with the command, such as an invitation's token."""


class Question(Request[Result], Generic[Result]):
    """Something asked; changes nothing, exists only as a request."""

    registry = QUESTIONS


class Event(Told):
    """A fact: an entity changed. Carries the entity's whole snapshot under the entity's name."""

    event_id: str = Field(description="Unique; also the CloudEvents id and the JetStream message id.")
    occurred_at: Instant = Field(description="When the change happened.")
    version: PositiveCount = Field(description="Counts an entity's changes from 1 without gaps.")
    caused_by: str = Field(description="The command id, Stripe event id or tick behind the change.")
    customer: Customer | None = Field(description="Whose entity it is; null for the catalog.")

    service: ClassVar[str]
    entity: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    schema_version: ClassVar[int]
    identity: ClassVar[tuple[str, ...]]
    """The snapshot's fields that together say which entity it is."""

    def __init_subclass__(cls, **_: Any) -> None:
        # pydantic passes class keywords on to here as well as to the hook below, which uses them.
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        service: str = "",
        entity: str = "",
        names: tuple[str, ...] = (),
        schema_version: int = 1,
        identity: tuple[str, ...] = (),
        **kwargs: Any,
    ) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if service:
            cls.service, cls.entity, cls.names, cls.schema_version = service, entity, names, schema_version
            cls.identity = identity or (f"{entity}_id",)
            EVENTS[entity, schema_version] = cls


COMMON_REJECTIONS = ("invalid_message", "idempotency_conflict", "not_found", "payments_not_configured")
"""Codes that any command can meet."""


class ErrorBody(Told):
    """Why a command or question did not succeed, for programs (`code`) and for people (`message`)."""

    code: str = Field(description="One of the codes of the contract.")
    message: str = Field(default="", description="What went wrong and what to do about it.")
    details: JsonValue = Field(default_factory=dict, description="The facts behind it, by code.")


class Outcome(Told):
    """What became of a command or question."""

    command_id: str | None = Field(default=None, description="The command's id; absent for questions.")
    status: Literal["succeeded", "rejected", "failed"] = Field(
        description="`rejected` is final; `failed` is not stored and may be retried with the same id."
    )
    result: dict[str, JsonValue] | None = Field(default=None, description="On success.")
    error: ErrorBody | None = Field(default=None, description="On rejection or failure.")

    def to_json(self) -> bytes:
        """The outcome as sent: fields that do not apply are left out."""
        return self.model_dump_json(exclude_none=False, exclude=self._absent()).encode()

    def _absent(self) -> set[str]:
        return {field for field in ("command_id", "result", "error") if getattr(self, field) is None}


def entity_id(entity: str, snapshot: Mapping[str, JsonValue]) -> str | None:
    """Which entity a snapshot (as JSON) is of, unique among its kind; None where that is not said.

    An entity that this version of the package does not know is taken to be identified by `<entity>_id`.
    """
    model = EVENTS.get((entity, 1))
    parts = [snapshot.get(field) for field in (model.identity if model else (f"{entity}_id",))]
    tokens = [f"{part.get('type')}_{part.get('id')}" if isinstance(part, dict) else part for part in parts]
    return ".".join(map(str, tokens)) if all(isinstance(token, str) for token in tokens) else None
