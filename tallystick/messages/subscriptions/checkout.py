"""Commands that start a subscription: on a checkout page, or immediately."""

from typing import Annotated

from pydantic import Field, model_validator

from tallystick.messages.base import Code, Command, Customer, EntityId, Instant, Strict, TolerantModel, Url
from tallystick.messages.catalog import TrialDays
from tallystick.messages.subscriptions.subscriptions import SubscriptionFound
from tallystick.messages.subscriptions.types import ITEMS_MAX, SERVICE, Collection, Quantity


class CheckoutStarted(TolerantModel):
    """Checkout page to redirect the customer to, with its expiry."""

    checkout_url: str
    checkout_id: EntityId
    expires_at: Instant


class ItemToBuy(Strict):
    """Price with a quantity."""

    price: Code
    quantity: Quantity | None = Field(
        default=None, description="Quantity; absent: the minimum of the product, usually 1."
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
        description="True: the catalog's trial. False: none. Absent: the catalog's, once per product.",
    )
    promotion_code: (
        Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")] | None
    ) = Field(default=None, description="Promotion code, or its Stripe id, `promo_…`.")

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
        "tax_location_required",
        "payment_failed",
    ),
):
    """Subscribe a registered customer immediately, without a checkout page."""

    customer: Customer
    items: ItemsToBuy
    trial_days: TrialDays | None = Field(
        default=None,
        description="0: no trial. Absent: the catalog's, once per product; none with `collection` `none`.",
    )
    collection: Collection | None = Field(
        default=None,
        description=(
            "`automatic` charges the saved payment method, `invoice` sends an invoice, `none` is paid "
            "outside Stripe. Absent: `automatic`. Free prices always use `none`."
        ),
    )
    period_start: Instant | None = Field(
        default=None, description="Start of the first period or trial; only with `collection` `none`."
    )

    @model_validator(mode="after")
    def _each_price_once(self) -> "CreateSubscription":
        _refuse_repeated_prices(self.items)
        return self
