"""What the gateway counts for Prometheus."""

from prometheus_client import REGISTRY

from tests.support.standalone_gateway import alone


def requests(method: str, route: str, status: str) -> float:
    labels = {"method": method, "route": route, "status": status}
    return REGISTRY.get_sample_value("tallystick_http_requests_total", labels) or 0.0


async def test_responses_are_counted_by_route_and_status() -> None:
    route = "/api/v1/billing/subscription"
    before = requests("GET", route, "401"), requests("any", "(none)", "404")
    async with alone() as client:
        await client.get(route)
        await client.get(route)
        await client.request("ANYTHING", f"{route}/of/nobody")
    assert requests("GET", route, "401") == before[0] + 2
    assert requests("any", "(none)", "404") == before[1] + 1
