"""Email addresses of invitations are masked for anyone who only has the link."""

import pytest

from services.gateway.auth.invitation_access import mask_email


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("mia@example.com", "m•••@e•••.com"),
        ("a@b.co", "a•••@b•••.co"),
        ("mia.muster@mail.example.co.uk", "m•••@m•••.uk"),
        ("mia@localhost", "m•••@l•••"),
        ('"a@b"@example.com', '"•••@e•••.com'),
    ],
)
def test_an_address_is_mask_email(email: str, shown: str) -> None:
    assert mask_email(email) == shown
