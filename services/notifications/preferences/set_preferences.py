"""Preferences: address, language, and the kinds that a recipient does not want."""

import sqlalchemy as sa

from services.notifications.clock import Clock
from services.notifications.domain.email_address import address_key, deliverable_address
from services.notifications.domain.kinds import OPTIONAL_KINDS
from services.notifications.mail.links import LinkInvalid, SignedLinks
from services.notifications.projections.customers import forget_bounce
from services.notifications.service import service
from services.notifications.tables import BouncedAddressRow, KnownCustomerRow, PreferenceRow
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import notifications as m
from tallystick.messages.base import Customer

EMAIL_PREFIX = "email:"


@service.command(m.SetPreferences)
async def set_preferences(
    work: UnitOfWork, command: m.SetPreferences, links: SignedLinks, clock: Clock
) -> m.PreferencesFound:
    """Set preferences; raises Rejected `kind_mandatory`, `link_invalid` and `invalid_email`."""
    party, kind = _party(command.customer, command.link, links, clock)
    mandatory = sorted(
        kind for kind, on in (command.kinds or {}).items() if not on and kind in m.MANDATORY_KINDS
    )
    if mandatory:
        raise Rejected("kind_mandatory", f"{mandatory[0]} is always sent.", {"kinds": list(mandatory)})
    if command.email is not None and deliverable_address(command.email) is None:
        raise Rejected("invalid_email", f"{command.email!r} is not an email address.")
    row = await work.session.get(PreferenceRow, party, with_for_update=True)
    if row is None:
        row = PreferenceRow(party=party, email=None, language=None, kinds_off=[], changed_at=work.now)
        work.session.add(row)
    _change(row, command)
    row.changed_at = work.now
    if command.email is not None:
        await forget_bounce(work, command.email)
    return m.PreferencesFound(preferences=await _preferences(work, party, row), kind=kind)


@service.question(m.GetPreferences)
async def get_preferences(
    work: UnitOfWork, question: m.GetPreferences, links: SignedLinks, clock: Clock
) -> m.PreferencesFound:
    """Return preferences; of somebody who has set none, the defaults. Raises Rejected `link_invalid`."""
    party, kind = _party(question.customer, question.link, links, clock)
    row = await work.session.get(PreferenceRow, party)
    return m.PreferencesFound(preferences=await _preferences(work, party, row), kind=kind)


def _party(
    customer: Customer | None, link: str | None, links: SignedLinks, clock: Clock
) -> tuple[str, m.Kind | None]:
    """Return whose preferences are meant, and the kind of the mail that a link is from."""
    if customer is not None:
        return customer.token, None
    try:
        return links.read(link or "", clock.now())
    except LinkInvalid:
        raise Rejected("link_invalid", "The link is not valid or has expired.") from None


def _change(row: PreferenceRow, command: m.SetPreferences) -> None:
    if command.email is not None:
        row.email = command.email
    if command.language is not None:
        row.language = command.language
    off = set(row.kinds_off)
    for kind, is_on in (command.kinds or {}).items():
        off = off - {kind} if is_on else off | {kind}
    row.kinds_off = sorted(off)


async def _preferences(work: UnitOfWork, party: str, row: PreferenceRow | None) -> m.Preferences:
    is_address = party.startswith(EMAIL_PREFIX)
    email = party.removeprefix(EMAIL_PREFIX) if is_address else (row.email if row else None)
    used = email or await work.session.scalar(
        sa.select(KnownCustomerRow.email).where(KnownCustomerRow.customer == party)
    )
    bounced = await work.session.get(BouncedAddressRow, address_key(used)) if used else None
    off = set(row.kinds_off if row else ())
    return m.Preferences(
        customer=None if is_address else Customer.from_token(party),
        email=email,
        language=row.language if row else None,  # type: ignore[arg-type]
        kinds={kind: kind not in off for kind in OPTIONAL_KINDS},
        mandatory=sorted(m.MANDATORY_KINDS),
        bounced=bounced is not None,
    )
