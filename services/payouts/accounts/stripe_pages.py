"""Links to Stripe's pages for a seller: the onboarding form and the Express dashboard."""

from services.payouts.accounts.repository import require_open_account
from services.payouts.service import service
from services.payouts.stripe.client import StripeConnect, StripePage
from services.payouts.tables.accounts import AccountRow
from shared.errors import Rejected
from shared.messaging.external_command import ExternalCommandSteps
from tallystick.messages import payouts as m


@service.external_command(m.OpenOnboarding)
async def open_onboarding(
    steps: ExternalCommandSteps, command: m.OpenOnboarding, stripe: StripeConnect
) -> m.SellerPageOpened:
    """Open the onboarding form; raises Rejected `not_connected`."""
    stripe.require()
    row = await _account(steps, command)
    page = await stripe.open_onboarding(
        row.stripe_account_id or "",
        return_url=command.return_url,
        refresh_url=command.refresh_url or command.return_url,
    )
    return _opened(page)


@service.external_command(m.OpenSellerDashboard)
async def open_seller_dashboard(
    steps: ExternalCommandSteps, command: m.OpenSellerDashboard, stripe: StripeConnect
) -> m.SellerPageOpened:
    """Open the Express dashboard; raises Rejected `not_connected`, `onboarding_incomplete`."""
    stripe.require()
    row = await _account(steps, command)
    if not row.details_submitted:
        raise Rejected(
            "onboarding_incomplete",
            "The dashboard opens once the onboarding form is completed: use open_onboarding.",
            {"customer": command.customer.token},
        )
    return _opened(await stripe.open_dashboard(row.stripe_account_id or ""))


async def _account(
    steps: ExternalCommandSteps, command: m.OpenOnboarding | m.OpenSellerDashboard
) -> AccountRow:
    async with steps.transactions.read(asked=command.name, now=steps.received_at) as work:
        return await require_open_account(work.session, command.customer)


def _opened(page: StripePage) -> m.SellerPageOpened:
    return m.SellerPageOpened(url=page.url, expires_at=page.expires_at)
