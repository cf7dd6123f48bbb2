"""Teams over HTTP: seats are assigned, claimed, replaced and counted; only the manager may change them."""

from typing import Any

import httpx
import pytest

from tallystick.messages.base import Customer
from tests.support.gateway import READ, GatewaySystem
from tests.support.shop import CANCEL_URL, SUCCESS_URL, Shop, fresh_id
from tests.support.waiting import eventually

TEAM, SEATS = "/api/v1/billing/team", "/api/v1/billing/team/seats"

pytestmark = pytest.mark.timeout(180)


async def a_team_of(shop: Shop, http: httpx.AsyncClient, quantity: int) -> dict[str, Any]:
    """A team with so many seats bought; the owner's comes on top."""
    await shop.register()
    await shop.buys("team_monthly", quantity, trial=False)

    async def opened() -> dict[str, Any] | None:
        answer = await http.get(TEAM)
        return answer.json()["team"] if answer.status_code == 200 else None

    team: dict[str, Any] = await eventually(opened)
    return team


async def test_seats_from_the_invitation_to_the_end(gateway: GatewaySystem, shop: Shop) -> None:
    # Five bought, the owner's free: capacity 6, one of them the owner's.
    async with gateway.http(shop.acme) as http, gateway.http() as nobody:
        team = await a_team_of(shop, http, 5)
        assert (team["capacity"], team["occupied"], team["billing_manager"]["id"]) == (6, 1, shop.acme.id)

        one = await http.post(SEATS, json={"email": "One@Example.com"})
        assert one.status_code == 201, one.text
        seat, token = one.json()["seat"], one.json()["invitation_token"]
        assert (seat["status"], seat["email"]) == ("pending", "one@example.com")

        looked = await nobody.get(f"/api/v1/seats/invitations/{token}")
        assert looked.json()["invitation"]["email"] == "o•••@e•••.com", "nobody has signed in"
        looked = await http.get(f"/api/v1/seats/invitations/{token}")
        assert looked.json()["invitation"]["email"] == "one@example.com"
        unknown = await nobody.get("/api/v1/seats/invitations/invented")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")

        resent = await http.post(f"{SEATS}/{seat['seat_id']}/resend")
        assert resent.json()["invitation_token"] != token
        assert (await nobody.get(f"/api/v1/seats/invitations/{token}")).status_code == 404

        member = Customer(type="user", id=fresh_id("member"))
        async with gateway.http(member, READ, email="one@example.com") as theirs:
            dead = await theirs.post("/api/v1/seats/claim", json={"token": token})
            assert (dead.status_code, dead.json()["code"]) == (400, "invitation_invalid")
            body = {"token": resent.json()["invitation_token"]}
            async with gateway.http(member, READ) as unproved:
                typed = body | {"email": "one@example.com"}
                refused = await unproved.post("/api/v1/seats/claim", json=typed)
                assert (refused.status_code, refused.json()["code"]) == (403, "email_unverified")
            claimed = await theirs.post("/api/v1/seats/claim", json=body)
            assert claimed.status_code == 200, claimed.text
            assert claimed.json()["seat"]["member"]["id"] == member.id
            # A seat holder sees the team and may not change it.
            assert (await theirs.get(TEAM)).json()["team"]["team_id"] == team["team_id"]
            assert (await theirs.get(SEATS)).json()["items"][0]["seat_id"] == seat["seat_id"]

        doubled = await http.put(f"{SEATS}/{seat['seat_id']}/multiplier", json={"multiplier": 2})
        assert doubled.json()["seat"]["multiplier"] == 2
        passed = await http.post(f"{SEATS}/{seat['seat_id']}/replace", json={"email": "two@example.com"})
        assert passed.json()["seat"]["email"] == "two@example.com"
        revoked = await http.delete(f"{SEATS}/{seat['seat_id']}")
        assert revoked.json()["seat"]["status"] == "revoked"
        again = await http.delete(f"{SEATS}/{seat['seat_id']}")
        assert again.json() == revoked.json()
        listed = (await http.get(SEATS, params={"status": "revoked"})).json()["items"]
        assert [item["seat_id"] for item in listed] == [seat["seat_id"]]


async def test_many_at_once_each_on_its_own(gateway: GatewaySystem, shop: Shop) -> None:
    async with gateway.http(shop.acme) as http:
        await a_team_of(shop, http, 2)
        wishes = [
            {"email": "a@example.com"},
            {"email": "nonsense"},
            {"email": "b@example.com"},
            {"email": "c@example.com"},
        ]
        answer = await http.post(SEATS, json={"seats": wishes})
        assert answer.status_code == 207, answer.text
        assert [one["index"] for one in answer.json()["data"]] == [0, 2]
        assert [(one["index"], one["code"]) for one in answer.json()["errors"]] == [
            (1, "invalid_email"),
            (3, "no_seat_available"),
        ]
        full = await http.post(SEATS, json={"email": "d@example.com"})
        assert (full.status_code, full.json()["code"]) == (409, "no_seat_available")


