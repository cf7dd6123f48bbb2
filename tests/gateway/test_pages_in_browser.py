"""The pages in a real browser: checkout, invitations, usage, plan changes and failed payments."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from tallystick.client import CommandRejected
from tallystick.messages import consumables
from tallystick.messages.base import Customer
from tallystick.messages.subscriptions import GetCustomer
from tests.support.browser import PATIENCE_MS, browser, open_page, overflow
from tests.support.gateway import ADMIN, MANAGE, READ, GatewaySystem, bearer
from tests.support.shop import DECLINED_CARD, FAILS_LATER_CARD, GOOD_CARD, Shop, fresh_id
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)

PHONE = {"width": 390, "height": 844}
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
async def chrome() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


async def link(gateway: GatewaySystem, customer: Customer, scope: str = MANAGE, **claims: object) -> str:
    """The link to the page that the host application would offer."""
    page = claims.pop("page", "billing")
    async with httpx.AsyncClient(base_url=gateway.url, headers=bearer(customer, scope, **claims)) as host:
        answer = await host.post("/api/v1/billing/page-link", json={"page": page})
    return str(answer.raise_for_status().json()["url"])


async def buy(page: Page, price: str, quantity: int | None = None, card: str = GOOD_CARD) -> None:
    """Buy a plan from the billing page by way of the Stripe checkout page."""
    await page.get_by_role("link", name="Choose a plan").click()
    form = page.locator("form").filter(has=page.locator(f'input[value="{price}"]'))
    if quantity is not None:
        await form.get_by_label("Seats").fill(str(quantity))
    await form.get_by_role("button").click()
    await page.get_by_label("Card number").fill(card)
    await page.locator("button.main").click()


async def test_the_life_of_a_team_on_the_pages(gateway: GatewaySystem, shop: Shop, chrome: Browser) -> None:
    # A studio buys three seats at 10.00, one of them its own; Mia gets one, uses 4 of the pool's 20 hours; a
    # renewal fails and is paid; twelve months at once for 120.00 + 3 x 90.00; cancelled, and kept after all.
    clock = await shop.on_a_clock()
    page = await open_page(chrome)
    await page.goto(await link(gateway, shop.acme))
    await buy(page, "studio_monthly", 3)
    plan, team, usage = (page.locator(f'[data-live="{name}"]') for name in ("plan", "team", "usage"))
    await expect(page.get_by_text("Thank you.")).to_be_visible()
    await expect(plan).to_contain_text("Active")
    await expect(plan).to_contain_text("€10.00 per seat and month, 3 seats")
    await expect(team).to_contain_text("1 of 3 seats are taken. 2 are free.")

    # Invite, by the keyboard alone.
    await page.get_by_label("Invite by email").focus()
    await page.keyboard.type("mia@example.com, nobody")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator(".refusals")).to_have_text("nobody: This is not an email address.")
    invitation = await page.get_by_label("Link for mia@example.com").input_value()

    # Another person claims it.
    mia = Customer(type="user", id=fresh_id("mia"))
    hers = await open_page(chrome, locale="de-DE")
    await hers.goto(invitation)
    await expect(hers.get_by_role("button", name="Platz annehmen")).to_have_count(0)
    await hers.goto(await link(gateway, mia, READ, page="my", email="Mia@Example.com"))
    await hers.goto(invitation)
    await hers.get_by_role("button", name="Platz annehmen").click()
    await expect(hers.get_by_text("Der Platz gehört Ihnen.")).to_be_visible()
    await expect(hers.locator('[data-live="teams"]')).to_contain_text(shop.acme.id)
    await expect(hers.locator('[data-live="features"]')).to_contain_text("Audio transcription")

    # What she does elsewhere shows up on the open page by itself, though it answered a form.
    await expect(team.locator("tr", has_text="mia@example.com")).to_contain_text("Active")
    await expect(page.get_by_label("Invite by email")).to_have_value("nobody")

    async def used() -> int | None:
        hours = {"consumer": mia, "feature": "mentorship_hours", "quantity": 4}
        try:
            wish = consumables.Consume.model_validate({"command_id": fresh_id("use"), **hours})
            return (await shop.billing.call(wish)).remaining
        except CommandRejected:  # her seat has not reached the units yet
            return None

    assert await eventually(used) == 16
    await expect(usage).to_contain_text("4 of 20 used, 16 left")
    await expect(hers.locator('[data-live="usage"]')).to_contain_text("4 von 20 verbraucht, 16 übrig")

    # A renewal fails, then is paid.
    subscription = await shop.subscription()
    customer_id = await _stripe_customer(shop)
    shop.saves_card(customer_id, FAILS_LATER_CARD)
    # Checkout has pinned the card that was paid with.
    theirs = str(subscription.stripe_subscription_id)
    shop.stripe.v1.subscriptions.update(theirs, {"default_payment_method": ""})
    shop.advance(clock, subscription.current_period_end)
    await expect(plan).to_contain_text("Payment overdue")
    await expect(plan).to_contain_text("you keep everything")
    pay = plan.get_by_role("link", name=re.compile(r"^Pay €[0-9.]+ \(invoice "))
    await expect(pay).to_be_visible()
    # A card that works pays it at once.
    shop.saves_card(customer_id)
    await expect(plan).to_contain_text("Active")
    await expect(pay).to_have_count(0)

    # A year at once: what the preview says is what is charged.
    await page.get_by_role("link", name="Change plan").click()
    form = page.locator("form").filter(has=page.locator('input[value="studio_yearly"]'))
    await form.get_by_role("button").click()
    due = await page.locator("tfoot tr", has_text="Due now").locator("td").inner_text()
    await page.get_by_role("button", name=f"Pay {due} and change").click()
    await expect(page.get_by_text("The plan is changed.")).to_be_visible()
    await expect(plan).to_contain_text("per seat and year")
    invoices = page.locator('[data-live="invoices"] tbody tr')
    await expect(invoices.first).to_contain_text(due)
    await expect(invoices.first).to_contain_text("Paid")

    await page.get_by_role("link", name="Cancel the plan").click()
    await page.get_by_role("button", name="Cancel the plan").click()
    await expect(plan).to_contain_text("Until then you keep everything.")
    await page.get_by_role("button", name="Keep the plan").click()
    await expect(page.get_by_text("The plan goes on.")).to_be_visible()
    await expect(plan).to_contain_text("Renews on")


async def test_a_declined_card_and_a_second_purchase_are_told_in_words(
    gateway: GatewaySystem, shop: Shop, chrome: Browser
) -> None:
    await shop.register()
    page = await open_page(chrome)
    await page.goto(await link(gateway, shop.acme))
    await buy(page, "essential_monthly", card=DECLINED_CARD)
    await expect(page.get_by_text("declined")).to_be_visible()
    await page.get_by_label("Card number").fill(GOOD_CARD)
    await page.locator("button.main").click()
    await expect(page.locator('[data-live="plan"]')).to_contain_text("Active")

    # The same plan again, from a page that was left open since before.
    form = await _form(page, f"{gateway.url}/billing")
    answer = await page.request.post(
        f"{gateway.url}/billing/checkout",
        form={"csrf_token": form, "command_id": fresh_id("again"), "price": "essential_monthly"},
    )
    assert answer.status == 409
    assert "You have this already" in await answer.text()
    assert (await shop.subscription()).status == "active"


async def test_whoever_only_reads_finds_nothing_to_change(
    gateway: GatewaySystem, shop: Shop, chrome: Browser
) -> None:
    await shop.register()
    await shop.buys("team_monthly", 2)
    page = await open_page(chrome)
    await page.goto(await link(gateway, shop.acme, READ))
    await expect(page.locator('[data-live="plan"]')).to_contain_text("Trial")

    for wish in ("Change plan", "Cancel the plan", "Payment method", "Invite", "Change the number of seats"):
        await expect(
            page.get_by_role("button", name=wish).or_(page.get_by_role("link", name=wish))
        ).to_have_count(0)
    token = await page.locator('input[name="csrf_token"]').first.input_value()
    answer = await page.request.post(
        f"{gateway.url}/billing/cancel", form={"csrf_token": token, "command_id": fresh_id("cancel")}
    )
    assert answer.status == 403
    assert "You may look at this, but not change it." in await answer.text()
    assert not (await shop.subscription()).cancel_at_period_end


async def test_a_form_from_elsewhere_changes_nothing(
    gateway: GatewaySystem, shop: Shop, chrome: Browser
) -> None:
    await shop.register()
    await shop.buys("essential_monthly")
    page = await open_page(chrome)
    await page.goto(await link(gateway, shop.acme))
    for token in ("", "guessed"):
        answer = await page.request.post(
            f"{gateway.url}/billing/cancel", form={"csrf_token": token, "command_id": fresh_id("cancel")}
        )
        assert answer.status == 403
        assert "Please load the page again" in await answer.text()
    assert not (await shop.subscription()).cancel_at_period_end


async def test_without_a_session_every_page_says_how_to_come_back(
    gateway: GatewaySystem, chrome: Browser
) -> None:
    page = await open_page(chrome)
    for path in ("/billing", "/billing/plans", "/billing/cancel", "/my"):
        answer = await page.goto(gateway.url + path)
        assert answer is not None and answer.status == 401
        await expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
    await page.goto(f"{gateway.url}/session?token=made-up")
    await expect(page.get_by_role("heading", level=1)).to_have_text("This link no longer works")
    await page.goto(f"{gateway.url}/claim/invented")
    await expect(page.get_by_role("alert")).to_contain_text("This invitation is not valid.")


async def test_pages_fit_a_phone_in_both_languages(
    gateway: GatewaySystem, shop: Shop, chrome: Browser
) -> None:
    await shop.register()
    await shop.buys("team_monthly", 3)
    page = await open_page(chrome, viewport=PHONE, color_scheme="dark")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(await link(gateway, shop.acme))
    for language, heading in (("Deutsch", "Abrechnung"), ("English", "Billing")):
        await page.goto(f"{gateway.url}/billing")
        await page.get_by_role("button", name=language).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        for path in ("/billing", "/billing/plans", "/billing/seats/count?quantity=5", "/billing/cancel"):
            await page.goto(gateway.url + path)
            assert await overflow(page) == 0, path
    assert complaints == []


async def test_operators_find_a_customer_and_everything_that_happened(
    gateway: GatewaySystem, shop: Shop, chrome: Browser
) -> None:
    await shop.register(name="Acme Works")
    await shop.buys("team_monthly", 2)
    page = await open_page(chrome)
    operator = Customer(type="user", id=fresh_id("operator"))
    await page.goto(await link(gateway, operator, ADMIN, page="admin"))
    for service in ("subscriptions", "seats", "consumables", "payouts", "webhooks"):
        await expect(page.locator(".health li", has_text=service)).to_contain_text("answers")

    # Whatever happens now passes by on the open page.
    other = Customer(type="user", id=fresh_id("late"))
    feed = page.locator(".feed")

    async def told() -> bool:
        await shop.register(other, email="late@example.com", name=fresh_id("name"))
        return await feed.get_by_role("link", name=other.token).count() > 0

    await eventually(told)

    await page.get_by_label("Id, email, name or Stripe id").fill("acme works")
    await page.get_by_role("button", name="Search").click()
    await page.locator("table").get_by_role("link", name=shop.acme.token).first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(shop.acme.token)
    for section, content in (
        ("Subscriptions", "team_monthly × 2"),
        ("Team", "1 of 3 seats taken"),
        ("Entitlements", "audio_transcription"),
        ("Balances", "mentorship_hours"),
        # Which one began the subscription depends on the order of delivery.
        ("Stripe events behind it", "evt_"),
        ("What has happened", "subscription.created"),
    ):
        await expect(page.get_by_role("region", name=section)).to_contain_text(content)

    await page.get_by_role("link", name="Stripe events", exact=True).click()
    await page.get_by_role("button", name="Replay").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Stripe events")
    await page.get_by_role("link", name="Dead letters").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Dead letters")


async def test_nobody_else_sees_the_operators_pages(
    gateway: GatewaySystem, shop: Shop, chrome: Browser
) -> None:
    await shop.register()
    page = await open_page(chrome)
    await page.goto(await link(gateway, shop.acme, MANAGE))
    for path in ("/admin", "/admin/events", "/admin/dead-letters", f"/admin/customers/{shop.acme.token}"):
        answer = await page.goto(gateway.url + path)
        assert answer is not None and answer.status == 403, path


async def _form(page: Page, url: str) -> str:
    await page.goto(url)
    return await page.locator('input[name="csrf_token"]').first.input_value()


async def _stripe_customer(shop: Shop) -> str:
    found = (await shop.billing.ask(GetCustomer(customer=shop.acme))).customer
    return str(found.stripe_customer_id)
