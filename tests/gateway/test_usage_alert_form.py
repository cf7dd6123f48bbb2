"""The form of usage alerts beside each meter of the billing page."""

import re

import httpx
import pytest
from playwright.async_api import expect

from services.gateway.pages.usage_alert_form import parse_percents
from services.gateway.problem_details import ProblemError
from tallystick.messages.base import Customer
from tallystick.messages.consumables import GetUsageAlerts
from tests.support.browser import browser, open_page
from tests.support.gateway import MANAGE, READ, GatewaySystem, bearer
from tests.support.page_visitor import Visitor, visiting
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

ACTION = "/billing/usage-alerts"
HOURS = "mentorship_hours"

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("text", "percents"),
    [
        ("50, 80, 100", [50, 80, 100]),
        ("100,50;80 50", [50, 80, 100]),
        (" 80 % , 1% ", [1, 80]),
        ("", []),
        (" , ", []),
        ("1 2 3 4 5 6 7 8 9 10", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ],
)
def test_percentages_are_read_as_people_write_them(text: str, percents: list[int]) -> None:
    assert parse_percents(text) == percents


@pytest.mark.parametrize(
    "text", ["0", "101", "-5", "50.5", "half", "50 80 x", "٥٠", "1 2 3 4 5 6 7 8 9 10 11", "9" * 40, "%"]
)
def test_what_is_no_list_of_percentages_is_refused(text: str) -> None:
    with pytest.raises(ProblemError) as refused:
        parse_percents(text)
    assert refused.value.code == "invalid_percents"


def forms(page: str) -> list[str]:
    """The forms of alerts on a page."""
    return re.findall(rf'<form method="post" action="{ACTION}">.*?</form>', page, re.DOTALL)


async def shown(visitor: Visitor, mark: str) -> str:
    """The billing page once it shows something."""

    async def page() -> str | None:
        text = (await visitor.http.get("/billing")).text
        return text if mark in text else None

    return str(await eventually(page))


async def percents_of(shop: Shop, account: str, feature: str) -> list[int]:
    """The alerts that are set."""
    found = await shop.billing.ask(GetUsageAlerts(account=account, feature=feature))
    return found.usage_alerts.percents


async def test_alerts_are_set_changed_and_removed(gateway: GatewaySystem, shop: Shop) -> None:
    # Essential has 100 orders a month; products are a limit, which has no alerts on the page.
    await shop.register()
    await shop.buys("essential_monthly")
    account = f"customer:{shop.acme.token}"
    async with visiting(gateway, shop.acme) as visitor:
        page = await shown(visitor, ACTION)
        assert len(forms(page)) == 1 and "No alerts" in page
        form = await visitor.form("/billing", ACTION)
        assert (form["account"], form["feature"], form["percents"]) == (account, "orders", "")

        saved = await visitor.send(ACTION, form | {"percents": "100, 50,80"})
        assert saved.headers["location"] == "/billing?done=alerts_set#usage"
        assert await percents_of(shop, account, "orders") == [50, 80, 100]
        page = (await visitor.http.get("/billing?done=alerts_set")).text
        assert "The alerts are saved." in page and "Alerts at 50, 80, 100 %" in page
        form = await visitor.form("/billing", ACTION)
        assert form["percents"] == "50, 80, 100"

        german = await visitor.http.get("/billing", headers={"accept-language": "de"})
        assert "Hinweise bei 50, 80, 100 %" in german.text

        removed = await visitor.send(ACTION, form | {"percents": ""})
        assert removed.headers["location"] == "/billing?done=alerts_removed#usage"
        assert await percents_of(shop, account, "orders") == []


async def test_a_wrong_percentage_is_told_at_its_field(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as visitor:
        await shown(visitor, ACTION)
        form = await visitor.form("/billing", ACTION)
        refused = await visitor.send(ACTION, form | {"percents": '50, 101, "x"'})
        assert refused.status_code == 400
        [again] = forms(refused.text)
        assert 'value="50, 101, &#34;x&#34;"' in again and 'aria-invalid="true"' in again
        assert "whole numbers from 1 to 100" in again
        # The card of automatic recharges is for the same account, but nothing was typed there.
        recharge = refused.text.partition('action="/billing/auto-recharge"')[2].partition("</form>")[0]
        assert recharge and "data-typed" not in recharge

        forged = await visitor.send(ACTION, form | {"percents": "50", "csrf_token": "guessed"})
        assert forged.status_code == 403
    assert await percents_of(shop, f"customer:{shop.acme.token}", "orders") == []


async def test_only_who_manages_billing_has_the_form(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as manager:
        await shown(manager, ACTION)
    async with visiting(gateway, shop.acme, READ) as reader:
        page = await shown(reader, "of 100 used")
        assert not forms(page)
        form = await reader.form("/billing", "/sign-out")
        sent = form | {
            "command_id": fresh_id("form"),
            "account": f"customer:{shop.acme.token}",
            "feature": "orders",
            "percents": "50",
        }
        assert (await reader.send(ACTION, sent)).status_code == 403


async def test_a_pool_has_alerts_of_its_own(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("studio_monthly", 3)
    async with visiting(gateway, shop.acme) as visitor:
        page = await shown(visitor, f'name="feature" value="{HOURS}"')
        pool = next(form for form in forms(page) if HOURS in form)
        [account] = re.findall(r'name="account" value="(team:[^"]+)"', pool)
        form = await visitor.form("/billing", ACTION)
        sent = form | {"account": account, "feature": HOURS, "percents": "80"}
        assert (await visitor.send(ACTION, sent)).status_code == 303
        assert await percents_of(shop, account, HOURS) == [80]


async def test_a_live_update_keeps_what_is_told_at_the_field(gateway: GatewaySystem, shop: Shop) -> None:
    # The page is brought up to date as soon as it is loaded, and the fresh one has no problem to tell.
    await shop.register()
    await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as visitor, browser() as chrome:
        await shown(visitor, ACTION)
        page = await open_page(chrome)
        await page.goto(await page_link(gateway, shop.acme))
        await page.locator(".alerts summary").click()
        await page.get_by_label("Alert me at").fill("50, 180")
        await page.locator(".alerts button").click()
        await expect(page.locator("[data-live-note]")).not_to_be_empty()
        await expect(page.locator(".alerts .problem")).to_contain_text("from 1 to 100")
        field = page.get_by_label("Alert me at")
        await expect(field).to_have_value("50, 180")
        await expect(field).to_have_attribute("aria-invalid", "true")
        await field.fill("50")
        await page.locator(".alerts button").click()
        await expect(page.locator(".alerts summary")).to_have_text("Alerts at 50 %")


async def page_link(gateway: GatewaySystem, customer: Customer) -> str:
    """The link to the billing page that the host application would offer."""
    async with httpx.AsyncClient(base_url=gateway.url, headers=bearer(customer, MANAGE)) as host:
        answer = await host.post("/api/v1/billing/page-link", json={"page": "billing"})
    return str(answer.raise_for_status().json()["url"])
