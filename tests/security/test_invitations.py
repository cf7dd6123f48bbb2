"""Email addresses of invitations are masked for anyone who only has the link."""

import pytest

from services.gateway.auth.invitation_access import half_hidden


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
def test_an_address_is_half_hidden(email: str, shown: str) -> None:
    assert half_hidden(email) == shown
