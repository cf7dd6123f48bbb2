"""The running gateway against its own OpenAPI document, with what Schemathesis makes up."""

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.gateway.application import routed
from tests.support.gateway import ADMIN, GatewaySystem, bearer

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "3"))
"""For each operation; more are tried by hand."""
ENDLESS = ("/api/v1/billing/feed", "/api/v1/admin/feed")
ALLOWED_WHEN_AWAY = 503
"""A server error only in name: what is away is said to be so, with a code."""

schema = schemathesis.openapi.from_dict(routed().openapi()).exclude(path=list(ENDLESS))

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def place(gateway: GatewaySystem) -> GatewaySystem:
    """The gateway, for tests whose function must not have a fixture of a narrower scope."""
    return gateway


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_asked_is_answered_as_described(case: Case[Any], place: GatewaySystem) -> None:
    response = case.call(base_url=place.url, headers=bearer("user_schema", ADMIN), timeout=30)
    checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    if response.status_code != ALLOWED_WHEN_AWAY:
        checks.append(not_a_server_error)
    case.validate_response(response, checks=checks)
