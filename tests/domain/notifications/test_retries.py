"""Retries of mails, and what a mail server's reply means."""

from datetime import UTC, datetime, timedelta

import pytest

from services.notifications.domain.retries import Stage, Verdict, judge_reply, next_attempt_at

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stage", "code", "text", "verdict"),
    [
        ("recipient", 450, "4.2.1 later", "retry"),
        ("recipient", 550, "5.1.1 no such user", "bounced"),
        ("recipient", 550, "no such user", "bounced"),
        ("recipient", 550, "5.7.1 blocked", "failed"),
        ("recipient", 552, "5.2.2 mailbox full", "failed"),
        ("recipient", 530, "5.7.0 sign in first", "retry"),
        ("session", 554, "5.7.1 no service", "retry"),
        ("session", 535, "5.7.8 wrong password", "retry"),
        ("sender", 550, "5.7.1 sender refused", "failed"),
        ("data", 421, "4.3.2 closing", "retry"),
        ("data", 554, "5.6.0 content refused", "failed"),
    ],
)
def test_replies(stage: Stage, code: int, text: str, verdict: Verdict) -> None:
    assert judge_reply(stage, code, text) == verdict


def test_delays_grow_and_end_after_a_day() -> None:
    moment, seen = NOW, []
    for attempt in range(1, 40):
        again = next_attempt_at(moment, attempt, NOW)
        if again is None:
            break
        seen.append(again - moment)
        moment = again
    assert seen[0] == timedelta(seconds=10)
    assert seen[:9] == sorted(seen[:9])
    assert moment == NOW + timedelta(hours=24)
