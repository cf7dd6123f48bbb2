"""Forms sent twice, from a stale page, or without the right: an error is shown and nothing is done."""

import re

import httpx
import pytest

from tallystick.client import QuestionRejected
from tallystick.messages import seats
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.gateway import GatewaySystem
from tests.support.page_visitor import BROWSER, Visitor, visiting
from tests.support.shop import CANCEL_URL, SUCCESS_URL, Shop, fresh_id
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


async def open_team(shop: Shop) -> seats.TeamSnapshot:
    """The customer's team, once it has been opened."""

    async def found() -> seats.TeamSnapshot | None:
        try:
            return (await shop.billing.ask(seats.GetTeam(customer=shop.acme))).team
        except QuestionRejected:
            return None

    team: seats.TeamSnapshot = await eventually(found)
    return team


async def test_a_form_that_is_sent_twice_is_carried_out_once(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("team_monthly", 3)
    await open_team(shop)
    async with visiting(gateway, shop.acme) as visitor:
        form = await visitor.form("/billing", "/billing/seats/invite")
        sent = form | {"emails": "mia@example.com"}
        first = await visitor.send("/billing/seats/invite", sent)
        again = await visitor.send("/billing/seats/invite", sent)
        links = [re.findall(r'value="([^"]*/claim/[^"]+)"', answer.text) for answer in (first, again)]
        assert len(links[0]) == 1 and links[0] == links[1]

        # Filled in with something else, as a browser may after a reload, it is not taken for the first.
        other = await visitor.send("/billing/seats/invite", form | {"emails": "ben@example.com"})
        assert other.status_code == 409
        assert "This form has been sent before" in other.text and "ben@example.com" in other.text
        team = await open_team(shop)
        listed = await shop.billing.ask(seats.ListSeats(team_id=team.team_id))
        assert [seat.email for seat in listed.items] == ["mia@example.com"]


async def test_a_preview_that_is_out_of_date_changes_nothing(gateway: GatewaySystem, shop: Shop) -> None:
    # Shown: from Essential to Business. Meanwhile the plan has become Professional, in another window.
    await shop.register()
    bought = await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as visitor:
        form = await visitor.form("/billing/change?price=business_monthly", "/billing/change")
        await shop.billing.call(
            m.ChangePlan(
                command_id=fresh_id("change"),
                subscription_id=bought.subscription_id,
                price="professional_monthly",
                when="now",
                proration="none",
            )
        )
        stale = await visitor.send("/billing/change", form)
        assert stale.status_code == 409
        assert "This has changed since the page was made. Nothing was done" in stale.text
        assert "Professional" in stale.text
        assert (await shop.subscription()).items[0].price == "professional_monthly"

        fresh = await visitor.form("/billing/change?price=business_monthly", "/billing/change")
        for _ in range(2):  # a double click
            answer = await visitor.send("/billing/change", fresh)
            assert answer.headers["location"] == "/billing?done=changed#plan"
        assert (await shop.subscription()).items[0].price == "business_monthly"


async def test_a_seat_count_from_an_old_page_changes_nothing(gateway: GatewaySystem, shop: Shop) -> None:
    # Shown: from 3 to 5 seats. Meanwhile there are 8: what was to be more would be fewer.
    await shop.register()
    await shop.buys("team_monthly", 3, trial=False)
    team = await open_team(shop)
    async with visiting(gateway, shop.acme) as visitor:
        page = "/billing/seats/count?quantity=5"
        form = await visitor.form(page, "/billing/seats/count")
        await shop.billing.call(
            seats.ChangeSeatCount(command_id=fresh_id("count"), team_id=team.team_id, quantity=8, when="now")
        )

        async def bought() -> bool:
            return (await open_team(shop)).quantity == 8

        await eventually(bought)
        stale = await visitor.send("/billing/seats/count", form)
        assert stale.status_code == 409
        assert "Nothing was done" in stale.text
        assert (await shop.subscription()).items[0].quantity == 8

        fresh = await visitor.form("/billing/seats/count?quantity=9", "/billing/seats/count")
        for _ in range(2):
            answer = await visitor.send("/billing/seats/count", fresh)
            assert answer.headers["location"] == "/billing?done=seats_changed#team"
        assert (await shop.subscription()).items[0].quantity == 9


async def test_a_stale_cancellation_spares_a_newer_plan(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    old = await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as visitor:
        form = await visitor.form("/billing/cancel", "/billing/cancel")
        await shop.cancel(old.subscription_id)
        new = await shop.buys("professional_monthly")
        stale = await visitor.send("/billing/cancel", form)
        assert stale.status_code == 400
        assert "The plan has ended." in stale.text
        now = await shop.subscription()
        assert (now.subscription_id, now.cancel_at_period_end) == (new.subscription_id, False)

        # And whatever the form contains, it cannot end another customer's plan.
        foreign = await shop.billing.ask(m.GetSubscription(subscription_id=new.subscription_id))
        other = Customer(type="organization", id=fresh_id("other"))
        await shop.register(other, email="other@example.com")
        async with visiting(gateway, other) as stranger:
            wish = await stranger.form("/billing/plans", "/billing/checkout")
            sent = wish | {"subscription_id": foreign.subscription.subscription_id}
            assert (await stranger.send("/billing/cancel", sent)).status_code == 404
        assert not (await shop.subscription()).cancel_at_period_end


async def test_a_member_who_is_not_the_manager_changes_nothing(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    bought = await shop.buys("team_monthly", 3)
    team = await open_team(shop)
    holder = Customer(type="user", id=fresh_id("holder"))
    given = await shop.billing.call(
        seats.AssignSeat(command_id=fresh_id("assign"), team_id=team.team_id, member=holder, immediate=True)
    )
    seat = {"seat_id": given.seat.seat_id}
    wishes: list[tuple[str, dict[str, str]]] = [
        ("checkout", {"price": "essential_monthly"}),
        ("change", {"price": "team_yearly", "when": "now", "seen": f"{bought.subscription_id}:1"}),
        ("change/cancel", {}),
        ("cancel", {}),
        ("reactivate", {}),
        ("portal", {}),
        ("add-ons/buy", {"price": "email_5_monthly"}),
        ("add-ons/cancel", {"add_on_id": "addon_01jk2m3n4p5q6r7s8t9v0w1x2y"}),
        (
            "auto-recharge",
            {"account": "x", "feature": "mentorship_hours", "threshold": "1", "recharge_quantity": "1"},
        ),
        ("usage-alerts", {"account": "x", "feature": "mentorship_hours", "percents": "50"}),
        ("seats/invite", {"emails": "x@example.com"}),
        ("seats/resend", seat),
        ("seats/revoke", seat),
        ("seats/replace", seat | {"email": "x@example.com"}),
        ("seats/count", {"quantity": "9", "when": "now", "seen": "3"}),
    ]
    async with visiting(gateway, shop.acme, member=holder.token) as visitor:
        form = await visitor.form("/billing", "/sign-out")
        for action, wish in wishes:
            sent = {**form, "command_id": fresh_id("form"), **wish}
            refused = await visitor.send(f"/billing/{action}", sent)
            assert refused.status_code == 403, (action, refused.status_code)
            assert "Only the team&#39;s billing manager may do this." in refused.text, action
    now = await shop.subscription()
    assert (now.subscription_id, now.items, now.cancel_at_period_end) == (
        bought.subscription_id,
        bought.items,
        False,
    )


async def test_a_form_does_nothing_to_what_is_somebody_elses(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    bought = await shop.buys("team_monthly", 3)
    team = await open_team(shop)
    seat = await shop.billing.call(
        seats.AssignSeat(command_id=fresh_id("assign"), team_id=team.team_id, email="mia@example.com")
    )
    fields = {"price": "email_5_monthly", "success_url": SUCCESS_URL, "cancel_url": CANCEL_URL}
    add_on = m.PurchaseAddOn.model_validate(
        {"command_id": fresh_id("buy"), "customer": shop.acme, "details": {}, **fields}
    )
    owned = (await shop.billing.call(add_on)).add_on
    assert owned is not None
    other = Customer(type="organization", id=fresh_id("other"))
    await shop.register(other, email="other@example.com")
    theirs, held = {"subscription_id": bought.subscription_id}, {"seat_id": seat.seat.seat_id}
    rule = {"feature": "mentorship_hours", "threshold": "1", "recharge_quantity": "1", "enabled": "yes"}
    alerts = {"feature": "mentorship_hours", "percents": "50"}
    wishes: list[tuple[str, dict[str, str], int]] = [
        ("change/cancel", theirs, 404),
        ("reactivate", theirs, 404),
        ("add-ons/cancel", {"add_on_id": owned.add_on_id}, 404),
        ("auto-recharge", {**rule, "account": f"team:{team.team_id}"}, 404),
        ("auto-recharge", {**rule, "account": f"customer:{shop.acme.token}"}, 404),
        ("usage-alerts", {**alerts, "account": f"team:{team.team_id}"}, 404),
        ("usage-alerts", {**alerts, "account": f"customer:{shop.acme.token}"}, 404),
        ("seats/resend", held, 403),
        ("seats/revoke", held, 403),
        ("seats/replace", held | {"email": "x@example.com"}, 403),
    ]
    async with visiting(gateway, other) as stranger:
        form = await stranger.form("/billing/plans", "/billing/checkout")
        for action, wish, status in wishes:
            sent = form | {"command_id": fresh_id("form")} | wish
            assert (await stranger.send(f"/billing/{action}", sent)).status_code == status, action
    listed = await shop.billing.ask(seats.ListSeats(team_id=team.team_id))
    assert [one.model_dump() for one in listed.items] == [seat.seat.model_dump()]
    assert (await shop.billing.ask(m.ListAddOns(customer=shop.acme))).items == [owned]


async def test_an_invitation_is_offered_to_whom_it_is_meant_for(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register(name="Acme & Sons")
    await shop.buys("team_monthly", 3)
    await open_team(shop)
    async with visiting(gateway, shop.acme) as visitor:
        form = await visitor.form("/billing", "/billing/seats/invite")
        answer = await visitor.send("/billing/seats/invite", form | {"emails": "mia@example.com"})
        [path] = re.findall(r'value="[^"]*(/claim/[^"]+)"', answer.text)
        seen = (await visitor.http.get(path)).text
        assert "Acme &amp; Sons has a seat for you" in seen
        assert "A seat is for one person." in seen and "Take the seat" not in seen

    async with httpx.AsyncClient(base_url=gateway.url, headers=BROWSER) as nobody:
        seen = (await nobody.get(path)).text
        assert "m•••@e•••.com" in seen and "mia@example.com" not in seen

    someone = Customer(type="user", id=fresh_id("someone"))
    async with visiting(gateway, someone) as unproved:
        form = await unproved.form("/my", "/sign-out")
        assert "does not confirm" in (await unproved.http.get(path)).text
        assert (await unproved.send(path, form | {"command_id": fresh_id("claim")})).status_code == 403
    async with visiting(gateway, someone, email="ben@example.com") as ben:
        seen = (await ben.http.get(path)).text
        assert "This invitation is for another address." in seen and "Take the seat" not in seen
    async with visiting(gateway, someone, email=" Mia@Example.com") as mia:
        form = await mia.form(path, path)
        assert (await mia.send(path, form)).headers["location"] == "/my?done=claimed"
        assert "Acme &amp; Sons" in (await mia.http.get("/my?done=claimed")).text
        gone = await mia.http.get(path)
        assert gone.status_code == 400 and 'href="/my"' in gone.text


async def test_what_a_refused_form_has_typed_is_there_to_be_put_right(
    gateway: GatewaySystem, shop: Shop
) -> None:
    await shop.register()
    await shop.buys("team_monthly", 3)
    team = await open_team(shop)
    given = await shop.billing.call(
        seats.AssignSeat(command_id=fresh_id("assign"), team_id=team.team_id, email="mia@example.com")
    )

    async def shown() -> bool:
        text = (await visitor.http.get("/billing")).text
        return "/billing/auto-recharge" in text and "/billing/seats/replace" in text

    async with visiting(gateway, shop.acme) as visitor:
        await eventually(shown)
        recharge = await visitor.form("/billing", "/billing/auto-recharge")
        typed = {"threshold": "7", "recharge_quantity": "40", "cap": "1,000", "enabled": "yes"}
        refused = await visitor.send("/billing/auto-recharge", recharge | typed)
        assert refused.status_code == 400
        assert "Please enter an amount such as" in refused.text
        form = refused.text.partition('action="/billing/auto-recharge"')[2].partition("</form>")[0]
        for value in ('value="7"', 'value="40"', 'value="1,000"', 'value="yes" checked'):
            assert value in form, value

        replace = await visitor.form("/billing", "/billing/seats/replace")
        assert replace["seat_id"] == given.seat.seat_id
        refused = await visitor.send("/billing/seats/replace", replace | {"email": 'b"en'})
        assert refused.status_code == 400
        assert 'value="b&#34;en"' in refused.text

        domain = {"price": "domain_yearly", "detail_domain_name": "not one"}
        refused = await visitor.http.get("/billing/add-ons/buy", params=domain)
        assert refused.status_code == 400
        assert 'value="not one"' in refused.text


async def test_the_language_may_be_changed_wherever_one_is(gateway: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    await shop.buys("essential_monthly")
    async with visiting(gateway, shop.acme) as visitor:
        page = "/billing/change?price=business_monthly&amp;when=period_end"
        form = await visitor.form(page.replace("&amp;", "&"), "/language")
        assert form["next_page"] == page
        # After a form has been refused the page is the billing page again, wherever the form was sent.
        invite = await visitor.form("/billing", "/language")
        refused = await visitor.send("/billing/seats/invite", invite | await _secrets(visitor))
        assert 'name="next_page" value="/billing"' in refused.text
        assert 'data-here="/billing"' in refused.text


async def _secrets(visitor: Visitor) -> dict[str, str]:
    form = await visitor.form("/billing/cancel", "/billing/cancel")
    return {name: form[name] for name in ("csrf_token", "command_id")}
