"""`/api/v1/benefits`: what the signed-in person's features deliver, such as a file to download."""

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import ReadCaller
from services.gateway.benefit_redirect import TEMPORARY_REDIRECT, redirect_to
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Code

router = APIRouter(prefix="/api/v1/benefits", tags=["benefits"])


@router.get("", response_model=m.BenefitList, responses=problem_responses(m.ListBenefits))
async def benefits(caller: ReadCaller, services: ServiceClientDep) -> Response:
    """List the signed-in person's benefits: their own, and those of their seats."""
    return await services.respond(m.ListBenefits(member=caller.person))


@router.get(
    "/{feature}",
    status_code=TEMPORARY_REDIRECT,
    response_class=RedirectResponse,
    responses=problem_responses(m.OpenBenefit),
)
async def open_benefit(caller: ReadCaller, services: ServiceClientDep, feature: Code) -> Response:
    """Redirect to a benefit; its address has a token that is valid for five minutes."""
    opened = await services.request(m.OpenBenefit(member=caller.person, feature=feature))
    return redirect_to(opened)
