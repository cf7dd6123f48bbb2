"""What a caller has: their subscription and their team, and whether they may change them.

The host application vouches for the customer in a token. A person behind the customer may change what the
customer has only as the billing manager of its team; the customer itself always may.
"""

from services.gateway.auth.principal import Caller
from services.gateway.problem_details import ProblemError
from services.gateway.service_client import Billing
from tallystick.messages import seats, subscriptions
from tallystick.messages.base import Customer

LISTED_MAX = 200
"""As many as one question lists; nobody holds more seats."""


async def subscription_of(
    billing: Billing, caller: Caller, subscription_id: str | None = None
) -> subscriptions.SubscriptionSnapshot:
    """The caller's subscription: the one named if it is theirs, else the newest. Raises ProblemError."""
    question = (
        subscriptions.GetSubscription(subscription_id=subscription_id)
        if subscription_id
        else subscriptions.GetSubscription(customer=caller.customer)
    )
    found = (await billing.ask(question)).subscription
    if found.customer != caller.customer:
        raise ProblemError("not_found", "There is no such subscription.")
    return found


async def team_of(billing: Billing, caller: Caller, team_id: str | None = None) -> seats.TeamSnapshot:
    """The team the caller pays for or, failing that, holds a seat in. Raises ProblemError."""
    if team_id is not None:
        return await _named_team(billing, caller, team_id)
    own = await paid_team(billing, caller.customer)
    if own is not None and own.status == "open":
        return own
    joined = await _joined_teams(billing, caller)
    if joined:
        return joined[0]
    if own is None:
        raise ProblemError("not_found", "There is no team.")
    return own


async def paid_team(billing: Billing, customer: Customer) -> seats.TeamSnapshot | None:
    """The newest team that a customer pays for."""
    try:
        return (await billing.ask(seats.GetTeam(customer=customer))).team
    except ProblemError as refused:
        if refused.code != "not_found":
            raise
        return None


async def may_change(billing: Billing, caller: Caller) -> None:
    """Refuse a person who acts for a customer with a team without being its billing manager."""
    if caller.is_the_customer:
        return
    team = await paid_team(billing, caller.customer)
    if team is not None and team.status == "open" and team.billing_manager != caller.person:
        raise ProblemError("not_billing_manager", "Only the team's billing manager may do this.")


async def account_of(billing: Billing, caller: Caller, account: str | None) -> str:
    """An account the caller may look at: their own, their team's, a seat of it. Raises ProblemError."""
    own = f"customer:{caller.customer.token}"
    if account is None or account in (own, f"customer:{caller.person.token}"):
        return account or own
    kind, _, identifier = account.partition(":")
    if kind == "team":
        await _named_team(billing, caller, identifier)
        return account
    if kind == "seat":
        await _seat_within_reach(billing, caller, identifier)
        return account
    raise ProblemError("not_found", "There is no such account.")


async def account_to_pay_for(billing: Billing, caller: Caller, account: str | None) -> str:
    """An account more may be bought for: the customer's, their team's, a seat's. Raises ProblemError."""
    own = f"customer:{caller.customer.token}"
    if account in (None, own):
        return own
    kind, _, identifier = str(account).partition(":")
    team = await paid_team(billing, caller.customer)
    if team is not None:
        if kind == "team" and identifier == team.team_id:
            return f"team:{identifier}"
        if kind == "seat" and await _has_seat(billing, team.team_id, identifier):
            return f"seat:{identifier}"
    raise ProblemError("not_found", "There is no such account of the customer's.")


async def _named_team(billing: Billing, caller: Caller, team_id: str) -> seats.TeamSnapshot:
    team = (await billing.ask(seats.GetTeam(team_id=team_id))).team
    if team.customer == caller.customer:
        return team
    if any(joined.team_id == team_id for joined in await _joined_teams(billing, caller)):
        return team
    raise ProblemError("not_found", "There is no such team.")


async def _joined_teams(billing: Billing, caller: Caller) -> list[seats.TeamSnapshot]:
    return [membership.team for membership in await memberships_of(billing, caller)]


async def memberships_of(billing: Billing, caller: Caller) -> list[seats.Membership]:
    """The seats that the person who calls has claimed, newest first."""
    if caller.person.type != "user":
        return []
    question = seats.ListMemberships(member=caller.person, limit=LISTED_MAX)
    return (await billing.ask(question)).items


async def _seat_within_reach(billing: Billing, caller: Caller, seat_id: str) -> None:
    if any(held.seat.seat_id == seat_id for held in await memberships_of(billing, caller)):
        return
    team = await paid_team(billing, caller.customer)
    if team is None or not await _has_seat(billing, team.team_id, seat_id):
        raise ProblemError("not_found", "There is no such account.")


async def _has_seat(billing: Billing, team_id: str, seat_id: str) -> bool:
    cursor: str | None = None
    while True:
        page = await billing.ask(seats.ListSeats(team_id=team_id, limit=LISTED_MAX, cursor=cursor))
        if any(seat.seat_id == seat_id for seat in page.items):
            return True
        cursor = page.next_cursor
        if cursor is None:
            return False
