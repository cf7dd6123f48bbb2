"""`apply_catalog`: plan what a document changes, change Stripe, and write the catalog."""

from services.subscriptions.catalog.document_parser import read_document, truncate_problems
from services.subscriptions.catalog.stripe_sync import SyncResult, sync_with_stripe
from services.subscriptions.domain.catalog.diff import (
    CatalogPlan,
    desired_catalog,
    plan_changes,
    with_stripe_ids,
)
from services.subscriptions.domain.catalog.immutability import (
    immutable_field_changes,
    immutable_price_changes,
)
from services.subscriptions.repository.catalog import claim_catalog, load_catalog, save_plan
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from shared.errors import Rejected, Unavailable
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import catalog as m
from tallystick.messages.tax_rates import TaxRateEvent


@service.external_command(m.ApplyCatalog)
async def apply_catalog(
    steps: ExternalCommandSteps, command: m.ApplyCatalog, gateway: StripeGateway
) -> m.CatalogApplied:
    """Plan the difference, apply it in Stripe, and only then write it."""
    plan = await steps.intend(
        lambda work: plan_catalog(work, command, in_stripe=gateway.configured), CatalogPlan
    )
    result = SyncResult()
    if plan.in_stripe:
        async with gateway.calls():
            result = await sync_with_stripe(gateway.api, plan, steps.key)
    if result.problems:
        raise invalid_catalog(result.problems)
    return await steps.record(lambda work: record_catalog(work, plan, result))


async def plan_catalog(work: UnitOfWork, command: m.ApplyCatalog, *, in_stripe: bool) -> CatalogPlan:
    """Plan what the document changes.

    Raises Rejected `invalid_catalog` or `price_immutable`, and Unavailable while another document is applied.
    """
    document = read_document(command.catalog)
    if isinstance(document, list):
        raise invalid_catalog(document)
    if not await claim_catalog(work):
        raise Unavailable("Another catalog is being applied. Ask again with the same command_id.")
    current = await load_catalog(work)
    desired = desired_catalog(document, current, new_id)
    if problems := immutable_field_changes(desired, current):
        raise invalid_catalog(problems)
    if prices := immutable_price_changes(desired, current):
        raise Rejected(
            "price_immutable",
            f"What a price charges cannot change; give the new price a new code: {prices[0].price}.",
            details=[price.model_dump(mode="json") for price in prices],
        )
    return plan_changes(desired, current, in_stripe=in_stripe)


async def record_catalog(work: UnitOfWork, plan: CatalogPlan, result: SyncResult) -> m.CatalogApplied:
    """Write the plan and emit an event for each change."""
    done = with_stripe_ids(plan, result.products, result.prices, result.tax_rates)
    await save_plan(work, done)
    for rate in done.tax_rates:
        work.emit(TaxRateEvent, rate.change, customer=None, version=rate.after.version, tax_rate=rate.after)
    for feature in done.features:
        version = feature.after.version
        work.emit(m.FeatureEvent, feature.change, customer=None, version=version, feature=feature.after)
    for product in done.products:
        version = product.after.version
        work.emit(m.ProductEvent, product.change, customer=None, version=version, product=product.after)
    for price in done.prices:
        work.emit(m.PriceEvent, price.change, customer=None, version=price.after.version, price=price.after)
    return m.CatalogApplied(changes=done.changes)


def invalid_catalog(problems: list[m.CatalogProblem]) -> Rejected:
    """Build the rejection of a document with these problems."""
    first, reported = problems[0], truncate_problems(problems)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Rejected(
        "invalid_catalog",
        f"{first.path}: {first.problem}{more}",
        details=[problem.model_dump(mode="json") for problem in reported],
    )
