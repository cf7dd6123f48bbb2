"""How much of an invoice may be refunded, and what refunds and disputes in Stripe mean."""

from typing import Any

import pytest

from services.subscriptions.domain.refunds import (
    PaidAmount,
    amount_to_refund,
    dispute_event,
    later_dispute_status,
    later_refund_status,
    read_dispute,
    read_refund,
)
from services.subscriptions.domain.rule_violation import RuleViolation
from services.subscriptions.domain.stripe_objects import Malformed


def paid(
    refunded: int = 0, amount: int = 10000, *, status: str = "paid", disputed: bool = False
) -> PaidAmount:
    return PaidAmount(status, amount, refunded, disputed)


@pytest.mark.parametrize(
    ("of", "requested", "amount"),
    [(paid(), None, 10000), (paid(), 1, 1), (paid(2500), None, 7500), (paid(2500), 7500, 7500)],
)
def test_all_that_is_left_may_be_refunded(of: PaidAmount, requested: int | None, amount: int) -> None:
    assert amount_to_refund(of, requested) == amount


@pytest.mark.parametrize(
    ("of", "requested", "code", "details"),
    [
        (paid(2500), 7501, "amount_too_large", {"left": 7500, "amount": 7501}),
        (paid(10000), None, "already_refunded", {"amount_refunded": 10000}),
        (paid(10000), 1, "already_refunded", {"amount_refunded": 10000}),
        (paid(status="open"), None, "invoice_not_paid", {"status": "open"}),
        (paid(status="void"), None, "invoice_not_paid", {"status": "void"}),
        (paid(amount=0), None, "invoice_not_paid", {"status": "paid"}),
        (paid(disputed=True), 100, "invoice_disputed", {}),
    ],
)
def test_what_was_not_paid_is_not_refunded(
    of: PaidAmount, requested: int | None, code: str, details: dict[str, Any]
) -> None:
    with pytest.raises(RuleViolation) as refused:
        amount_to_refund(of, requested)
    assert (refused.value.code, refused.value.details) == (code, details)


def test_statuses_only_move_up_in_whatever_order_they_are_told() -> None:
    assert later_refund_status("pending", "succeeded") == "succeeded"
    assert later_refund_status("succeeded", "pending") == "succeeded"
    assert later_refund_status("succeeded", "failed") == "failed"
    assert later_refund_status("failed", "succeeded") == "failed"
    assert later_dispute_status("inquiry", "open") == "open"
    assert later_dispute_status("open", "lost") == "lost"
    assert later_dispute_status("won", "open") == "won"
    assert later_dispute_status("lost", "won") == "lost"


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        ([], ["open"], "disputed"),
        ([], ["inquiry"], None),
        (["inquiry"], ["open"], "disputed"),
        (["inquiry"], ["closed"], None),
        (["open"], ["open"], None),
        (["open"], ["won"], "disputeClosed"),
        (["open"], ["lost"], "disputeClosed"),
        # Its opening was never told.
        ([], ["lost"], "disputeClosed"),
        ([], ["won"], None),
        (["lost"], ["lost"], None),
        (["open", "open"], ["won", "open"], None),
    ],
)
def test_only_what_holds_money_is_told(before: list[str], after: list[str], event: str | None) -> None:
    assert dispute_event(before, after) == event


def test_a_refund_is_read_as_stripe_writes_it() -> None:
    body = {
        "id": "re_1",
        "amount": 500,
        "currency": "eur",
        "status": "requires_action",
        "reason": None,
        "metadata": {"tallystick_refund_id": "refund_1"},
        "created": 1767225600,
    }
    read = read_refund(body)
    assert (read.refund_id, read.amount, read.status) == ("refund_1", 500, "pending")
    assert read_refund({**body, "metadata": None}).refund_id is None
    for wrong in ({"status": "odd"}, {"amount": "5"}, {"amount": True}, {"created": None}, {"id": 7}):
        with pytest.raises(Malformed):
            read_refund(body | wrong)


def test_a_dispute_is_read_as_stripe_writes_it() -> None:
    body = {
        "id": "dp_1",
        "amount": 500,
        "currency": "eur",
        "status": "warning_under_review",
        "reason": "fraudulent",
        "created": 1767225600,
        "evidence_details": {"due_by": 1768003200},
    }
    read = read_dispute(body)
    assert (read.status, read.respond_by is not None) == ("inquiry", True)
    assert read_dispute({**body, "status": "under_review", "evidence_details": None}).respond_by is None
    with pytest.raises(Malformed, match="odd"):
        read_dispute(body | {"status": "odd"})
