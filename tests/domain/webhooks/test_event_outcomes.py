"""Reported outcomes change the status of a stored event; the start of a reconciliation."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

from services.webhooks.domain.stripe_event import ProcessingState, apply_report, reconcile_since

NEW = ProcessingState("received", 0, None)
AT = datetime(2026, 2, 1, 12, tzinfo=UTC)


def test_a_report_of_success_is_noted_with_its_attempt() -> None:
    assert apply_report(NEW, "applied", attempt=1, error=None) == ProcessingState("applied", 1, None)


def test_failures_are_counted_and_say_why() -> None:
    once = apply_report(NEW, "failed", attempt=1, error="stripe away")
    assert once == ProcessingState("failed", 1, "stripe away")
    assert apply_report(once, "failed", attempt=2, error="again") == ProcessingState("failed", 2, "again")


def test_success_clears_the_error_and_keeps_the_attempt_count() -> None:
    assert apply_report(
        ProcessingState("failed", 2, "away"), "applied", attempt=3, error=None
    ) == ProcessingState("applied", 3, None)


def test_an_event_that_waits_for_its_customer_says_so() -> None:
    waiting = apply_report(NEW, "received", attempt=1, error="customer cus_1 is not known yet")
    assert waiting == ProcessingState("received", 1, "customer cus_1 is not known yet")


def test_applied_is_final() -> None:
    applied = ProcessingState("applied", 2, None)
    for status in ("failed", "received", "ignored"):
        assert apply_report(applied, status, attempt=1, error="late") is None
    assert apply_report(applied, "failed", attempt=3, error="late") == ProcessingState("applied", 3, None)


def test_a_late_report_of_an_earlier_attempt_changes_nothing() -> None:
    assert apply_report(ProcessingState("failed", 3, "third"), "failed", attempt=2, error="second") is None


def test_the_order_of_reports_does_not_matter() -> None:
    reports = [("failed", 1, "first"), ("failed", 2, "second"), ("applied", 3, None)]
    for order in permutations(reports):
        state = NEW
        for status, attempt, error in order:
            state = apply_report(state, status, attempt=attempt, error=error) or state  # type: ignore[arg-type]
        assert state == ProcessingState("applied", 3, None)


def test_the_first_reconciliation_covers_all_that_stripe_lists() -> None:
    assert reconcile_since(None, AT) == datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_the_next_one_begins_before_the_end_of_the_last() -> None:
    assert reconcile_since(AT - timedelta(hours=1), AT) == datetime(2026, 2, 1, 8, tzinfo=UTC)


def test_after_a_long_pause_it_goes_back_thirty_days_at_most() -> None:
    assert reconcile_since(AT - timedelta(days=200), AT) == datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_a_last_one_in_the_future_hides_nothing() -> None:
    assert reconcile_since(AT + timedelta(days=40), AT) == datetime(2026, 2, 1, 9, tzinfo=UTC)
