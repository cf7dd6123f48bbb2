"""Finds a caller's subscription, team and accounts, and checks that the caller may change them.

The customer in a token is trusted. A member may change a customer's subscription only as the billing manager
of its team; the customer itself always may.
"""

from services.gateway.auth.principal import Caller
from services.gateway.problem_details import ProblemError
from services.gateway.service_client import ServiceClient
from tallystick.messages import licenses, notifications, seats, subscriptions
from tallystick.messages.base import Customer

LISTED_MAX = 200
"""The most items one question lists; nobody holds more seats."""


async def find_subscription(
    services: ServiceClient, caller: Caller, subscription_id: str | None = None
) -> subscriptions.SubscriptionSnapshot:
    """Return the caller's subscription: the one with this id, else the newest. Raises ProblemError."""
    question = (
        subscriptions.GetSubscription(subscription_id=subscription_id)
        if subscription_id
        else subscriptions.GetSubscription(customer=caller.customer)
    )
    found = (await services.request(question)).subscription
    if found.customer != caller.customer:
        raise ProblemError("not_found", "There is no such subscription.")
    return found


async def find_license(services: ServiceClient, caller: Caller, license_id: str) -> licenses.LicenseSnapshot:
    """Return a license of the caller's, as customers see it. Raises ProblemError."""
    found = (await services.request(licenses.GetLicense(license_id=license_id))).license
    if found.customer != caller.customer:
        raise ProblemError("not_found", "There is no such license.")
    return visible_license(found)


def visible_license(found: licenses.LicenseSnapshot) -> licenses.LicenseSnapshot:
    """Return a license without what operators note about it."""
    return found.model_copy(update={"reason": None})


async def find_team(
    services: ServiceClient, caller: Caller, team_id: str | None = None
) -> seats.TeamSnapshot:
    """Return the team that the caller pays for, else one they hold a seat in. Raises ProblemError."""
    if team_id is not None:
        return await _find_team_by_id(services, caller, team_id)
    own = await find_paid_team(services, caller.customer)
    if own is not None and own.status == "open":
        return own
    joined = await _list_joined_teams(services, caller)
    if joined:
        return joined[0]
    if own is None:
        raise ProblemError("not_found", "There is no team.")
    return own


async def find_paid_team(services: ServiceClient, customer: Customer) -> seats.TeamSnapshot | None:
    """Return the newest team that a customer pays for, or None. Raises ProblemError."""
    try:
        return (await services.request(seats.GetTeam(customer=customer))).team
    except ProblemError as error:
        if error.code != "not_found":
            raise
        return None


async def require_billing_manager(services: ServiceClient, caller: Caller) -> None:
    """Reject a member who is not the billing manager of the customer's team. Raises ProblemError."""
    if caller.is_the_customer:
        return
    team = await find_paid_team(services, caller.customer)
    if team is not None and team.status == "open" and team.billing_manager != caller.person:
        raise ProblemError("not_billing_manager", "Only the team's billing manager may do this.")


async def find_endpoint(
    services: ServiceClient, caller: Caller, endpoint_id: str
) -> notifications.EndpointSnapshot:
    """Return a webhook endpoint of the caller's customer, for its billing manager. Raises ProblemError."""
    await require_billing_manager(services, caller)
    question = notifications.ListEndpoints(customer=caller.customer, limit=LISTED_MAX)
    for endpoint in (await services.request(question)).items:
        if endpoint.endpoint_id == endpoint_id:
            return endpoint
    raise ProblemError("not_found", "There is no such endpoint.")


async def find_readable_account(services: ServiceClient, caller: Caller, account: str | None) -> str:
    """Return an account the caller may read: their own, their team's or a seat's. Raises ProblemError."""
    own = f"customer:{caller.customer.token}"
    if account is None or account in (own, f"customer:{caller.person.token}"):
        return account or own
    kind, _, identifier = account.partition(":")
    if kind == "team":
        await _find_team_by_id(services, caller, identifier)
        return account
    if kind == "seat":
        await _check_seat_readable(services, caller, identifier)
        return account
    raise ProblemError("not_found", "There is no such account.")


async def find_payable_account(services: ServiceClient, caller: Caller, account: str | None) -> str:
    """Return an account the customer pays for: their own, their team's or a seat's. Raises ProblemError."""
    own = f"customer:{caller.customer.token}"
    if account in (None, own):
        return own
    kind, _, identifier = str(account).partition(":")
    team = await find_paid_team(services, caller.customer)
    if team is not None:
        if kind == "team" and identifier == team.team_id:
            return f"team:{identifier}"
        if kind == "seat" and await _has_seat(services, team.team_id, identifier):
            return f"seat:{identifier}"
    raise ProblemError("not_found", "There is no such account of the customer's.")


async def _find_team_by_id(services: ServiceClient, caller: Caller, team_id: str) -> seats.TeamSnapshot:
    team = (await services.request(seats.GetTeam(team_id=team_id))).team
    if team.customer == caller.customer:
        return team
    if any(joined.team_id == team_id for joined in await _list_joined_teams(services, caller)):
        return team
    raise ProblemError("not_found", "There is no such team.")


async def _list_joined_teams(services: ServiceClient, caller: Caller) -> list[seats.TeamSnapshot]:
    return [membership.team for membership in await list_memberships(services, caller)]


async def list_memberships(services: ServiceClient, caller: Caller) -> list[seats.Membership]:
    """Return the seats that the calling person has claimed, newest first. Raises ProblemError."""
    if caller.person.type != "user":
        return []
    question = seats.ListMemberships(member=caller.person, limit=LISTED_MAX)
    return (await services.request(question)).items


async def _check_seat_readable(services: ServiceClient, caller: Caller, seat_id: str) -> None:
    if any(held.seat.seat_id == seat_id for held in await list_memberships(services, caller)):
        return
    team = await find_paid_team(services, caller.customer)
    if team is None or not await _has_seat(services, team.team_id, seat_id):
        raise ProblemError("not_found", "There is no such account.")


async def _has_seat(services: ServiceClient, team_id: str, seat_id: str) -> bool:
    cursor: str | None = None
    while True:
        page = await services.request(seats.ListSeats(team_id=team_id, limit=LISTED_MAX, cursor=cursor))
        if any(seat.seat_id == seat_id for seat in page.items):
            return True
        cursor = page.next_cursor
        if cursor is None:
            return False
