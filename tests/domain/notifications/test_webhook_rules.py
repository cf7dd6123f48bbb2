"""Rules of webhooks: patterns, addresses, retries, and when an endpoint is given up."""

from datetime import UTC, datetime, timedelta

import pytest

from services.notifications.domain.endpoint_url import is_public, url_problem
from services.notifications.domain.event_patterns import matches
from services.notifications.domain.webhook_retries import is_given_up, is_success, retry_at

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("patterns", "event", "is_covered"),
    [
        (["*"], "invoice.paid", True),
        (["invoice.*"], "invoice.paid", True),
        (["invoice.paid"], "invoice.paid", True),
        (["invoice.paid"], "invoice.paymentFailed", False),
        (["seat.*", "invoice.voided"], "invoice.paid", False),
        (["add_on.*"], "add_on.purchased", True),
        ([], "invoice.paid", False),
    ],
)
def test_patterns(patterns: list[str], event: str, is_covered: bool) -> None:
    assert matches(patterns, event) == is_covered


@pytest.mark.parametrize(
    ("address", "is_reachable"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:a00:1::", False),
        ("fec0::1", False),
        ("::a00:1", False),
        ("::ffff:0:a00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("not an address", False),
    ],
)
def test_public_addresses(address: str, is_reachable: bool) -> None:
    assert is_public(address) == is_reachable


def test_urls() -> None:
    assert url_problem("https://hooks.example.com:8443/a?b=c", allow_private=False) is None
    assert url_problem("http://127.0.0.1:8000/", allow_private=True) is None
    assert url_problem("http://hooks.example.com/", allow_private=False) is not None
    assert url_problem("https://hooks.example.com:99999/", allow_private=False) is not None
    assert url_problem("https://2130706433/", allow_private=False) is not None
    assert url_problem("https://127.1/", allow_private=False) is not None
    assert url_problem("https://0x7f.0.0.0x1/", allow_private=False) is not None
    assert url_problem("https://[fec0::1]/", allow_private=False) is not None
    assert url_problem("https://LOCALHOST./", allow_private=False) is not None


def test_a_delivery_has_ten_attempts() -> None:
    assert [retry_at(NOW, attempts) for attempts in (1, 9, 10)] == [
        NOW + timedelta(seconds=5),
        NOW + timedelta(hours=24),
        None,
    ]
    assert [status for status in (199, 200, 204, 299, 301, 404, 500) if is_success(status)] == [200, 204, 299]


@pytest.mark.parametrize(
    ("since", "status", "is_over"),
    [
        (NOW - timedelta(days=5), 500, True),
        (NOW - timedelta(days=4, hours=23), 500, False),
        (NOW, 410, True),
        (None, 500, False),
        (NOW - timedelta(days=5), None, True),
    ],
)
def test_an_endpoint_is_given_up(since: datetime | None, status: int | None, is_over: bool) -> None:
    assert is_given_up(since, NOW, status) == is_over
