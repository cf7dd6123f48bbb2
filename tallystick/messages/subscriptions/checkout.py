"""How a subscription begins: on a checkout page, or at once."""

from typing import Annotated

from pydantic import Field, model_validator

from tallystick.messages.base import Code, Command, Customer, EntityId, Instant, Strict, Told, Url
from tallystick.messages.catalog import TrialDays
from tallystick.messages.subscriptions.subscriptions import SubscriptionFound
from tallystick.messages.subscriptions.types import ITEMS_MAX, SERVICE, Collection, Quantity


class CheckoutStarted(Told):
    """Where the customer is to be sent, and until when."""

    checkout_url: str
    checkout_id: EntityId
    expires_at: Instant


class ItemToBuy(Strict):
    """A price and how many of it."""

    price: Code
    quantity: Quantity | None = Field(
        default=None, description="Absent: the fewest that are sold, usually 1."
    )


def _refuse_repeated_prices(items: list[ItemToBuy]) -> None:
    if len({item.price for item in items}) < len(items):
        raise ValueError("name each price once and give its quantity")


ItemsToBuy = Annotated[list[ItemToBuy], Field(min_length=1, max_length=ITEMS_MAX)]


class StartCheckout(
    Command[CheckoutStarted],
    service=SERVICE,
    rejections=("unknown_price", "quantity_out_of_range", "already_subscribed", "add_on_details_required"),
):
    """Open a checkout page where a registered customer buys a subscription."""

    customer: Customer
    items: ItemsToBuy
    success_url: Url
    cancel_url: Url
    trial: bool | None = Field(
        default=None,
        description="False: none. True: as the catalog offers. Absent: the same, once a product.",
    )
    promotion_code: (
        Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")] | None
    ) = Field(default=None, description="What the customer was given, or Stripe's id of it, `promo_…`.")

    @model_validator(mode="after")
    def _each_price_once(self) -> "StartCheckout":
        _refuse_repeated_prices(self.items)
        return self


class CreateSubscription(
    Command[SubscriptionFound],
    service=SERVICE,
    rejections=(
        "unknown_price",
        "quantity_out_of_range",
        "already_subscribed",
        "add_on_details_required",
        "payment_method_required",
        "payment_failed",
    ),
):
    """Subscribe a registered customer at once, without a checkout page."""

    customer: Customer
    items: ItemsToBuy
    trial_days: TrialDays | None = Field(
        default=None,
        description="0: no trial. Absent: as the catalog offers, once a product; none where nobody collects.",
    )
    collection: Collection | None = Field(
        default=None,
        description=(
            "`automatic` charges what the customer has saved, `invoice` sends one, `none`: paid outside, "
            "without a Stripe object. Absent: `automatic`; free prices are `none` whatever is said."
        ),
    )
    period_start: Instant | None = Field(
        default=None, description="Where nobody collects: when the first period, or trial, begins or began."
    )

    @model_validator(mode="after")
    def _each_price_once(self) -> "CreateSubscription":
        _refuse_repeated_prices(self.items)
        return self
