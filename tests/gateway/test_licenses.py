"""Licenses over HTTP: for machines with the key, for customers, and for operators."""

import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tallystick.licensing import check
from tallystick.messages import licenses as m
from tests.support.gateway import ADMIN, READ, GatewaySystem, gateway_before
from tests.support.license_steps import activation, key_of, subscribes
from tests.support.page_visitor import visiting
from tests.support.shop import Shop, fresh_id
from tests.support.stack import System
from tests.support.waiting import eventually

MACHINES, LICENSES, OPERATORS = "/api/v1/licenses", "/api/v1/billing/licenses", "/api/v1/admin/licenses"
KEY_SET = "/.well-known/tallystick-licenses.json"
UNKNOWN_KEY = "TSL-00000000-00000000-00000000-00000000-0"
_addresses = (f"192.0.2.{number}" for number in itertools.count(1))

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def entrance(system: System) -> Iterator[GatewaySystem]:
    """A gateway behind a proxy, so that each test has an address of its own."""
    with gateway_before(system, {"GATEWAY_TRUSTED_PROXIES": "1"}) as running:
        yield running


def machine(entrance: GatewaySystem) -> httpx.AsyncClient:
    """A client at an address that nobody else has."""
    headers = {"X-Forwarded-For": next(_addresses)}
    return httpx.AsyncClient(base_url=entrance.url, headers=headers, timeout=30)


