"""Mapping of Stripe objects, checked with the examples that Stripe publishes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.subscriptions.domain.catalog.catalog_view import CatalogView
from services.subscriptions.domain.invoices import Invoice, invoice_changes, overdue_since, read_invoice
from services.subscriptions.domain.stripe_mapping import state_from_stripe
from services.subscriptions.domain.stripe_objects import Malformed, read_event, read_subscription
from tallystick.messages.catalog import Product
from tests.support.price_values import price
from tests.support.subscription_values import NEW_YEAR, stripe_invoice

SHELF = CatalogView()
MONTH = 31 * 86400


def subscription(**fields: Any) -> dict[str, Any]:
    return {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "collection_method": "charge_automatically",
        "pause_collection": None,
        "created": NEW_YEAR,
        "trial_end": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "metadata": {},
        "items": {
            "data": [
                {
                    "id": "si_1",
                    "price": {"id": "price_1", "lookup_key": None},
                    "quantity": 3,
                    "current_period_start": NEW_YEAR,
                    "current_period_end": NEW_YEAR + MONTH,
                }
            ]
        },
        **fields,
    }


def test_the_period_is_read_from_the_items() -> None:
    state = state_from_stripe(read_subscription(subscription()), SHELF)

    assert state.current_period_end == datetime(2026, 2, 1, tzinfo=UTC)


def test_the_period_of_older_api_versions_is_read() -> None:
    old = subscription(current_period_start=NEW_YEAR, current_period_end=NEW_YEAR + MONTH)
    for item in old["items"]["data"]:
        del item["current_period_start"], item["current_period_end"]

    assert state_from_stripe(read_subscription(old), SHELF).current_period_end == datetime(
        2026, 2, 1, tzinfo=UTC
    )


def test_a_price_that_we_do_not_sell_is_kept_and_shown() -> None:
    [item] = state_from_stripe(read_subscription(subscription()), SHELF).items

    assert (item.product, item.price, item.stripe_price_id, item.quantity) == (None, None, "price_1", 3)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status": "incomplete_expired"}, "expired"),
        ({"status": "canceled", "ended_at": NEW_YEAR + 5}, "canceled"),
        ({"status": "canceled", "trial_end": NEW_YEAR + 5, "ended_at": NEW_YEAR + 5}, "expired"),
        (
            {
                "status": "canceled",
                "trial_end": NEW_YEAR + 5,
                "ended_at": NEW_YEAR + 5,
                "cancel_at_period_end": True,
            },
            "canceled",
        ),
        # The owner canceled by date: Stripe has newer versions' `cancel_at` instead of the flag.
        (
            {
                "status": "canceled",
                "trial_end": NEW_YEAR + 5,
                "ended_at": NEW_YEAR + 5,
                "cancel_at": NEW_YEAR + 5,
                "canceled_at": NEW_YEAR + 1,
            },
            "canceled",
        ),
        (
            {
                "status": "canceled",
                "trial_end": NEW_YEAR + 5,
                "ended_at": NEW_YEAR + 5,
                "canceled_at": NEW_YEAR + 1,
            },
            "canceled",
        ),
        # Nobody canceled: Stripe states the end itself.
        (
            {
                "status": "canceled",
                "trial_end": NEW_YEAR + 5,
                "ended_at": NEW_YEAR + 5,
                "canceled_at": NEW_YEAR + 5,
            },
            "expired",
        ),
        ({"pause_collection": {"behavior": "void"}}, "paused"),
        ({"status": "past_due", "pause_collection": {"behavior": "void"}}, "paused"),
        ({"status": "incomplete", "pause_collection": {"behavior": "void"}}, "incomplete"),
    ],
)
def test_stripe_s_statuses_in_our_terms(fields: dict[str, Any], status: str) -> None:
    assert state_from_stripe(read_subscription(subscription(**fields)), SHELF).status == status


@pytest.mark.parametrize(
    ("cancel_at", "is_flagged", "other_end"),
    [
        (NEW_YEAR + 21 * 86400, True, datetime(2026, 1, 22, tzinfo=UTC)),
        (NEW_YEAR + MONTH, True, None),
        (NEW_YEAR + 2 * MONTH, False, datetime(2026, 3, 4, tzinfo=UTC)),
        (None, False, None),
    ],
)
def test_a_date_of_stripe_s_is_kept(
    cancel_at: int | None, is_flagged: bool, other_end: datetime | None
) -> None:
    state = state_from_stripe(read_subscription(subscription(cancel_at=cancel_at)), SHELF)
    assert (state.cancel_at_period_end, state.cancel_at) == (is_flagged, other_end)
    assert state.ends_at == (None if cancel_at is None else datetime.fromtimestamp(cancel_at, UTC))


def test_cancel_at_the_period_end_is_a_period_end_cancellation() -> None:
    at_the_end = subscription(cancel_at=NEW_YEAR + MONTH)
    later = subscription(cancel_at=NEW_YEAR + 2 * MONTH)

    assert state_from_stripe(read_subscription(at_the_end), SHELF).cancel_at_period_end
    assert not state_from_stripe(read_subscription(later), SHELF).cancel_at_period_end


@pytest.mark.parametrize(
    "fields",
    [
        {"customer": None},
        {"items": None},
        {"created": "yesterday"},
        {"status": "thriving"},
        {"items": {"data": [{}]}},
        {"created": 10**18},
    ],
)
def test_what_is_no_subscription_is_said_to_be_none(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        state_from_stripe(read_subscription(subscription(**fields)), SHELF)


@pytest.mark.parametrize("body", [None, [], {}, {"id": "evt_1", "type": "a.b", "created": 1, "data": []}])
def test_what_is_no_event_is_said_to_be_none(body: Any) -> None:
    with pytest.raises(Malformed):
        read_event(body)


def read(**fields: Any) -> Invoice:
    return read_invoice(stripe_invoice(**fields), SHELF)


def told(before: Invoice | None, after: Invoice, *, failures: int = 0, failed: int = 0) -> list[str]:
    changes = invoice_changes(before, after, emitted_failures=failures, failed=failed)
    return [change.event for change in changes]


def test_an_invoice_names_its_subscription_under_its_parent() -> None:
    assert read().stripe_subscription_id == "sub_1"
    assert read(parent=None, subscription="sub_2").stripe_subscription_id == "sub_2"
    assert read(parent=None).stripe_subscription_id is None


def test_an_invoice_first_seen_paid_is_told_as_created_and_paid() -> None:
    paid = read(status="paid", amount_paid=1000)

    assert told(None, paid) == ["created", "paid"]
    assert told(paid, paid) == []


def test_each_failed_attempt_is_told_once() -> None:
    first, second = read(attempt_count=1), read(attempt_count=2)

    assert told(read(), first, failed=1) == ["paymentFailed"]
    assert told(first, first, failures=1, failed=1) == []
    assert told(first, second, failures=1, failed=2) == ["paymentFailed"]


def test_an_attempt_followed_by_another_has_failed() -> None:
    third = read(attempt_count=3)
    paid = read(attempt_count=3, status="paid", amount_paid=1000)

    changes = invoice_changes(read(), third, emitted_failures=0, failed=0)
    assert [(each.event, each.invoice.attempt_count) for each in changes] == [
        ("paymentFailed", 1),
        ("paymentFailed", 2),
        ("updated", 3),
    ]
    assert told(read(), paid, failed=1) == ["paymentFailed", "paymentFailed", "paid"]
    assert told(None, paid, failed=3) == ["created", *["paymentFailed"] * 3, "paid"]


def test_a_failure_event_after_payment_leaves_the_invoice_paid() -> None:
    paid = read(attempt_count=1, status="paid", amount_paid=1000)

    [late] = invoice_changes(paid, paid, emitted_failures=0, failed=1)

    assert (late.event, late.invoice) == ("paymentFailed", paid)


def test_an_unpaid_invoice_is_late_since_finalized_or_due() -> None:
    finalized, due = NEW_YEAR + 3600, NEW_YEAR + 30 * 86400
    body = stripe_invoice(status="open", status_transitions={"finalized_at": finalized}, due_date=due)

    assert overdue_since(body) == datetime.fromtimestamp(finalized, UTC)
    assert overdue_since({**body, "collection_method": "send_invoice"}) == datetime.fromtimestamp(due, UTC)
    assert overdue_since({**body, "status": "paid"}) is None


def test_finalizing_a_draft_updates_it_and_voiding_voids_it() -> None:
    assert told(read(status="draft", number=None), read()) == ["updated"]
    assert told(read(), read(status="void")) == ["voided"]


def test_states_of_the_same_second_are_put_in_order() -> None:
    states = [
        read(status="draft"),
        read(),
        read(attempt_count=1),
        read(attempt_count=1, status="paid", amount_paid=1000),
    ]

    assert [state.progress for state in states] == sorted(state.progress for state in states)


@pytest.mark.parametrize("fields", [{"status": "odd"}, {"customer": None}, {"total": 1.5}, {"total": None}])
def test_what_is_no_invoice_is_said_to_be_none(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read(**fields)


def phase(start: int, price_id: str, quantity: int) -> dict[str, Any]:
    return {"start_date": start, "items": [{"price": price_id, "quantity": quantity}]}


PLAN = Product(
    product_id="prod_1",
    version=1,
    code="plan",
    name="Plan",
    description=None,
    kind="plan",
    seats=None,
    features=[],
    required_details=[],
    archived=False,
    stripe_product_id=None,
)
NOW_PHASE = phase(NEW_YEAR, "price_1", 3)


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        ([NOW_PHASE], None),
        ([NOW_PHASE, phase(NEW_YEAR + MONTH, "price_2", 3)], ("other_month", 3, NEW_YEAR + MONTH)),
        ([NOW_PHASE, phase(NEW_YEAR + MONTH, "price_1", 2)], ("some_month", 2, NEW_YEAR + MONTH)),
        # Nothing changes with the next phase, but with the one after it.
        (
            [
                NOW_PHASE,
                phase(NEW_YEAR + MONTH, "price_1", 3),
                phase(NEW_YEAR + 2 * MONTH, "price_2", 1),
            ],
            ("other_month", 1, NEW_YEAR + 2 * MONTH),
        ),
        # It is over.
        ([phase(NEW_YEAR - MONTH, "price_2", 1), NOW_PHASE], None),
        # It leads to a price that the catalog does not have.
        ([NOW_PHASE, phase(NEW_YEAR + MONTH, "price_elsewhere", 1)], (None, 1, NEW_YEAR + MONTH)),
        ([], None),
    ],
)
def test_the_next_change_of_a_schedule(
    phases: list[dict[str, Any]], told: tuple[str | None, int, int] | None
) -> None:
    prices = [
        price("flat", code="some_month", unit_amount=900, stripe_price_id="price_1"),
        price("flat", code="other_month", unit_amount=800, stripe_price_id="price_2"),
    ]
    shelf = CatalogView(products={"plan": PLAN}, prices={each.code: each for each in prices})
    body = subscription(schedule={"id": "sub_sched_1", "phases": phases})
    change = state_from_stripe(read_subscription(body), shelf).scheduled_change
    found = None if change is None else (change.price, change.quantity, int(change.at.timestamp()))
    assert found == told
