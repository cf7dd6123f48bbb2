"""The questions about benefits, by the clock: a benefit is gone with the seat or plan it came from."""

from services.subscriptions.domain.benefits import BenefitSigner
from services.subscriptions.queries import check_entitlement
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.service import service
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tallystick.messages.catalog import Delivery


@service.question(m.ListBenefits)
async def list_benefits(work: UnitOfWork, question: m.ListBenefits) -> m.BenefitList:
    """List the benefits that a member has, by feature code."""
    deliveries = await _deliveries(work)
    allowances = await _allowances(work, question.member, sorted(deliveries))
    benefits = [
        m.Benefit(feature=code, label=given.label, text=given.text, expires_at=allowances[code].expires_at)
        for code, given in sorted(deliveries.items())
        if allowances[code].allowed
    ]
    return m.BenefitList(benefits=benefits)


@service.question(m.OpenBenefit)
async def open_benefit(work: UnitOfWork, question: m.OpenBenefit, signer: BenefitSigner) -> m.OpenedBenefit:
    """Sign the address; raises Rejected `not_entitled`, `benefits_not_configured`."""
    given = (await _deliveries(work)).get(question.feature)
    allowance = (await _allowances(work, question.member, [question.feature]))[question.feature]
    if given is None or given.url is None or not allowance.allowed:
        raise Rejected(
            "not_entitled",
            f"{question.member.token} has no benefit of {question.feature} to open.",
            {"feature": question.feature},
        )
    if signer.secret is None:
        raise Rejected("benefits_not_configured", "Benefits are opened once BENEFIT_SECRET is set.")
    url, expires_at = signer.open(given.url, question.member.token, question.feature, work.now)
    return m.OpenedBenefit(url=url, expires_at=expires_at)


async def _deliveries(work: UnitOfWork) -> dict[str, Delivery]:
    """Return what is delivered, by feature; an archived feature still delivers to whoever has it."""
    features = (await load_catalog(work)).features
    return {code: feature.delivers for code, feature in features.items() if feature.delivers}


async def _allowances(work: UnitOfWork, member: Customer, codes: list[str]) -> dict[str, m.Allowance]:
    if not codes:
        return {}
    questions = [m.CheckEntitlement(customer=member, feature=code) for code in codes]
    return dict(zip(codes, await check_entitlement(work, questions), strict=True))
