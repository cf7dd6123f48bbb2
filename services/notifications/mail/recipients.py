"""Looks up what is known of recipients, of many notifications at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifications.domain.email_address import address_key, email_party
from services.notifications.domain.recipients import Party
from services.notifications.tables import (
    BouncedAddressRow,
    KnownCustomerRow,
    KnownInvitationRow,
    KnownNameRow,
    KnownSeatRow,
    KnownSubscriptionRow,
    NotificationRow,
    PreferenceRow,
)

SEAT_PREFIX = "seat_"
PAYMENT_KINDS = frozenset({"payment_failed", "payment_action_required"})
"""Kinds that say until when a customer who owes keeps access."""


@dataclass(frozen=True, slots=True)
class Known:
    """Rows about the recipients and subjects of some notifications, by their keys."""

    customers: dict[str, KnownCustomerRow]
    seats: dict[str, KnownSeatRow]
    invitations: dict[str, KnownInvitationRow]
    subscriptions: dict[str, KnownSubscriptionRow]
    preferences: dict[str, PreferenceRow]
    names: dict[tuple[str, str], str]
    bounced: frozenset[str]
    to_confirm: frozenset[str]
    """Causes of failed payments that only wait for the customer's confirmation."""

    def party_of(self, notification: NotificationRow) -> Party:
        """Return what is known of a notification's recipient."""
        recipient = notification.recipient
        if "@" in recipient:
            return self._party(email_party(recipient), recipient)
        seat = self.seats.get(recipient)
        if seat is None:
            return self._party(recipient, self._address_of(recipient), is_known=recipient in self.customers)
        if seat.member is None:
            key = email_party(seat.email) if seat.email else recipient
            return self._party(key, seat.email, notification.customer)
        return self._party(
            seat.member,
            seat.email or self._address_of(seat.member),
            notification.customer,
            is_known=bool(seat.email) or seat.member in self.customers,
        )

    def facts_of(self, notification: NotificationRow) -> dict[str, Any]:
        """Return a notification's facts with the names of customer, plan and feature as they are now."""
        facts = dict(notification.facts)
        customer = self.customers.get(notification.customer or "")
        if notification.customer:
            facts.setdefault("customer", (customer.name if customer else None) or notification.customer)
        subscription = self.subscriptions.get(facts.get("subscription_id", ""))
        product = facts.get("product") or (subscription.product if subscription else None)
        if subscription and subscription.grace_until and notification.kind in PAYMENT_KINDS:
            facts["grace_until"] = subscription.grace_until.isoformat()
        if product:
            facts.setdefault("plan", self.names.get(("product", product), product))
        if facts.get("feature"):
            facts["feature"] = self.names.get(("feature", facts["feature"]), facts["feature"])
        return facts

    def _address_of(self, token: str) -> str | None:
        chosen = self.preferences.get(token)
        if chosen is not None and chosen.email:
            return chosen.email
        customer = self.customers.get(token)
        return customer.email if customer else None

    def _party(
        self, key: str, email: str | None, customer: str | None = None, *, is_known: bool = True
    ) -> Party:
        own = self.preferences.get(key)
        inviting = self.preferences.get(customer or "")
        # Somebody who has chosen no language is written to in that of the customer who invites.
        language = (own.language if own else None) or (inviting.language if inviting else None)
        return Party(
            key,
            email,
            language=language,
            kinds_off=frozenset(own.kinds_off if own else ()),
            has_bounced=email is not None and address_key(email) in self.bounced,
            is_known=is_known,
        )


async def load_known(session: AsyncSession, notifications: Sequence[NotificationRow]) -> Known:
    """Load what is known of the recipients and subjects of some notifications."""
    seat_ids = [one.recipient for one in notifications if one.recipient.startswith(SEAT_PREFIX)]
    seats = {row.seat_id: row for row in await _rows(session, KnownSeatRow, KnownSeatRow.seat_id, seat_ids)}
    invitations = await _rows(session, KnownInvitationRow, KnownInvitationRow.seat_id, seat_ids)
    tokens = {one.recipient for one in notifications} | {one.customer for one in notifications}
    tokens |= {seat.member for seat in seats.values()}
    customers = await _rows(session, KnownCustomerRow, KnownCustomerRow.customer, tokens)
    addresses = {one.recipient for one in notifications if "@" in one.recipient}
    addresses |= {seat.email for seat in seats.values() if seat.email}
    parties = tokens | {email_party(address) for address in addresses}
    preferences = await _rows(session, PreferenceRow, PreferenceRow.party, parties)
    addresses |= {row.email for row in preferences if row.email} | {row.email for row in customers}
    keys = {address_key(address) for address in addresses}
    bounced = await _rows(session, BouncedAddressRow, BouncedAddressRow.email, keys)
    ids = {one.facts.get("subscription_id") for one in notifications}
    subscriptions = await _rows(session, KnownSubscriptionRow, KnownSubscriptionRow.subscription_id, ids)
    codes = {one.facts.get(name) for one in notifications for name in ("product", "feature")}
    codes |= {row.product for row in subscriptions}
    names = await _rows(session, KnownNameRow, KnownNameRow.code, codes)
    return Known(
        customers={row.customer: row for row in customers},
        seats=seats,
        invitations={row.seat_id: row for row in invitations},
        subscriptions={row.subscription_id: row for row in subscriptions},
        preferences={row.party: row for row in preferences},
        names={(row.entity, row.code): row.name for row in names},
        bounced=frozenset(row.email for row in bounced),
        to_confirm=await _payments_to_confirm(session, notifications),
    )


async def _rows(session: AsyncSession, table: Any, column: Any, keys: Iterable[str | None]) -> Sequence[Any]:
    wanted = sorted({key for key in keys if key})
    if not wanted:
        return []
    found = await session.scalars(
        sa.select(table).where(column == sa.any_(sa.literal(wanted, sa.ARRAY(sa.Text))))
    )
    return found.all()


async def _payments_to_confirm(
    session: AsyncSession, notifications: Sequence[NotificationRow]
) -> frozenset[str]:
    causes = [one.cause for one in notifications if one.kind == "payment_failed"]
    if not causes:
        return frozenset()
    query = sa.select(NotificationRow.cause).where(
        NotificationRow.cause.in_(causes), NotificationRow.kind == "payment_action_required"
    )
    return frozenset((await session.scalars(query)).all())
