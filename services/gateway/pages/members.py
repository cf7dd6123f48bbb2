"""`/claim/…` for whoever was invited, and `/my` for what a member has."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import Reading, identify
from services.gateway.auth.invitation_access import check_address, shown_to
from services.gateway.auth.ownership import memberships_of
from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.dependencies import Gateway
from services.gateway.pages import view_models
from services.gateway.pages.billing_data import gather, unless_away
from services.gateway.pages.dependencies import PageParts, Shown
from services.gateway.pages.error_messages import in_words
from services.gateway.pages.forms import SEE_OTHER, FormCommandId
from services.gateway.pages.i18n import words_for
from services.gateway.pages.page_route import PageRoute
from services.gateway.problem_details import ProblemError
from tallystick.messages import seats
from tallystick.messages.base import Customer
from tallystick.messages.subscriptions import GetCustomer, ListEntitlements

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Token = Annotated[str, Path(max_length=200)]
LISTED_MAX = 200


@router.get("/claim/{token}")
async def invitation(request: Request, gateway: Gateway, shown: Shown, token: Token) -> Response:
    """The invitation, and a button to take the seat; looking changes nothing."""
    try:
        caller: Caller | None = await identify(request, gateway)
    except ProblemError:
        caller = None
    return await _claim_page(request, shown, caller, token)


@router.post("/claim/{token}")
async def claim(
    request: Request, caller: Reading, shown: Shown, token: Token, command_id: FormCommandId
) -> Response:
    """Take the seat."""
    fields: dict[str, Any] = {"email": caller.email} if caller.email is not None else {}
    try:
        if caller.person.type != "user":
            raise ProblemError("not_a_person")
        await _check_address(shown, caller, token)
        command = command_for(
            seats.ClaimSeat, caller, command_id, token=token, member=caller.person, **fields
        )
        await shown.billing.ask(command)
    except ProblemError as refused:
        return await _claim_page(request, shown, caller, token, refused)
    return RedirectResponse("/my?done=claimed", SEE_OTHER)


async def _check_address(shown: PageParts, caller: Caller, token: str) -> None:
    """Check that the caller proved to be the invited person. Raises ProblemError."""
    try:
        found = (await shown.billing.ask(seats.GetInvitation(token=token))).invitation
    except ProblemError:
        return
    check_address(caller, found)


async def _claim_page(
    request: Request, shown: PageParts, caller: Caller | None, token: str, refused: ProblemError | None = None
) -> Response:
    words = words_for(request)
    found, name, before = None, "", None
    try:
        found = (await shown.billing.ask(seats.GetInvitation(token=token))).invitation
    except ProblemError as dead:
        refused = refused or dead
    else:
        name = await _name_of(shown, found.customer)
        before = None if refused or caller is None else _hindrance(found, caller)
    return shown.templates.page(
        request,
        "claim.html",
        caller=caller,
        status=refused.status if refused else 200,
        invitation=shown_to(caller, found) if found else None,
        team_name=name,
        token=token,
        problem=in_words(refused, words) if refused else None,
        hindrance=in_words(ProblemError(before), words) if before else None,
        sign_in_url=shown.sign_in(request.url.path),
    )


def _hindrance(invitation: seats.Invitation, caller: Caller) -> str | None:
    """Why this caller will not get the seat, as far as it can be told beforehand."""
    if caller.person.type != "user":
        return "not_a_person"
    is_meant = invitation.member in (None, caller.person)
    own, invited = (caller.email or "").strip().lower(), invitation.email
    if not is_meant or (own and invited not in (None, own)):
        return "email_mismatch"
    try:
        check_address(caller, invitation)
    except ProblemError as refused:
        return refused.code
    return None


async def _name_of(shown: PageParts, customer: Customer) -> str:
    try:
        return (await shown.billing.ask(GetCustomer(customer=customer))).customer.name or customer.id
    except ProblemError:
        return customer.id


@router.get("/my")
async def my_page(request: Request, caller: Reading, shown: Shown, done: str = "") -> Response:
    """A member's own benefits: seats, features, units."""
    words = words_for(request)
    memberships, entitlements, gathered = await asyncio.gather(
        unless_away(memberships_of(shown.billing, caller)),
        shown.billing.ask(ListEntitlements(customer=caller.person, limit=LISTED_MAX)),
        gather(shown.billing, caller, {}),
    )
    teams = list(dict.fromkeys(one.team.customer for one in memberships or ()))
    names = await asyncio.gather(*(_name_of(shown, team) for team in teams))
    meters = view_models.meters(gathered, words)
    counted = {meter.feature for meter in meters}
    return shown.templates.page(
        request,
        "my.html",
        caller=caller,
        done=words.say(f"done.{done}") if words.knows(f"done.{done}") else None,
        memberships=memberships,
        names=dict(zip(teams, names, strict=True)),
        entitlements=[one for one in entitlements.items if one.allowed and one.feature not in counted],
        feature_name=gathered.shelf.feature_name,
        is_flag=lambda code: getattr(gathered.shelf.feature(code), "kind", "flag") == "flag",
        meters=meters,
        away=gathered.away,
    )
