"""Fixtures of the use cases of payouts."""

from collections.abc import AsyncIterator, Callable

import pytest

from services.payouts.accounts.connect import SellerDefaults
from services.payouts.app import service
from services.payouts.stripe.client import StripeConnect
from tests.support.runtime import Bound
from tests.support.stripe import SECRET_KEY, StripeStandIn
from tests.support.worlds.sellers import PAGE, SellerWorld


@pytest.fixture
async def sellers(bind: Callable[..., Bound], stand_in: StripeStandIn) -> AsyncIterator[SellerWorld]:
    """The payouts service with Stripe and no seller."""
    stripe = StripeConnect(SECRET_KEY, stand_in.url)
    yield SellerWorld(bind(service, stripe, SellerDefaults(7, PAGE)), stand_in, stripe)
    await stripe.close()
