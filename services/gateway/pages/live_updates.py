"""What pages listen to in order to bring themselves up to date: that something has changed, not what.

Whoever has a seat in somebody else's team sees its units and seats, but not all that is told of them.
"""

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.api.event_stream import EventStream, streaming
from services.gateway.auth.authentication import Reading
from services.gateway.auth.ownership import memberships_of
from services.gateway.change_feed import Wanted, announced, concerns
from services.gateway.dependencies import Gateway
from services.gateway.pages.billing_data import unless_away
from services.gateway.pages.page_route import PageRoute
from tallystick.client import FeedEvent
from tallystick.messages.seats import Membership

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/changes", response_class=EventStream)
async def changes(caller: Reading, gateway: Gateway) -> Response:
    """A word whenever something has changed that the caller's pages show."""
    memberships = await unless_away(memberships_of(gateway.billing, caller))
    theirs = [concerns(caller.customer), concerns(caller.person), *map(_concerns_team, memberships or ())]
    return streaming(gateway, caller, lambda event: any(one(event) for one in theirs), None, announced)


def _concerns_team(membership: Membership) -> Wanted:
    """Whether an event is about a team, its seats, or units that one of them may draw on."""
    team, seat = membership.team, membership.seat
    accounts = (f"team:{team.team_id}", f"seat:{seat.seat_id}")

    def wanted(event: FeedEvent) -> bool:
        if event.customer != team.customer.token:
            return False
        return event.snapshot.get("team_id") == team.team_id or event.snapshot.get("account") in accounts

    return wanted
