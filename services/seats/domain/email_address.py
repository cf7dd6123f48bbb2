"""Email addresses: validation, the stored form, and comparison."""

import unicodedata

from email_validator import EmailNotValidError, validate_email

from services.seats.domain.rule_violation import RuleViolation


def normalize_email(typed: str) -> str:
    """Return an address as it is stored and compared; raise RuleViolation `invalid_email`.

    Addresses that look or are delivered alike are one: full width and other compatible letters (NFKC),
    letters of either case, and an internationalised domain in its Unicode or its ASCII form. `bob+x@` is not
    `bob@`.
    """
    address = unicodedata.normalize("NFKC", typed.strip())
    try:
        # `strict` limits the local part to 64 characters, as RFC 5321 does; names that are not delivered in
        # the internet, such as those under `.local`, may be a company's own.
        found = validate_email(address, check_deliverability=False, strict=True, globally_deliverable=False)
    except EmailNotValidError:
        raise _invalid(typed) from None
    if "." not in found.domain:
        raise _invalid(typed)
    return f"{found.local_part.casefold()}@{found.domain.lower()}"


def is_same_email(typed: str, stored: str) -> bool:
    """Compare an address with a stored one; one that is none is not the same."""
    try:
        return normalize_email(typed) == stored
    except RuleViolation:
        return False


def _invalid(typed: str) -> RuleViolation:
    return RuleViolation("invalid_email", f"{typed[:100]!r} is not an email address.")
