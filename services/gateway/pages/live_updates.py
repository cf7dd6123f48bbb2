"""`/changes`: notifies pages that something they show has changed, without the change itself.

A member sees the units and seats of another customer's team, but may not see every event about that customer.
"""

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.auth.authentication import ReadCaller
from services.gateway.auth.ownership import list_memberships
from services.gateway.change_feed import EventFilter, about_customer, format_change_notice
from services.gateway.dependencies import StateDep
from services.gateway.pages.billing_parts import none_if_unavailable
from services.gateway.pages.page_route import PageRoute
from services.gateway.sse import EventStreamResponse, stream_events
from tallystick.client import FeedEvent
from tallystick.messages.seats import Membership

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/changes", response_class=EventStreamResponse)
async def changes(caller: ReadCaller, state: StateDep) -> Response:
    """Stream a notice for every change of something that the caller's pages show."""
    memberships = await none_if_unavailable(list_memberships(state.services, caller))
    filters = [
        about_customer(caller.customer),
        about_customer(caller.person),
        *map(_about_team, memberships or ()),
    ]
    return stream_events(
        state, caller, lambda event: any(one(event) for one in filters), None, format_change_notice
    )


def _about_team(membership: Membership) -> EventFilter:
    """Return a filter for the events about a team, the member's seat and the units of both."""
    team, seat = membership.team, membership.seat
    accounts = (f"team:{team.team_id}", f"seat:{seat.seat_id}")

    def wanted(event: FeedEvent) -> bool:
        if event.customer != team.customer.token:
            return False
        return event.snapshot.get("team_id") == team.team_id or event.snapshot.get("account") in accounts

    return wanted
