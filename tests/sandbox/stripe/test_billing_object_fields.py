"""Billing objects have the fields of Stripe's objects in this API version, without internal ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sandbox_stripe.billing_world import World, at, running
from tests.support.sandbox_stripe.stand_in import StandIn

FIELDS = {
    "billing.meter": (
        "created customer_mapping default_aggregation display_name event_name event_time_window id "
        "livemode object status status_transitions updated value_settings"
    ),
    "billing.meter_event": ("created event_name identifier livemode object payload timestamp"),
    "billing.meter_event_summary": ("aggregated_value end_time id livemode meter object start_time"),
    "invoice": (
        "account_country account_name account_tax_ids amount_due amount_overpaid amount_paid "
        "amount_remaining amount_shipping application attempt_count attempted auto_advance "
        "automatic_tax automatically_finalizes_at billing_reason collection_method created currency "
        "custom_fields customer customer_account customer_address customer_email customer_name "
        "customer_phone customer_shipping customer_tax_exempt customer_tax_ids default_payment_method "
        "default_source default_tax_rates description discounts due_date effective_at ending_balance "
        "footer from_invoice hosted_invoice_url id invoice_pdf issuer last_finalization_error "
        "latest_revision lines livemode metadata next_payment_attempt number object on_behalf_of "
        "parent payment_settings period_end period_start post_payment_credit_notes_amount "
        "pre_payment_credit_notes_amount receipt_number rendering shipping_cost shipping_details "
        "starting_balance statement_descriptor status status_transitions subtotal "
        "subtotal_excluding_tax test_clock total total_discount_amounts total_excluding_tax "
        "total_pretax_credit_amounts total_taxes webhooks_delivered_at"
    ),
    "invoice_payment": (
        "amount_paid amount_requested created currency id invoice is_default livemode object payment "
        "status status_transitions"
    ),
    "invoiceitem": (
        "amount currency customer customer_account date description discountable discounts id invoice "
        "livemode metadata net_amount object parent period pricing proration proration_details "
        "quantity quantity_decimal tax_rates test_clock"
    ),
    "line_item": (
        "amount currency description discount_amounts discountable discounts id invoice livemode "
        "metadata object parent period pretax_credit_amounts pricing quantity quantity_decimal "
        "subscription subtotal taxes"
    ),
    "subscription": (
        "application application_fee_percent automatic_tax billing_cycle_anchor "
        "billing_cycle_anchor_config billing_mode billing_schedules billing_thresholds cancel_at "
        "cancel_at_period_end canceled_at cancellation_details collection_method created currency "
        "customer customer_account days_until_due default_payment_method default_source "
        "default_tax_rates description discounts ended_at id invoice_settings items latest_invoice "
        "livemode managed_payments metadata next_pending_invoice_item_invoice object on_behalf_of "
        "pause_collection payment_settings pending_invoice_item_interval pending_setup_intent "
        "pending_update schedule start_date status status_details test_clock transfer_data trial_end "
        "trial_settings trial_start"
    ),
    "subscription_item": (
        "billed_until billing_thresholds created current_period_end current_period_start "
        "current_trial discounts id metadata object plan price quantity subscription tax_rates"
    ),
    "subscription_schedule": (
        "application billing_mode canceled_at completed_at created current_phase customer "
        "customer_account default_settings end_behavior id livemode metadata object phases "
        "released_at released_subscription status subscription test_clock"
    ),
    "test_helpers.test_clock": (
        "created deletes_after frozen_time id livemode name object status status_details"
    ),
}
"""Space-separated field names of each object, as API version 2026-10-28.endive shapes it."""


@pytest.fixture(scope="module")
def served() -> Iterator[StandIn]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def everything(served: StandIn) -> dict[str, dict[str, Any]]:
    """One object of each type."""
    world = World(served)
    subscription = world.subscribe((world.price(), 1))
    item = world.v1.invoice_items.create({"customer": world.customer, "amount": 5, "currency": "eur"})
    meter = world.v1.billing.meters.create(
        {"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "sum"}}
    )
    event = world.v1.billing.meter_events.create(
        {"event_name": "calls", "payload": {"stripe_customer_id": world.customer, "value": "3"}}
    )
    day = {"customer": world.customer, "start_time": at("2026-01-01"), "end_time": at("2026-01-02")}
    invoice = world.invoices()[0]
    made: list[Any] = [
        world.v1.subscription_schedules.create({"from_subscription": subscription.id}),
        world.subscription(subscription), subscription["items"].data[0], invoice, invoice.lines.data[0], item,
        world.v1.invoice_payments.list({"invoice": invoice.id}).data[0], meter, event,
        world.v1.billing.meters.event_summaries.list(meter.id, day).data[0],
        world.v1.test_helpers.test_clocks.retrieve(world.clock),
    ]  # fmt: skip
    return {each.object: each.to_dict() for each in made}


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_an_object_has_exactly_its_fields(everything: dict[str, dict[str, Any]], kind: str) -> None:
    assert sorted(everything[kind]) == sorted(FIELDS[kind].split())


def test_no_private_note_is_shown(everything: dict[str, dict[str, Any]]) -> None:
    def names(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*(names(item) for item in value.values()))
        return set().union(*(names(item) for item in value)) if isinstance(value, list) else set()

    assert [name for name in names(everything) if name.startswith("_")] == []
