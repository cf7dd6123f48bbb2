"""Settings from the environment reach the handlers through the worker's wiring."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.subscriptions import app
from services.subscriptions.settings import SubscriptionsSettings
from services.subscriptions.stripe.client import StripeGateway
from tallystick.messages import catalog
from tests.support.catalogs import team_catalog
from tests.support.runtime import Bound
from tests.support.stripe import SECRET_KEY, StripeStandIn
from tests.support.worlds.failing_payments import HOUR, Debtor
from tests.support.worlds.subscriptions import World

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

ENVIRONMENT = {
    "STRIPE_SECRET_KEY": SECRET_KEY,
    "STRIPE_TRIAL_DAYS": "11",
    "GRACE_DAYS": "3",
    "DUNNING_END_STATE": "unpaid",
    # Seats is never called here.
    "NATS_URL": "nats://127.0.0.1:9",
    "DATABASE_URL": "postgresql://127.0.0.1:9/none",
}


@pytest.fixture
async def world(
    bind: Callable[..., Bound], stand_in: StripeStandIn, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """The handlers with all that the worker gives them in this environment."""
    for name, value in {**ENVIRONMENT, "STRIPE_API_BASE": stand_in.url}.items():
        monkeypatch.setenv(name, value)
    provided = app.provide(SubscriptionsSettings())
    gateway = next(each for each in provided if isinstance(each, StripeGateway))
    world = World(bind(app.service, *provided), stand_in, gateway)
    await world.does(catalog.ApplyCatalog(command_id=world.command_id(), catalog=team_catalog()))
    yield world
    await gateway.close()


async def test_trial_grace_and_end_are_those_of_the_environment(world: World) -> None:
    debtor = Debtor(world)
    await debtor.begins("past_due")
    trial_end = datetime(2026, 1, 12, tzinfo=UTC)
    mine = await world.subscription()
    assert (mine["status"], mine["trial_end"]) == ("trialing", "2026-01-12T00:00:00Z")

    # Finalized, tried and failed an hour after the trial.
    await debtor.reaches(trial_end + HOUR)
    mine = await world.subscription()
    assert (mine["status"], mine["grace_until"]) == ("past_due", "2026-01-15T01:00:00Z")

    # The last attempt is 3, 5 and 7 days later; what Stripe leaves overdue is given up here.
    await debtor.reaches(trial_end + timedelta(days=15) + 2 * HOUR)
    assert (await debtor.status(), debtor.status_in_stripe()) == ("unpaid", "past_due")
