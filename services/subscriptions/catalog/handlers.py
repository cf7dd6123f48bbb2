"""The catalog's command and question."""

from services.subscriptions.catalog.apply_catalog import plan_catalog, record_catalog, refuse
from services.subscriptions.catalog.domain.diff import CatalogPlan
from services.subscriptions.catalog.repository import load_catalog
from services.subscriptions.catalog.stripe_sync import Counterparts, sync_with_stripe
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.messaging.external_command import Steps
from shared.persistence.unit_of_work import Work
from tallystick.messages import catalog as m


@service.external_command(m.ApplyCatalog)
async def apply_catalog(steps: Steps, command: m.ApplyCatalog, gateway: StripeGateway) -> m.CatalogApplied:
    """Plan the difference, carry it out in Stripe, and only then let it stand."""
    plan = await steps.intend(
        lambda work: plan_catalog(work, command, in_stripe=gateway.configured), CatalogPlan
    )
    counterparts = Counterparts()
    if plan.in_stripe:
        async with gateway.calls():
            counterparts = await sync_with_stripe(gateway.client, plan, steps.key)
    if counterparts.problems:
        raise refuse(counterparts.problems)
    return await steps.record(lambda work: record_catalog(work, plan, counterparts))


@service.question(m.GetCatalog)
async def get_catalog(work: Work, question: m.GetCatalog) -> m.CatalogFound:
    """Everything that is sold, in its document's order."""
    view = await load_catalog(work)
    return m.CatalogFound(catalog=view.listing(include_archived=question.include_archived))
