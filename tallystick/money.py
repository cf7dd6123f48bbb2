"""How many decimals a currency has, as Stripe counts them."""

_WITHOUT_MINOR_UNIT = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split()  # noqa: SIM905
)
_THREE_DECIMALS = frozenset("bhd jod kwd omr tnd".split())  # noqa: SIM905


def minor_unit_digits(currency: str) -> int:
    """The decimals of a lower-case ISO 4217 currency: an amount of 1 is 10 to the minus that many."""
    return 0 if currency in _WITHOUT_MINOR_UNIT else 3 if currency in _THREE_DECIMALS else 2
