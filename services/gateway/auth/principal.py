"""The caller of a request: a customer, an optional member of it, and the scopes of the token."""

from dataclasses import dataclass
from typing import Any, Literal

from tallystick.messages.base import Customer

READ, MANAGE, ADMIN = "billing:read", "billing:manage", "billing:admin"
Scope = Literal["billing:read", "billing:manage", "billing:admin"]
_INCLUDED = {READ: {READ}, MANAGE: {READ, MANAGE}, ADMIN: {READ, MANAGE, ADMIN}}


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated customer and person, and their scopes."""

    customer: Customer
    """The customer whose billing the request reads or changes."""
    member: Customer | None
    """The person, if the token names one."""
    scopes: frozenset[str]
    expires_at: float
    """Unix seconds at which the token or session expires."""
    email: str | None = None
    """The person's address, if the host application has verified it."""
    session_id: str | None = None
    """The session's id, if the request has a session cookie."""
    csrf: str | None = None
    """The session's CSRF token, which a change must contain; None with a bearer token."""

    @property
    def person(self) -> Customer:
        """The acting person: the member if the token names one, else the customer itself."""
        return self.member or self.customer

    @property
    def is_the_customer(self) -> bool:
        """Whether the customer itself is acting, not a member of it."""
        return self.member is None or self.member == self.customer

    def may(self, scope: str) -> bool:
        """Return whether the caller has a scope; `billing:manage` includes `billing:read`."""
        return scope in self.scopes


def scopes_of(claim: Any) -> frozenset[str]:
    """Return the scopes that a `scope` claim grants; unknown words are ignored. Raises ValueError."""
    words = claim.split() if isinstance(claim, str) else claim
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("scope is not a list of words")
    return frozenset[str]().union(*(_INCLUDED.get(word, set()) for word in words))


def customer_of(claim: Any) -> Customer:
    """Return the customer in a claim: an object, or a token like `organization_acme`. Raises ValueError."""
    return Customer.from_token(claim) if isinstance(claim, str) else Customer.model_validate(claim)


def member_of(claim: Any) -> Customer | None:
    """Return the member in a claim, who must be a user; a plain id is a user's id. Raises ValueError."""
    if claim is None:
        return None
    if isinstance(claim, str) and not claim.startswith("user_"):
        claim = {"type": "user", "id": claim}
    member = customer_of(claim)
    if member.type != "user":
        raise ValueError("a member is a user")
    return member


def email_of(claim: Any) -> str | None:
    """Return the email address in a claim. Raises ValueError."""
    if claim is not None and not isinstance(claim, str):
        raise ValueError("an email is a text")
    return claim
