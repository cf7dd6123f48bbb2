"""Text of customers in mails: one line, no invisible characters, nothing to click on."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.domain.clean_text import TEXT_MAX_CHARACTERS, clean_text
from services.notifications.domain.email_address import deliverable_address

LINK = re.compile(r"(?i)[a-z]+:/|www\.[a-z]|[a-z0-9-]+\.[a-z]{2,}")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Acme GmbH", "Acme GmbH"),
        ("Müller & Söhne", "Müller & Söhne"),
        ("  two \t words\r\nBcc: x ", "two words Bcc:\u200b x"),
        ("turned \u202eround", "turned round"),
        ("Tallystick.com", "Tallystick.\u200bcom"),
        ("https://evil.example/a", "https:\u200b//evil.\u200bexample/a"),
        ("Dr. Who", "Dr. Who"),
    ],
)
def test_examples(written: str, shown: str) -> None:
    assert clean_text(written) == shown


@given(st.text(max_size=300))
def test_it_is_one_line_without_links(written: str) -> None:
    shown = clean_text(written)
    assert not LINK.search(shown)
    assert not any(unicodedata.category(one) in ("Cc", "Zl", "Zp") for one in shown)
    assert len(shown.replace("\u200b", "")) <= TEXT_MAX_CHARACTERS


@pytest.mark.parametrize(
    ("address", "used"),
    [
        (" Bob@Example.com ", "Bob@example.com"),
        ("bob@bücher.example", "bob@xn--bcher-kva.example"),
        ("bob+tag@example.com", "bob+tag@example.com"),
        ("büb@example.com", None),
        ("a,b@example.com", None),
        ("a@example.com,b@example.com", None),
        ("a@example.com\r\nBcc: b@example.com", None),
        ('"a b"@example.com', None),
        ("no address", None),
    ],
)
def test_addresses(address: str, used: str | None) -> None:
    assert deliverable_address(address) == used
