"""Number of decimals of a currency, as Stripe defines them."""

_WITHOUT_MINOR_UNIT = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split()  # noqa: SIM905
)
_THREE_DECIMALS = frozenset("bhd jod kwd omr tnd".split())  # noqa: SIM905


def minor_unit_digits(currency: str) -> int:
    """Return the number of decimals of a lower-case ISO 4217 currency: 2 for `eur`, 0 for `jpy`."""
    return 0 if currency in _WITHOUT_MINOR_UNIT else 3 if currency in _THREE_DECIMALS else 2
