"""When a mail is tried again, and what the answers of a mail server mean."""

from datetime import datetime, timedelta
from typing import Literal

GIVE_UP_AFTER = timedelta(hours=24)
"""A mail that could not be delivered for this long has failed."""
RETRY_DELAYS = tuple(
    timedelta(seconds=seconds) for seconds in (10, 30, 60, 300, 900, 1_800, 3_600, 7_200, 14_400)
)
"""Pauses after each failed attempt: short for a restart of the server, long for greylisting and outages. The
last one repeats."""
PERMANENT_REPLY = 500
SESSION_REPLIES = frozenset({421, 454, 502, 503, 504, 530, 534, 535, 538})
"""Replies about the session or the sign-in: the next mail would fare no better, and an operator can help."""
ADDRESS_REPLIES = frozenset({550, 551, 553, 556})
"""Permanent replies to a recipient that say that there is no such mailbox."""

Stage = Literal["session", "sender", "recipient", "data"]
"""The step of the dialogue at which the server refused."""
Verdict = Literal["retry", "failed", "bounced"]


def judge_reply(stage: Stage, code: int, text: str = "") -> Verdict:
    """Decide what a refusal means for the mail (RFC 5321 4.2.1, enhanced codes RFC 3463)."""
    if code < PERMANENT_REPLY or stage == "session" or code in SESSION_REPLIES:
        return "retry"
    if stage != "recipient":
        return "failed"
    enhanced = text.strip().split(" ", 1)[0]
    if enhanced.startswith("5.7."):
        return "failed"  # a policy, such as a block list: the mailbox may exist
    return "bounced" if code in ADDRESS_REPLIES or enhanced.startswith("5.1.") else "failed"


def next_attempt_at(now: datetime, attempts: int, created_at: datetime) -> datetime | None:
    """Return when a mail is tried again after `attempts` attempts; None: not any more."""
    delay = RETRY_DELAYS[min(attempts, len(RETRY_DELAYS)) - 1]
    end = created_at + GIVE_UP_AFTER
    if now >= end:
        return None
    return min(now + delay, end)
