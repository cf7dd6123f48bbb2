"""Addresses that mail is sent to: validated, and in the form in which they are compared."""

from email_validator import EmailNotValidError, validate_email


def deliverable_address(address: str) -> str | None:
    """Return an address in the form in which a mail server gets it; None if it is none.

    An address that is valid can contain no line break, no comma and no angle bracket outside of quotes.
    """
    try:
        found = validate_email(
            address.strip(), check_deliverability=False, strict=True, globally_deliverable=False
        )
    except EmailNotValidError:
        return None
    local = found.local_part
    if not local.isascii() or any(sign in local for sign in '"<>(),:;\\ '):
        return None
    return f"{local}@{found.ascii_domain or found.domain}"


def address_key(address: str) -> str:
    """Return the form in which bounced addresses are compared."""
    return address.strip().lower()


def email_party(address: str) -> str:
    """Return the key of the preferences of somebody who is known by an address alone."""
    return f"email:{address_key(address)}"
