"""`/claim/…`, where an invited person takes a seat, and `/my`, with a member's seats and units."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import ReadCaller, identify
from services.gateway.auth.invitation_access import check_email_verified, visible_invitation
from services.gateway.auth.ownership import list_memberships
from services.gateway.auth.principal import Caller
from services.gateway.benefit_redirect import redirect_to
from services.gateway.commands import command_for
from services.gateway.dependencies import StateDep
from services.gateway.pages.billing_data import load_billing_page_data
from services.gateway.pages.billing_parts import none_if_unavailable
from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.error_messages import error_message
from services.gateway.pages.forms import SEE_OTHER, FormCommandId
from services.gateway.pages.i18n import translations_for_request
from services.gateway.pages.meters import meters
from services.gateway.pages.page_route import PageRoute
from services.gateway.problem_details import ProblemError
from tallystick.messages import seats
from tallystick.messages.base import Code, Customer
from tallystick.messages.subscriptions import GetCustomer, ListBenefits, ListEntitlements, OpenBenefit

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Token = Annotated[str, Path(max_length=200)]
LISTED_MAX = 200


@router.get("/claim/{token}")
async def invitation(request: Request, state: StateDep, page: PageContextDep, token: Token) -> Response:
    """Show the invitation with a button to claim the seat."""
    try:
        caller: Caller | None = await identify(request, state)
    except ProblemError:
        caller = None
    return await _claim_page(request, page, caller, token)


@router.post("/claim/{token}")
async def claim(
    request: Request, caller: ReadCaller, page: PageContextDep, token: Token, command_id: FormCommandId
) -> Response:
    """Claim the seat."""
    fields: dict[str, Any] = {"email": caller.email} if caller.email is not None else {}
    try:
        if caller.person.type != "user":
            raise ProblemError("not_a_person")
        await _check_email_verified(page, caller, token)
        command = command_for(
            seats.ClaimSeat, caller, command_id, token=token, member=caller.person, **fields
        )
        await page.services.request(command)
    except ProblemError as error:
        return await _claim_page(request, page, caller, token, error)
    return RedirectResponse("/my?done=claimed", SEE_OTHER)


async def _check_email_verified(page: PageContext, caller: Caller, token: str) -> None:
    """Check that the caller may claim the invitation's seat. Raises ProblemError."""
    try:
        found = (await page.services.request(seats.GetInvitation(token=token))).invitation
    except ProblemError:
        return
    check_email_verified(caller, found)


async def _claim_page(
    request: Request,
    page: PageContext,
    caller: Caller | None,
    token: str,
    error: ProblemError | None = None,
) -> Response:
    translations = translations_for_request(request)
    found, name, reason = None, "", None
    try:
        found = (await page.services.request(seats.GetInvitation(token=token))).invitation
    except ProblemError as invalid:
        error = error or invalid
    else:
        name = await _name_of(page, found.customer)
        reason = None if error or caller is None else _reason_not_to_claim(found, caller)
    return page.templates.render(
        request,
        "claim.html",
        caller=caller,
        status=error.status if error else 200,
        invitation=visible_invitation(caller, found) if found else None,
        team_name=name,
        token=token,
        problem=error_message(error, translations) if error else None,
        reason_not_to_claim=error_message(ProblemError(reason), translations) if reason else None,
        sign_in_url=page.sign_in_url(request.url.path),
    )


def _reason_not_to_claim(invitation: seats.Invitation, caller: Caller) -> str | None:
    """Return the error code that a claim would get, as far as the gateway can know beforehand."""
    if caller.person.type != "user":
        return "not_a_person"
    is_invited = invitation.member in (None, caller.person)
    own, invited = (caller.email or "").strip().lower(), invitation.email
    if not is_invited or (own and invited not in (None, own)):
        return "email_mismatch"
    try:
        check_email_verified(caller, invitation)
    except ProblemError as error:
        return error.code
    return None


async def _name_of(page: PageContext, customer: Customer) -> str:
    try:
        return (await page.services.request(GetCustomer(customer=customer))).customer.name or customer.id
    except ProblemError:
        return customer.id


@router.get("/my")
async def my_page(request: Request, caller: ReadCaller, page: PageContextDep, done: str = "") -> Response:
    """Show a member's seats, features and units."""
    translations = translations_for_request(request)
    memberships, entitlements, benefits, data = await asyncio.gather(
        none_if_unavailable(list_memberships(page.services, caller)),
        page.services.request(ListEntitlements(customer=caller.person, limit=LISTED_MAX)),
        page.services.request(ListBenefits(member=caller.person)),
        load_billing_page_data(page.services, caller, {}),
    )
    teams = list(dict.fromkeys(one.team.customer for one in memberships or ()))
    names = await asyncio.gather(*(_name_of(page, team) for team in teams))
    shown = meters(data, translations)
    counted = {meter.feature for meter in shown}
    return page.templates.render(
        request,
        "my.html",
        caller=caller,
        done=translations.translate(f"done.{done}") if translations.has_text(f"done.{done}") else None,
        memberships=memberships,
        names=dict(zip(teams, names, strict=True)),
        entitlements=[one for one in entitlements.items if one.allowed and one.feature not in counted],
        benefits=benefits.benefits,
        feature_name=data.catalog.feature_name,
        is_flag=lambda code: getattr(data.catalog.feature(code), "kind", "flag") == "flag",
        meters=shown,
        unavailable=data.unavailable,
    )


@router.get("/my/benefits/{feature}")
async def my_benefit(caller: ReadCaller, page: PageContextDep, feature: Code) -> Response:
    """Redirect to a benefit of the signed-in person."""
    return redirect_to(await page.services.request(OpenBenefit(member=caller.person, feature=feature)))