async def test_the_number_of_seats_is_previewed_and_changed(gateway: GatewaySystem, shop: Shop) -> None:
    async with gateway.http(shop.acme) as http:
        await a_team_of(shop, http, 3)
        preview = await http.get(f"{SEATS}/preview", params={"quantity": 5, "when": "now"})
        assert preview.status_code == 200, preview.text
        assert preview.json()["quantity"] == 5

        async def counted() -> dict[str, Any] | None:
            answer = await http.put(f"{SEATS}/count", json={"quantity": 5, "when": "now"})
            return answer.json()["team"] if answer.status_code == 200 else None

        assert (await eventually(counted))["quantity"] == 5
        for index in range(4):
            assert (await http.post(SEATS, json={"email": f"{index}@example.com"})).status_code == 201
        fewer = await http.put(f"{SEATS}/count", json={"quantity": 3, "when": "now"})
        assert (fewer.status_code, fewer.json()["code"]) == (409, "seats_in_use")
        payments = await http.get(f"{SEATS}/payments")
        assert payments.status_code == 200, payments.text


async def test_a_holder_sees_and_the_manager_changes(gateway: GatewaySystem, shop: Shop) -> None:
    async with gateway.http(shop.acme) as http:
        team = await a_team_of(shop, http, 3)
        holder, manager = (Customer(type="user", id=fresh_id(kind)) for kind in ("holder", "manager"))
        for person in (holder, manager):
            given = {"member": person.model_dump(), "immediate": True}
            assert (await http.post(SEATS, json=given)).status_code == 201
        body = {"member": manager.model_dump()}
        assert (await http.put(f"{TEAM}/manager", json=body)).status_code == 200
        # From now on seats are the manager's, and not even the customer's own token changes them.
        own = await http.post(SEATS, json={"email": "x@example.com"})
        assert (own.status_code, own.json()["code"]) == (403, "not_billing_manager")

    for customer, claims in ((holder, {}), (shop.acme, {"member": holder.token})):
        async with gateway.http(customer, "billing:manage", **claims) as theirs:
            assert (await theirs.get(TEAM)).json()["team"]["team_id"] == team["team_id"]
            seat_id = (await theirs.get(SEATS)).json()["items"][0]["seat_id"]
            changes: list[tuple[str, str, Any]] = [
                ("POST", SEATS, {"email": "x@example.com"}),
                ("POST", SEATS, {"seats": [{"email": "x@example.com"}]}),
                ("PUT", f"{SEATS}/count", {"quantity": 9}),
                ("POST", f"{SEATS}/remove-unused", {}),
                ("PUT", f"{TEAM}/manager", {"member": holder.model_dump()}),
                ("POST", f"{SEATS}/{seat_id}/resend", None),
                ("POST", f"{SEATS}/{seat_id}/replace", {"email": "x@example.com"}),
                ("PUT", f"{SEATS}/{seat_id}/multiplier", {"multiplier": 3}),
                ("DELETE", f"{SEATS}/{seat_id}", None),
            ]
            for method, path, wish in changes:
                refused = await theirs.request(method, path, json=wish)
                assert (refused.status_code, refused.json()["code"]) == (403, "not_billing_manager"), path

    async with gateway.http(shop.acme, member=holder.token) as theirs:
        urls = {"success_url": SUCCESS_URL, "cancel_url": CANCEL_URL}
        rule = {"feature": "mentorship_hours", "enabled": True, "threshold": 1, "recharge_quantity": 1}
        money: list[tuple[str, str, Any]] = [
            ("POST", "cancel", {}),
            ("POST", "reactivate", {}),
            ("POST", "change-tier", {"price": "essential_monthly"}),
            ("POST", "checkout", {"items": [{"price": "essential_monthly"}], **urls}),
            ("POST", "portal", {"return_url": SUCCESS_URL}),
            ("POST", "addons/purchase", {"price": "email_5_monthly", **urls}),
            ("DELETE", "addons/addon_01jk2m3n4p5q6r7s8t9v0w1x2y", None),
            ("PUT", "auto-recharge", rule),
            ("PUT", "usage-alerts", {"feature": "mentorship_hours", "percents": [80]}),
        ]
        for method, path, wish in money:
            refused = await theirs.request(method, f"/api/v1/billing/{path}", json=wish)
            assert (refused.status_code, refused.json()["code"]) == (403, "not_billing_manager"), path

    async with gateway.http(shop.acme, member=manager.token) as theirs:
        assert (await theirs.post(SEATS, json={"email": "y@example.com"})).status_code == 201
        assert (await theirs.post("/api/v1/billing/cancel")).status_code == 200


