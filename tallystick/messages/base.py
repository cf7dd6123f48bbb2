"""Base classes of the messages, their field types, and the registries of all messages.

Commands and questions reject unknown fields, so that typos are reported. Events and snapshots ignore them, so
that fields can be added without breaking consumers.
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

from tallystick.subjects import CATALOG_TOKEN

Result = TypeVar("Result", bound=BaseModel)
"""Result type of a command or question."""

INT64_MAX = 2**63 - 1
"""Largest integer in a message; it fits Postgres and most languages."""
TEXT_MAX_CHARACTERS = 1_000
"""Limit of free text."""
URL_MAX_CHARACTERS = 2_048
METADATA_MAX_KEYS = 50
"""Stripe's limit per object."""


def _refuse_nul(text: str) -> str:
    # Postgres cannot store NUL characters.
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _parse_instant(moment: Any) -> Any:
    # pydantic would also accept "2027", as seconds since 1970.
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
"""Catalog code; used as a subject token and as part of a bucket key."""
EntityId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}_[a-z0-9]{1,64}$")]
"""Tallystick id: a type prefix and a sortable unique part."""
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
"""Lower-case ISO 4217 code."""
Instant = Annotated[AwareDatetime, BeforeValidator(_parse_instant), AfterValidator(_to_utc)]
"""Timestamp, RFC 3339, always returned in UTC."""
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
    """Incoming message, or part of one: exact types, no unknown fields, immutable."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class TolerantModel(BaseModel):
    """Outgoing message, or part of one: consumers ignore fields they do not know."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Customer(Strict):
    """Paying customer: a user or an organization of the host application."""

    type: Literal["user", "organization"] = Field(description="Type of customer.")
    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] = Field(
        description="Id in the host application: 1 to 64 characters of A-Z, a-z, 0-9 and hyphen."
    )

    @property
    def token(self) -> str:
        """Customer as one token of a subject or key: `organization_acme`."""
        return f"{self.type}_{self.id}"

    @classmethod
    def from_token(cls, token: str) -> "Customer":
        """Parse a customer token; raises ValueError for an invalid one."""
        kind, _, identifier = token.partition("_")
        return cls.model_validate({"type": kind, "id": identifier})


def _check_organization(customer: Customer) -> Customer:
    if customer.type != "organization":
        raise ValueError("must be an organization")
    return customer


Organization = Annotated[Customer, AfterValidator(_check_organization)]
"""Customer of type `organization`."""


class Money(Strict):
    """Amount in minor units with its currency."""

    amount: Amount = Field(description="Amount in the currency's minor unit.")
    currency: Currency = Field(description="Lower-case ISO 4217.")


class Page(Strict):
    """Fields of every list question."""

    limit: Annotated[int, Field(ge=1, le=200)] = Field(default=50, description="Maximum number of items.")
    cursor: Annotated[str, StringConstraints(max_length=200), AfterValidator(_refuse_nul)] | None = Field(
        default=None, description="`next_cursor` of the previous page."
    )


COMMANDS: dict[tuple[str, str], type["Command[Any]"]] = {}
"""All commands by (service, name)."""
QUESTIONS: dict[tuple[str, str], type["Question[Any]"]] = {}
"""All questions by (service, name)."""
EVENTS: dict[tuple[str, int], type["Event"]] = {}
"""All event models by (entity, schema version)."""


class Request(Strict, Generic[Result]):
    """Base class of commands and questions: service, name, result type and rejection codes."""

    service: ClassVar[str]
    name: ClassVar[str]
    rejections: ClassVar[tuple[str, ...]]
    result: ClassVar[type[BaseModel]]
    registry: ClassVar[dict[tuple[str, str], Any]]

    def __init_subclass__(cls, **_: Any) -> None:
        # pydantic passes the class keywords here too; only the hook below uses them.
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
        generic_arguments = (
            getattr(base, "__pydantic_generic_metadata__", {}).get("args") for base in cls.__mro__
        )
        cls.result = next(arguments[0] for arguments in generic_arguments if arguments)
        cls.registry[service, cls.name] = cls


