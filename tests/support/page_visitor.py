"""A visitor of the pages whose browser runs no scripts."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from tallystick.messages.base import Customer
from tests.support.gateway import ADMIN, MANAGE, GatewaySystem, bearer

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@dataclass(frozen=True)
class Visitor:
    """A visitor with a browser that runs no scripts."""

    http: httpx.AsyncClient

    async def form(self, page: str, action: str) -> dict[str, str]:
        """The fields of the first form on a page that is posted to an action."""
        text = (await self.http.get(page)).raise_for_status().text
        found = re.search(rf'<form[^>]*method="post" action="{action}".*?</form>', text, re.DOTALL)
        assert found is not None, f"no form for {action} on {page}"
        tags = re.findall("<input[^>]*>", found[0])
        inputs = [dict(re.findall(r'([a-z_-]+)="([^"]*)"', tag)) for tag in tags]
        return {fields["name"]: fields.get("value", "") for fields in inputs}

    async def send(self, action: str, fields: Mapping[str, str]) -> httpx.Response:
        """Send a form."""
        return await self.http.post(action, data=dict(fields))


@asynccontextmanager
async def visiting(
    gateway: GatewaySystem, customer: Customer, scope: str = MANAGE, **claims: str
) -> AsyncIterator[Visitor]:
    """Sign in by a link."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30, headers=BROWSER) as http:
        headers = bearer(customer, scope, **claims)
        page = "admin" if scope == ADMIN else "billing"
        link = await http.post("/api/v1/billing/page-link", json={"page": page}, headers=headers)
        assert (await http.get(link.raise_for_status().json()["url"])).status_code == 303
        yield Visitor(http)
