"""Small catalog documents for tests, each as plain JSON that a test may bend."""

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]

_TEAM: dict[str, Any] = {
    "features": [
        {"code": "transcription", "name": "Transcription", "kind": "flag"},
        {"code": "members", "name": "Members", "kind": "limit"},
        {
            "code": "hours",
            "name": "Hours",
            "kind": "consumable",
            "unit_price": {"amount": 1500, "currency": "eur"},
        },
    ],
    "products": [
        {
            "code": "solo",
            "name": "Solo",
            "kind": "plan",
            "features": [{"feature": "transcription"}, {"feature": "hours", "quantity": 5, "every": "month"}],
            "prices": [
                {
                    "code": "solo_monthly",
                    "model": "flat",
                    "currency": "eur",
                    "interval": "month",
                    "unit_amount": 4900,
                },
                {"code": "solo_free", "model": "free"},
            ],
        },
        {
            "code": "team",
            "name": "Team",
            "kind": "plan",
            "seats": {"strategy": "per_seat", "maximum": 1000},
            "features": [
                {"feature": "members", "quantity": 10},
                {"feature": "hours", "quantity": 10, "every": "month", "rollover": 3},
                {"feature": "hours", "quantity": 5, "every": "month", "team_allowed": False},
            ],
            "prices": [
                {
                    "code": "team_yearly",
                    "model": "graduated",
                    "currency": "eur",
                    "interval": "year",
                    "tiers": [{"up_to": 5, "unit_amount": 10000}, {"up_to": None, "unit_amount": 8000}],
                },
            ],
        },
    ],
}


def team_catalog() -> dict[str, Any]:
    """A fresh copy of two plans, one of them with seats, sharing three features."""
    return copy.deepcopy(_TEAM)


def tiered_catalog(*tiers: dict[str, Any], **price: Any) -> dict[str, Any]:
    """One plan with one price of these tiers."""
    tiered = {
        "code": "plan_monthly",
        "model": "graduated",
        "currency": "eur",
        "interval": "month",
        "tiers": list(tiers),
    }
    return {
        "products": [{"code": "plan", "name": "Plan", "kind": "plan", "prices": [{**tiered, **price}]}],
    }


def example_catalog() -> dict[str, Any]:
    """The catalog that is applied when the product is started for the first time."""
    document = yaml.safe_load((ROOT / "catalogs" / "example.yaml").read_text())
    assert isinstance(document, dict)
    return document