async def a_license(entrance: GatewaySystem, shop: Shop, **fields: Any) -> tuple[dict[str, Any], str]:
    """A license by hand, and its key."""
    async with entrance.http(shop.acme, ADMIN) as http:
        body = {"customer": shop.acme.model_dump(), "product": "self_hosted"} | fields
        answer = await http.post(OPERATORS, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["license"], answer.json()["license_key"]


async def test_a_machine_from_activation_to_deactivation(entrance: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    license, key = await a_license(entrance, shop, seats=25, instances=1)  # noqa: A001
    async with machine(entrance) as http:
        keys = await http.get(KEY_SET)
        assert keys.headers["cache-control"] == "public, max-age=300"
        instance = {"instance_id": "host-1", "name": "Main server", "version": "2.4.1"}
        activated = await http.post(f"{MACHINES}/activate", json={"license_key": key, "instance": instance})
        assert activated.status_code == 200, activated.text
        now = datetime.now(UTC)
        state = check(activated.json()["license_file"], keys.json(), "host-1", now)
        assert (state, state.license.license_id, state.license.seats) == ("valid", license["license_id"], 25)
        here = {"license_key": key, "instance_id": "host-1"}
        valid = await http.post(f"{MACHINES}/validate", json=here)
        assert (valid.json()["status"], valid.json()["seats"]) == ("valid", 25)
        repeated = {"Idempotency-Key": "refresh-1"}
        refreshed = [
            await http.post(f"{MACHINES}/refresh", json={**here, "members": 7}, headers=repeated)
            for _ in range(2)
        ]
        assert refreshed[0].json() == refreshed[1].json()
        assert refreshed[0].json()["license"]["activations"][0]["members"] == 7
        other = {"license_key": key, "instance": {"instance_id": "host-2"}}
        refused = await http.post(f"{MACHINES}/activate", json=other)
        assert (refused.status_code, refused.json()["code"]) == (409, "license_in_use")
        freed = await http.post(f"{MACHINES}/deactivate", json=here)
        assert freed.json()["license"]["activations"] == []
        again = await http.post(f"{MACHINES}/refresh", json=here)
        assert (again.status_code, again.json()["code"]) == (409, "not_activated")


async def test_unknown_mistyped_and_revoked_keys_are_answered_alike(
    entrance: GatewaySystem, shop: Shop
) -> None:
    await shop.register()
    license, key = await a_license(entrance, shop)  # noqa: A001
    async with entrance.http(shop.acme, ADMIN) as http:
        path = f"{OPERATORS}/{license['license_id']}/revoke"
        revoked = await http.post(path, json={"reason": "Fraud."})
        assert (revoked.json()["license"]["status"], revoked.json()["license"]["reason"]) == (
            "revoked",
            "Fraud.",
        )
    answers = set()
    for wrong in (UNKNOWN_KEY, "TSL-1", key):
        async with machine(entrance) as http:
            here = {"license_key": wrong, "instance_id": "host-1"}
            instance = {"license_key": wrong, "instance": {"instance_id": "host-1"}}
            for action in ("activate", "deactivate", "refresh", "validate"):
                body = instance if action == "activate" else here
                answer = await http.post(f"{MACHINES}/{action}", json=body)
                answers.add((answer.status_code, answer.text))
    assert len(answers) == 1
    status, text = answers.pop()
    assert (status, json.loads(text)["code"], json.loads(text)["details"]) == (401, "license_key_invalid", {})


async def test_ten_wrong_keys_a_minute_are_answered(entrance: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    _, key = await a_license(entrance, shop)
    async with machine(entrance) as http, machine(entrance) as neighbour:
        for _ in range(10):
            wrong = await http.post(
                f"{MACHINES}/validate", json={"license_key": UNKNOWN_KEY, "instance_id": "a"}
            )
            assert wrong.status_code == 401
        good = {"license_key": key, "instance_id": "a"}
        for body in ({**good, "license_key": UNKNOWN_KEY}, good):
            late = await http.post(f"{MACHINES}/validate", json=body)
            assert (late.status_code, late.json()["code"]) == (429, "too_many_requests")
            assert int(late.headers["retry-after"]) <= 60
        assert (await neighbour.post(f"{MACHINES}/validate", json=good)).status_code == 200


async def test_a_customer_sees_the_key_once_and_activates_a_machine_without_a_network(
    entrance: GatewaySystem, shop: Shop
) -> None:
    await shop.register()
    issued = await subscribes(shop.billing, shop.acme, 25)
    path = f"{LICENSES}/{issued.license_id}"
    async with entrance.http(shop.acme) as http, entrance.http(shop.acme, READ) as reader:
        shown = await http.post(f"{path}/key", headers={"Idempotency-Key": "show"})
        assert shown.json()["license_key"].startswith("TSL-")
        assert (await http.post(f"{path}/key", headers={"Idempotency-Key": "show"})).json() == shown.json()
        again = await http.post(f"{path}/key")
        assert (again.status_code, again.json()["code"]) == (409, "license_key_shown")
        rotated = await http.post(f"{path}/rotate-key")
        assert rotated.json()["license_key"] != shown.json()["license_key"]
        body = {"instance": {"instance_id": "bunker-1", "name": "In the bunker"}}
        activated = await http.post(f"{path}/activations", json=body)
        assert activated.status_code == 201, activated.text
        keys = (await reader.get(KEY_SET)).json()
        assert check(activated.json()["license_file"], keys, "bunker-1", datetime.now(UTC)) == "valid"
        seats = await http.put(f"{path}/seats", json={"seats": 30, "when": "now", "proration": "none"})
        assert seats.json()["license"]["seats"] == 30
        freed = await http.delete(f"{path}/activations/bunker-1")
        assert freed.json()["license"]["activations"] == []
        listed = (await reader.get(LICENSES)).json()["items"]
        assert [one["license_id"] for one in listed] == [issued.license_id]
        assert (await reader.get(path)).json()["license"]["seats"] == 30
        assert (await reader.post(f"{path}/key")).status_code == 403


async def test_another_customers_license_is_not_found(entrance: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    license, _ = await a_license(entrance, shop)  # noqa: A001
    stranger = shop.acme.model_copy(update={"id": fresh_id("stranger")})
    path = f"{LICENSES}/{license['license_id']}"
    async with entrance.http(stranger) as http:
        for method, action, body in (
            ("GET", path, None),
            ("POST", f"{path}/key", None),
            ("POST", f"{path}/rotate-key", None),
            ("PUT", f"{path}/seats", {"seats": 5}),
            ("POST", f"{path}/activations", {"instance": {"instance_id": "host-1"}}),
            ("DELETE", f"{path}/activations/host-1", None),
        ):
            answer = await http.request(method, action, json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), action
        assert (await http.get(LICENSES)).json()["items"] == []


async def test_operators_search_suspend_and_restore(entrance: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    license, key = await a_license(entrance, shop)  # noqa: A001
    path = f"{OPERATORS}/{license['license_id']}"
    async with entrance.http(shop.acme, ADMIN) as http, entrance.http(shop.acme) as theirs:
        suspended = await http.post(f"{path}/suspend", json={"reason": "Chargeback."})
        assert suspended.json()["license"]["status"] == "suspended"
        found = await http.get(OPERATORS, params={"search": license["key_hint"], "status": "suspended"})
        assert [one["license_id"] for one in found.json()["items"]] == [license["license_id"]]
        own = (await theirs.get(f"{LICENSES}/{license['license_id']}")).json()["license"]
        assert (own["suspended"], own["reason"]) == (True, None), "the note is for operators"
        async with machine(entrance) as there:
            body = {"license_key": key, "instance": {"instance_id": "host-1"}}
            refused = await there.post(f"{MACHINES}/activate", json=body)
            assert (refused.status_code, refused.json()["code"]) == (403, "license_suspended")
            assert "Chargeback" not in refused.text
        assert (await http.post(f"{path}/restore")).json()["license"]["status"] == "active"
        assert (await http.post(f"{path}/rotate-key")).json()["license_key"] != key
        keys = (await http.get(f"{OPERATORS}/signing-keys")).json()["keys"]
        assert {one["status"] for one in keys} == {"active"}
        none_left = await http.post(f"{OPERATORS}/signing-keys/rotate")
        assert (none_left.status_code, none_left.json()["code"]) == (409, "no_next_signing_key")
    answer = await shop.billing.ask(m.GetLicense(license_id=license["license_id"]))
    assert answer.license.key_number == 2


async def test_the_billing_page_shows_the_key_once_and_takes_request_files(
    entrance: GatewaySystem, shop: Shop
) -> None:
    await shop.register()
    issued = await subscribes(shop.billing, shop.acme, 25)
    async with visiting(entrance, shop.acme) as visitor:
        page = (await visitor.http.get("/billing")).text
        assert "Licenses" in page and "25 seats." in page and "Activated on 0 of 2 machines." in page
        form = await visitor.form("/billing", "/billing/licenses/key")
        assert form["license_id"] == issued.license_id
        shown = await visitor.send("/billing/licenses/key", form)
        [key] = re.findall(r'value="(TSL-[^"]+)"', shown.text)
        assert "This key is shown once." in shown.text
        assert key not in (await visitor.http.get("/billing")).text
        again = await visitor.send("/billing/licenses/key", form)
        assert key in again.text, "the same form again, such as after a lost response"
        late = await visitor.send("/billing/licenses/key", {**form, "command_id": fresh_id("page")})
        assert (late.status_code, "has been shown already" in late.text) == (409, True)

        upload = await visitor.form("/billing", "/billing/licenses/activate")
        written = json.dumps({"instance_id": "bunker:1", "name": "In the bunker"}).encode()
        fields = {name: value for name, value in upload.items() if name != "request_file"}
        file = await visitor.http.post(
            "/billing/licenses/activate", data=fields, files={"request_file": ("request.json", written)}
        )
        assert file.headers["content-disposition"] == 'attachment; filename="bunker_1.license"'
        keys = (await visitor.http.get(KEY_SET)).json()
        assert check(file.content, keys, "bunker:1", datetime.now(UTC)) == "valid"
        for nonsense in (b"", b"{", b'{"instance_id": "../../etc"}', b"x" * 5_000):
            wrong = await visitor.http.post(
                "/billing/licenses/activate",
                data={**fields, "command_id": fresh_id("page")},
                files={"request_file": ("request.json", nonsense)},
            )
            assert (wrong.status_code, "not a request file" in wrong.text) == (400, True), nonsense
        forged = await visitor.http.post(
            "/billing/licenses/activate",
            data={**fields, "csrf_token": "guessed"},
            files={"request_file": ("request.json", written)},
        )
        assert forged.status_code == 403
        assert "In the bunker" in (await visitor.http.get("/billing")).text

        freed = await visitor.send(
            "/billing/licenses/deactivate", await visitor.form("/billing", "/billing/licenses/deactivate")
        )
        assert freed.status_code == 303
        assert "In the bunker" not in (await visitor.http.get("/billing")).text
        rotated = await visitor.send(
            "/billing/licenses/rotate-key", await visitor.form("/billing", "/billing/licenses/rotate-key")
        )
        [new] = re.findall(r'value="(TSL-[^"]+)"', rotated.text)
        assert new != key
    found = (await shop.billing.ask(m.GetLicense(license_key=new))).license
    assert (found.license_id, found.activations) == (issued.license_id, [])


async def test_operators_issue_and_change_licenses_on_their_page(entrance: GatewaySystem, shop: Shop) -> None:
    await shop.register()
    async with visiting(entrance, shop.acme, ADMIN) as visitor:
        form = await visitor.form("/admin/licenses", "/admin/licenses/issue")
        given = {"customer": shop.acme.token, "product": "self_hosted", "seats": "40"}
        issued = await visitor.send("/admin/licenses/issue", {**form, **given, "expires_on": "2090-01-01"})
        [key] = re.findall(r'value="(TSL-[^"]+)"', issued.text)
        found = (await shop.billing.ask(m.GetLicense(license_key=key))).license
        assert (found.seats, found.expires_at) == (40, datetime(2090, 1, 1, tzinfo=UTC))
        unknown = await visitor.send("/admin/licenses/issue", {**form, **given, "customer": "acme"})
        assert unknown.status_code == 400

        place = f"/admin/licenses?search={found.license_id}"
        change = await visitor.form(place, "/admin/licenses/change")
        suspend = {**change, "action": "suspend", "reason": "Chargeback."}
        suspended = await visitor.send("/admin/licenses/change", suspend)
        assert suspended.headers["location"] == place
        assert "Chargeback." in (await visitor.http.get(place)).text
        change = await visitor.form(place, "/admin/licenses/change")
        await visitor.send("/admin/licenses/change", {**change, "action": "revoke"})
    found = (await shop.billing.ask(m.GetLicense(license_key=key))).license
    assert found.status == "revoked"


@pytest.mark.parametrize(
    ("language", "refused", "noted"),
    [
        ("en", "Machines with your license report 18 members.", "18 members are reported by machines"),
        ("de", "Rechner mit Ihrer Lizenz melden 18 Mitglieder.", "Rechner mit Ihrer Lizenz melden 18"),
    ],
)
async def test_the_page_says_why_seats_on_machines_cannot_be_given_back(
    entrance: GatewaySystem, shop: Shop, language: str, refused: str, noted: str
) -> None:
    await shop.register()
    issued = await subscribes(shop.billing, shop.acme, 25)
    key = await key_of(shop.billing, issued.license_id)
    await shop.billing.call(activation(key, "host-1"))
    report = m.RefreshLicense(
        command_id=fresh_id("refresh"), license_key=key, instance_id="host-1", members=18
    )
    await shop.billing.call(report)
    async with visiting(entrance, shop.acme) as visitor:
        visitor.http.headers["Accept-Language"] = language

        async def shown(quantity: int) -> str:
            return (await visitor.http.get(f"/billing/seats/count?quantity={quantity}")).text

        async def is_noted() -> bool:
            return noted in await shown(25)

        await eventually(is_noted)
        assert refused in await shown(17)
        form = await visitor.form("/billing/seats/count?quantity=18", "/billing/seats/count")
        answer = await visitor.send("/billing/seats/count", form | {"quantity": "17"})
        assert answer.status_code == 409 and refused in answer.text