class Command(Request[Result], Generic[Result]):
    """Request to change something; carried out at most once for each `command_id`."""

    command_id: CommandId = Field(description="Idempotency key, chosen by the caller.")
    requested_by: Text | None = Field(
        default=None, description="Person or system behind the command; stored in the audit trail."
    )

    registry = COMMANDS
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Fields that are not stored with the command, such as an invitation token."""


class Question(Request[Result], Generic[Result]):
    """Read-only request; it cannot be queued."""

    registry = QUESTIONS


class Event(TolerantModel):
    """Change of an entity, with the entity's complete snapshot under the entity's name."""

    event_id: str = Field(description="Unique id; also the CloudEvents id and the JetStream message id.")
    occurred_at: Instant = Field(description="Time of the change.")
    version: PositiveCount = Field(
        description="Version of the entity: its changes counted from 1 without gaps."
    )
    caused_by: str = Field(description="Command id, Stripe event id or tick that caused the change.")
    customer: Customer | None = Field(
        description="Customer that the entity belongs to; null for the catalog and the installation."
    )

    service: ClassVar[str]
    entity: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    schema_version: ClassVar[int]
    identity: ClassVar[tuple[str, ...]]
    """Snapshot fields that together identify the entity."""
    platform_token: ClassVar[str]
    """Token in the subject of an event without a customer."""

    def __init_subclass__(cls, **_: Any) -> None:
        # pydantic passes the class keywords here too; only the hook below uses them.
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        service: str = "",
        entity: str = "",
        names: tuple[str, ...] = (),
        schema_version: int = 1,
        identity: tuple[str, ...] = (),
        platform_token: str = CATALOG_TOKEN,
        **kwargs: Any,
    ) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if service:
            cls.service, cls.entity, cls.names, cls.schema_version = service, entity, names, schema_version
            cls.identity = identity or (f"{entity}_id",)
            cls.platform_token = platform_token
            EVENTS[entity, schema_version] = cls


COMMON_REJECTIONS = ("invalid_message", "idempotency_conflict", "not_found", "payments_not_configured")
"""Codes that any command may be rejected with."""


class ErrorBody(TolerantModel):
    """Reason why a command or question did not succeed: `code` for programs, `message` for people."""

    code: str = Field(description="Error code.")
    message: str = Field(default="", description="Explanation, and how to fix the problem.")
    details: JsonValue = Field(
        default_factory=dict, description="Structured details; their form depends on the code."
    )


class Outcome(TolerantModel):
    """Outcome of a command or question."""

    command_id: str | None = Field(default=None, description="Command id; absent for questions.")
    status: Literal["succeeded", "rejected", "failed"] = Field(
        description="`rejected` is final. `failed` is not stored; retry it with the same command id."
    )
    result: dict[str, JsonValue] | None = Field(default=None, description="Result; only when `succeeded`.")
    error: ErrorBody | None = Field(default=None, description="Error; only when `rejected` or `failed`.")

    def to_json(self) -> bytes:
        """Encode the outcome without the fields that do not apply."""
        return self.model_dump_json(exclude_none=False, exclude=self._absent()).encode()

    def _absent(self) -> set[str]:
        return {field for field in ("command_id", "result", "error") if getattr(self, field) is None}


def entity_id(entity: str, snapshot: Mapping[str, JsonValue]) -> str | None:
    """Return the id of the entity in a JSON snapshot, unique among its type; None if it is missing.

    An entity type that this version of the package does not know is identified by `<entity>_id`.
    """
    model = EVENTS.get((entity, 1))
    parts = [snapshot.get(field) for field in (model.identity if model else (f"{entity}_id",))]
    tokens = [f"{part.get('type')}_{part.get('id')}" if isinstance(part, dict) else part for part in parts]
    return ".".join(map(str, tokens)) if all(isinstance(token, str) for token in tokens) else None
