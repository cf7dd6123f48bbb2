"""Who is calling: a customer, perhaps one of its people, and what the host application lets them do."""

from dataclasses import dataclass
from typing import Any, Literal

from tallystick.messages.base import Customer

READ, MANAGE, ADMIN = "billing:read", "billing:manage", "billing:admin"
Scope = Literal["billing:read", "billing:manage", "billing:admin"]
_INCLUDED = {READ: {READ}, MANAGE: {READ, MANAGE}, ADMIN: {READ, MANAGE, ADMIN}}


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a request comes, and what it may do."""

    customer: Customer
    """Whose billing this is; nobody else's is shown."""
    member: Customer | None
    """The person, where the host application names one."""
    scopes: frozenset[str]
    expires_at: float
    """Unix seconds; afterwards the caller is nobody."""
    email: str | None = None
    """The person's address, where the host application has proved it."""
    session_id: str | None = None
    """The session, where a cookie says who is calling."""
    csrf: str | None = None
    """Set where a cookie says who is calling: a change must then bring the same secret along."""

    @property
    def person(self) -> Customer:
        """Who acts: the member if one is named, else the customer itself."""
        return self.member or self.customer

    @property
    def is_the_customer(self) -> bool:
        """Whether nobody but the customer itself is behind the request."""
        return self.member is None or self.member == self.customer

    def may(self, scope: str) -> bool:
        """Whether the host application allows it; managing includes reading."""
        return scope in self.scopes


def scopes_of(claim: Any) -> frozenset[str]:
    """All that a `scope` claim allows; words of others are ignored. Raises ValueError when it is none."""
    words = claim.split() if isinstance(claim, str) else claim
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("scope is not a list of words")
    return frozenset[str]().union(*(_INCLUDED.get(word, set()) for word in words))


def customer_of(claim: Any) -> Customer:
    """The customer in a claim: an object, or its token `organization_acme`. Raises ValueError."""
    return Customer.from_token(claim) if isinstance(claim, str) else Customer.model_validate(claim)


def member_of(claim: Any) -> Customer | None:
    """The person in a claim, always a user; a plain id is a user's. Raises ValueError."""
    if claim is None:
        return None
    if isinstance(claim, str) and not claim.startswith("user_"):
        claim = {"type": "user", "id": claim}
    member = customer_of(claim)
    if member.type != "user":
        raise ValueError("a member is a user")
    return member


def email_of(claim: Any) -> str | None:
    """The address in a claim. Raises ValueError."""
    if claim is not None and not isinstance(claim, str):
        raise ValueError("an email is a text")
    return claim