async def test_a_customer_sees_only_itself(gateway: GatewaySystem, shop: Shop) -> None:
    async with gateway.http(shop.acme) as http:
        team = await a_team_of(shop, http, 2)
        bought = (await http.get("/api/v1/billing/subscription")).json()["subscription"]
        seat = (await http.post(SEATS, json={"email": "mine@example.com"})).json()["seat"]
        urls = {"success_url": SUCCESS_URL, "cancel_url": CANCEL_URL}
        paid = await http.post("/api/v1/billing/addons/purchase", json={"price": "email_5_monthly", **urls})
        add_on = paid.json()["add_on"]
    stranger = Customer(type="organization", id=fresh_id("stranger"))
    account = {"account": f"customer:{shop.acme.token}"}
    async with gateway.http(stranger) as theirs:
        for answer in (
            await theirs.get("/api/v1/billing/subscription"),
            await theirs.get(TEAM, params={"team_id": team["team_id"]}),
            await theirs.get(SEATS, params={"team_id": team["team_id"]}),
            await theirs.get("/api/v1/billing/balances", params=account),
            await theirs.post("/api/v1/billing/cancel", json={"subscription_id": bought["subscription_id"]}),
            await theirs.post(SEATS, params={"team_id": team["team_id"]}, json={"email": "x@example.com"}),
            *[await theirs.request(*wish[:2], json=wish[2]) for wish in _wishes(team, bought, add_on, seat)],
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), answer.request.url
        unknown = await theirs.get("/api/v1/billing/balances", params={"account": "seat:seat_01abc"})
        assert unknown.status_code == 404
        for method, path, wish in (
            ("POST", "/resend", None),
            ("POST", "/replace", {"email": "x@example.com"}),
            ("PUT", "/multiplier", {"multiplier": 3}),
            ("DELETE", "", None),
        ):
            refused = await theirs.request(method, f"{SEATS}/{seat['seat_id']}{path}", json=wish)
            assert (refused.status_code, refused.json()["code"]) == (403, "not_billing_manager"), path
        other = await theirs.post(
            "/api/v1/billing/consume", json={"feature": "x", "consumer": shop.acme.model_dump()}
        )
        assert (other.status_code, other.json()["code"]) == (403, "forbidden")
    async with gateway.http(shop.acme) as http:
        assert (await http.get(SEATS)).json()["items"] == [seat]
        assert (await http.get("/api/v1/billing/subscription")).json()["subscription"] == bought
        assert (await http.get("/api/v1/billing/my-addons")).json()["items"] == [add_on]


def _wishes(
    team: dict[str, Any], bought: dict[str, Any], add_on: dict[str, Any], seat: dict[str, Any]
) -> list[tuple[str, str, Any]]:
    """Requests that a stranger could try with the ids of another team."""
    accounts = [
        f"customer:organization_{team['customer']['id']}",
        f"team:{team['team_id']}",
        f"seat:{seat['seat_id']}",
    ]
    its = f"?team_id={team['team_id']}"
    theirs = {"subscription_id": bought["subscription_id"]}
    rule = {"feature": "mentorship_hours", "enabled": True, "threshold": 1, "recharge_quantity": 1}
    manager = {"member": {"type": "user", "id": "x"}}
    return [
        ("GET", f"{SEATS}/preview{its}&quantity=4", None),
        ("GET", f"{SEATS}/payments{its}", None),
        ("PUT", f"{SEATS}/count{its}", {"quantity": 4}),
        ("POST", f"{SEATS}/remove-unused{its}", {}),
        ("PUT", f"{TEAM}/manager{its}", manager),
        ("POST", "/api/v1/billing/preview-change", {"price": "essential_monthly", **theirs}),
        ("POST", "/api/v1/billing/change-tier", {"price": "essential_monthly", **theirs}),
        ("POST", "/api/v1/billing/reactivate", theirs),
        ("DELETE", f"/api/v1/billing/addons/{add_on['add_on_id']}", None),
        *(
            wish
            for account in accounts
            for wish in (
                ("GET", f"/api/v1/billing/balances?account={account}", None),
                ("GET", f"/api/v1/billing/auto-recharge?account={account}&feature=mentorship_hours", None),
                ("PUT", "/api/v1/billing/auto-recharge", {**rule, "account": account}),
                ("POST", "/api/v1/billing/consume", {"feature": "mentorship_hours", "account": account}),
            )
        ),
    ]
