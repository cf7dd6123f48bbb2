"""The OpenAPI document of the HTTP API. `python -m services.gateway.openapi` writes docs/openapi.json."""

from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"
