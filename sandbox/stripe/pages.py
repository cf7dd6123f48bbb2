"""HTML of the hosted pages, for browsers and scripts."""

from __future__ import annotations

from fractions import Fraction
from html import escape

from sandbox.stripe.account import Json
from sandbox.stripe.billing.pricing import show
from sandbox.stripe.routing import Page

_STYLE = """
:root {
  color-scheme: light dark; --ink: #1a1f36; --dim: #5b6478; --line: #d5dae3; --back: #f6f8fa;
  --card: #fff; --accent: #0a58ca; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8ebf1; --dim: #a5adbd; --line: #3a4152; --back: #12151c; --card: #1c212c;
    --accent: #7db1ff; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main {
  max-width: 30rem; margin: 3rem auto; padding: 2rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 12px;
}
h1 { font-size: 1.25rem; margin: 0 0 1rem; }
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
table { width: 100%; border-collapse: collapse; margin: 0 0 1rem; }
caption { text-align: left; color: var(--dim); }
th, td {
  text-align: left; padding: .4rem 0; border-bottom: 1px solid var(--line); font-weight: 400;
  vertical-align: top;
}
td:last-child { text-align: right; white-space: nowrap; }
tfoot th, tfoot td { font-weight: 600; border: 0; }
label { display: block; margin: 1rem 0 .25rem; font-weight: 600; }
input {
  width: 100%; padding: .6rem; font: inherit; color: inherit; background: transparent;
  border: 1px solid var(--line); border-radius: 6px;
}
button {
  padding: .6rem 1rem; margin: 1rem .5rem 0 0; font: inherit; border-radius: 6px; cursor: pointer;
  border: 1px solid var(--line); background: transparent; color: inherit;
}
button.main {
  background: var(--accent); border-color: var(--accent); color: var(--card); font-weight: 600;
}
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.dim { color: var(--dim); }
.error { color: var(--bad); font-weight: 600; }
.test {
  background: #ffde92; color: #4a3500; border-radius: 4px; padding: 0 .4rem; font-size: .75rem;
  font-weight: 600;
}
"""


def money(amount: int, currency: str) -> str:
    """Format an amount in minor units with its currency's decimals."""
    return show(Fraction(amount), currency)


def tax_name(rate: Json, reason: str) -> str:
    """Return the name of a tax: `VAT 19% (included)`; empty where none is collected."""
    if reason == "not_collecting":
        return ""
    if reason in ("reverse_charge", "customer_exempt"):
        return f"{rate['display_name']} ({reason.replace('_', ' ')})"
    return f"{rate['display_name']} {rate['percentage']}%" + (" (included)" if rate["inclusive"] else "")


def page(title: str, body: str, status: int = 200) -> Page:
    """Return a complete HTML page; `body` is HTML."""
    return Page(
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n"
        f'<body><main><h1>{escape(title)} <span class="test">TEST MODE</span></h1>\n'
        f"{body}\n</main></body></html>\n",
        status,
    )


def redirect(url: str) -> Page:
    """Return a redirect by GET."""
    return Page(status=303, location=url)


def alert(message: str | None) -> str:
    """Return an error message for screen readers, or an empty string."""
    return f'<p class="error" role="alert">{escape(message)}</p>' if message else ""


def button(label: str, name: str, *, main: bool = False, skip_checks: bool = False) -> str:
    """Return a submit button that posts `name=1`; `skip_checks` ignores required fields."""
    return (
        f'<button type="submit" name="{name}" value="1"{" class=main" if main else ""}'
        f"{' formnovalidate' if skip_checks else ''}>{escape(label)}</button>"
    )
