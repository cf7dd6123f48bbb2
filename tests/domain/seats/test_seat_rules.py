"""Rules about email addresses, team capacity, invitations and member shares."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.seats.domain.assignment import OccupiedSeats, decide_assignments, normalized_addresses
from services.seats.domain.email_address import is_same_email, normalize_email
from services.seats.domain.invitations import hash_token
from services.seats.domain.member_shares import invoices_for_period, split_equally
from services.seats.domain.rule_violation import RuleViolation
from services.seats.domain.team_capacity import (
    Capacity,
    SeatTerms,
    billing_manager_from,
    quantity_without_unused,
    require_enough,
    require_valid_quantity,
)
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Customer
from tallystick.messages.catalog import OwnerSeat
from tallystick.messages.seats import SeatEvent, SeatSnapshot, SeatToAssign, invitation_token, token_told

MALFORMED = """
    nobody @example.com a@b two@at@example.com a@.example.com a@example..com .a@example.com a..b@example.com
    a@-example.com a<b>@example.com a@example.com. a@exa_mple.com a,b@example.com
"""
WELL_FORMED = """
    a@example.com first.last+tag@sub.example.co.uk o'hara@example.org x_y-z@1.example ünal@bücher.example
    {odd}!@example.com
"""


def room(
    holders: int,
    quantity: int = 10,
    *,
    owner_seat: OwnerSeat = "free",
    scheduled: int | None = None,
    requested_quantity: int | None = None,
    minimum: int = 1,
    maximum: int | None = 100,
) -> Capacity:
    """A team with this many of its seats taken."""
    terms = SeatTerms("per_seat", owner_seat, quantity, minimum, maximum, scheduled)
    return Capacity(terms, holders, requested_quantity)


@pytest.mark.parametrize("typed", [*MALFORMED.split(), "", " ", "a b@example.com", "a\n@example.com"])
def test_malformed_addresses_are_refused(typed: str) -> None:
    with pytest.raises(RuleViolation, match="invalid_email"):
        normalize_email(typed)


def test_addresses_too_long_for_a_mails_envelope_are_refused() -> None:
    with pytest.raises(RuleViolation, match="invalid_email"):
        normalize_email("x" * 65 + "@example.com")
    with pytest.raises(RuleViolation, match="invalid_email"):
        normalize_email("x@" + "a." * 130 + "example.com")


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Ｂob@ｅxample.com", "bob@example.com"),
        ("BOB@Example.COM", "bob@example.com"),
        ("bob@xn--mnchen-3ya.de", "bob@münchen.de"),
        ("bob@MÜNCHEN.de", "bob@münchen.de"),
        ("bob+x@example.com", "bob+x@example.com"),
    ],
)
def test_lookalikes_are_one_address_and_plus_addresses_are_not(typed: str, stored: str) -> None:
    assert normalize_email(typed) == stored
    assert is_same_email(typed, stored)
    assert not is_same_email(typed, "alice@example.com")


@pytest.mark.parametrize("typed", WELL_FORMED.split())
def test_addresses_are_stored_trimmed_and_in_lower_case(typed: str) -> None:
    assert normalize_email(f"  {typed.upper()}\t") == typed


@pytest.mark.parametrize(
    ("owner_seat", "occupied", "in_use", "available"),
    [("free", 5, 4, 6), ("billed", 5, 5, 5), ("none", 4, 4, 6)],
)
def test_what_the_owner_takes(owner_seat: OwnerSeat, occupied: int, in_use: int, available: int) -> None:
    of = room(4, 10, owner_seat=owner_seat)
    assert (of.occupied, of.seats_in_use, of.available) == (occupied, in_use, available)


def test_the_fewest_of_bought_asked_for_and_scheduled_count() -> None:
    assert room(4, 10, scheduled=7).available == 3
    assert room(4, 10, requested_quantity=5).available == 1
    assert room(4, 10, scheduled=7, requested_quantity=20).available == 3
    assert room(4, 10, requested_quantity=20).available == 6
    assert room(4, 3).available == 0


def test_fewer_seats_than_are_taken_are_refused() -> None:
    with pytest.raises(RuleViolation) as refusal:
        require_valid_quantity(room(7), 5)
    assert (refusal.value.code, refusal.value.details["occupied"]) == ("seats_in_use", 7)
    require_valid_quantity(room(3), 5)
    require_valid_quantity(room(7), 7)


def test_members_on_machines_are_seats_in_use_beside_those_who_have_one() -> None:
    terms = room(4, 10).terms
    more, fewer = Capacity(terms, 4, members_reported=6), Capacity(terms, 4, members_reported=3)
    assert (more.assigned, more.seats_in_use, more.available) == (4, 6, 6)
    assert (fewer.seats_in_use, quantity_without_unused(more), quantity_without_unused(fewer)) == (4, 6, 4)
    for found, occupied in ((more, 6), (fewer, 4)):
        with pytest.raises(RuleViolation) as refusal:
            require_enough(found, occupied - 1)
        assert refusal.value.details["occupied"] == occupied
        require_enough(found, occupied)


def test_more_seats_can_be_bought_whatever_is_reported() -> None:
    require_enough(Capacity(room(0, 10).terms, 0, members_reported=30), 11)


@pytest.mark.parametrize("quantity", [4, 21])
def test_numbers_of_seats_that_are_not_sold_are_refused(quantity: int) -> None:
    with pytest.raises(RuleViolation, match="quantity_out_of_range"):
        require_valid_quantity(room(0, minimum=5, maximum=20), quantity)


def test_more_seats_can_be_bought_whatever_is_taken_too_many() -> None:
    require_valid_quantity(room(12, 10), 11)


def test_unused_seats_are_removed_down_to_what_is_sold() -> None:
    assert quantity_without_unused(room(4, 10)) == 4
    assert quantity_without_unused(room(4, 10, owner_seat="billed")) == 5
    assert quantity_without_unused(room(1, 10, minimum=3)) == 3
    assert quantity_without_unused(room(12, 10)) == 10


@pytest.mark.parametrize(
    ("named", "manager"), [("7", "7"), ("user_7", "7"), ("", None), ("not a user", None), ("a_b", None)]
)
def test_the_manager_that_metadata_names(named: str, manager: str | None) -> None:
    expected = Customer(type="user", id=manager) if manager else None
    assert billing_manager_from({"billing_manager": named}) == expected
    assert billing_manager_from({}) is None


def test_a_token_is_made_of_secret_command_and_seat_alone() -> None:
    token = invitation_token(b"secret", "command", "seat_1")
    assert token == invitation_token(b"secret", "command", "seat_1")
    others = [
        invitation_token(b"other", "command", "seat_1"),
        invitation_token(b"secret", "other", "seat_1"),
        invitation_token(b"secret", "command", "seat_2"),
    ]
    assert len({token, *others}) == 4
    assert len(token) == 43 and len(hash_token(token)) == 32
    assert len(hash_token("\ud800 is no text that can be encoded")) == 32


@given(st.integers(0, 30), st.integers(0, 30), st.lists(st.sampled_from(["a", "b", "c", "?"]), max_size=20))
def test_never_more_seats_than_there_are_and_nobody_twice(
    quantity: int, holders: int, names: list[str]
) -> None:
    requests = [SeatToAssign(email=f"{name}@example.com" if name != "?" else "?") for name in names]
    of = room(holders, quantity)
    decided = decide_assignments(
        of, OccupiedSeats(emails={"c@example.com"}), requests, normalized_addresses(requests)
    )
    assert len(decided) == len(requests)
    given_away = [one.email for one in decided if not isinstance(one, RuleViolation)]
    assert len(given_away) <= max(0, quantity - holders)
    assert len(set(given_away)) == len(given_away)
    assert "c@example.com" not in given_away


def test_shares_are_whole_and_come_to_the_total() -> None:
    shares = split_equally(8101, 8)
    assert [shares.of(place) for place in range(8)] == [1013, 1013, 1013, 1013, 1013, 1012, 1012, 1012]
    assert shares.between(4, 8) == 1013 + 3 * 1012
    credit = split_equally(-5, 3)
    assert [credit.of(place) for place in range(3)] == [-1, -2, -2]


@given(st.integers(-(10**9), 10**9), st.integers(1, 10_000), st.data())
def test_any_cut_of_the_shares_comes_to_the_total(total: int, seats: int, data: st.DataObject) -> None:
    shares = split_equally(total, seats)
    cut = data.draw(st.integers(0, seats))
    assert sum(map(shares.of, range(cut))) + shares.between(cut, seats) == total


def invoice(number: int, *spans: tuple[int, int], status: s.InvoiceStatus = "paid") -> s.InvoiceSnapshot:
    """An invoice with a line for each span of days of January 2026."""

    def day(of: int) -> datetime:
        return datetime(2026, 1, of, tzinfo=UTC)

    lines = [
        s.InvoiceLine(
            description=None,
            amount=100,
            quantity=1,
            period=s.Span(start=day(start), end=day(end)),
            proration=False,
            price=None,
        )
        for start, end in spans
    ]
    return s.InvoiceSnapshot(
        invoice_id=f"inv_{number}",
        version=1,
        customer=Customer(type="user", id="1"),
        subscription_id="sub_1",
        number=None,
        status=status,
        total=100 * len(lines),
        amount_due=0,
        amount_paid=0,
        currency="eur",
        lines=lines,
        reference=None,
        attempt_count=0,
        hosted_invoice_url=None,
        invoice_pdf=None,
        stripe_invoice_id="in_1",
        created_at=day(1),
    )


def test_a_periods_invoices_have_a_line_that_ends_with_it() -> None:
    period = s.Span(start=datetime(2026, 1, 10, tzinfo=UTC), end=datetime(2026, 1, 20, tzinfo=UTC))
    before = invoice(1, (1, 10))
    renewal_with_prorations = invoice(2, (5, 10), (10, 20))
    change_at_once = invoice(3, (15, 20))
    void = invoice(4, (10, 20), status="void")
    longer_ago = invoice(5, (1, 20))
    invoices = [before, renewal_with_prorations, change_at_once, void, longer_ago]
    assert invoices_for_period(invoices, period) == [renewal_with_prorations, change_at_once]


def told(seat: SeatSnapshot) -> SeatEvent:
    """An event about a seat."""
    return SeatEvent(
        event_id="evt_1",
        occurred_at=seat.invited_at,
        version=seat.version,
        caused_by="command",
        customer=Customer(type="organization", id="acme"),
        seat=seat,
    )


def test_whoever_sends_the_mails_makes_the_token_from_the_event() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    pending = SeatSnapshot(
        seat_id="seat_1",
        version=1,
        team_id="team_1",
        subscription_id="sub_1",
        status="pending",
        email="ann@example.com",
        member=None,
        multiplier=1,
        role=None,
        metadata={},
        invited_at=moment,
        expires_at=moment,
        claimed_at=None,
        revoked_at=None,
    )
    token = invitation_token(b"secret", "command", "seat_1")
    for name in ("assigned", "invitationResent", "replaced"):
        assert token_told(b"secret", name, told(pending)) == token
    assert token_told(b"secret", "multiplierChanged", told(pending)) is None
    immediate = pending.model_copy(update={"expires_at": None})
    assert token_told(b"secret", "assigned", told(immediate)) is None
    claimed = pending.model_copy(update={"status": "claimed"})
    assert token_told(b"secret", "replaced", told(claimed)) is None
