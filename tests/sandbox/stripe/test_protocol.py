"""The protocol of the API: keys, parameters, idempotency, lists, expansion and errors."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import stripe

from tests.support.sandbox_stripe.stand_in import SECRET_KEY, StandIn


def test_a_wrong_key_is_refused_without_being_shown(stand_in: StandIn) -> None:
    with pytest.raises(stripe.AuthenticationError) as caught:
        stand_in.sdk("sk_test_somebodyelseskey").v1.customers.list()
    assert caught.value.http_status == 401
    assert "somebodyelses" not in str(caught.value)


def test_a_request_without_a_key_is_refused(stand_in: StandIn) -> None:
    answer = httpx.get(stand_in.url + "/v1/customers")
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_the_key_may_come_as_a_basic_user_name(stand_in: StandIn) -> None:
    assert stand_in.get("/v1/customers").status_code == 200


def test_an_unknown_address_is_a_404_in_stripes_words(stand_in: StandIn) -> None:
    answer = stand_in.get("/v1/dinosaurs")
    assert answer.status_code == 404
    assert "Unrecognized request URL" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"nmae": "Ann"}, "parameter_unknown", "nmae"),
        ({"address": {"city": "Bonn", "planet": "Earth"}}, "parameter_unknown", "address[planet]"),
        ({"balance": "many"}, "parameter_invalid_integer", "balance"),
    ],
)
def test_parameters_are_checked_by_name_and_type(
    stand_in: StandIn, params: dict[str, object], code: str, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        stand_in.api.customers.create(params)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert stand_in.api.customers.list().data == []


def test_a_required_parameter_that_is_missing_is_named(stand_in: StandIn) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        stand_in.api.prices.create({"unit_amount": 100})
    assert (caught.value.code, caught.value.param) == ("parameter_missing", "currency")


def test_an_unknown_object_is_a_404_and_in_a_parameter_a_400(stand_in: StandIn) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        stand_in.api.customers.retrieve("cus_nobody")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    assert caught.value.user_message == "No such customer: 'cus_nobody'"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        stand_in.api.payment_intents.create({"amount": 1, "currency": "eur", "customer": "cus_nobody"})
    assert (caught.value.http_status, caught.value.param) == (400, "customer")


def test_a_refused_request_changes_nothing(stand_in: StandIn) -> None:
    customer = stand_in.api.customers.create({"name": "Ann"})
    with pytest.raises(stripe.InvalidRequestError):
        stand_in.api.customers.update(
            customer.id, {"name": "Bob", "invoice_settings": {"default_payment_method": "pm_none"}}
        )
    assert stand_in.api.customers.retrieve(customer.id).name == "Ann"
    assert [event.type for event in stand_in.api.events.list().data] == ["customer.created"]


def test_the_same_idempotency_key_gives_the_same_answer_once(stand_in: StandIn) -> None:
    first = stand_in.api.customers.create({"name": "Ann"}, {"idempotency_key": "order-1"})
    again = stand_in.api.customers.create({"name": "Ann"}, {"idempotency_key": "order-1"})
    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert len(stand_in.api.customers.list().data) == 1
    with pytest.raises(stripe.IdempotencyError) as caught:
        stand_in.api.customers.create({"name": "Bob"}, {"idempotency_key": "order-1"})
    assert caught.value.http_status == 400


def test_a_declined_payment_is_replayed_too(stand_in: StandIn) -> None:
    params: stripe.params.PaymentIntentCreateParams = {
        "amount": 500, "currency": "eur", "payment_method": "pm_card_chargeCustomerFail", "confirm": True,
    }  # fmt: skip
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            stand_in.api.payment_intents.create(params, {"idempotency_key": "pay-1"})
    assert len(stand_in.api.payment_intents.list().data) == 1


def test_lists_page_forwards_and_backwards(stand_in: StandIn) -> None:
    made = [stand_in.api.customers.create({"name": str(number)}).name for number in range(7)]
    first = stand_in.api.customers.list({"limit": 3})
    assert [customer.name for customer in first.data] == ["6", "5", "4"]
    assert first.has_more is True
    assert [customer.name for customer in first.auto_paging_iter()] == made[::-1]
    last = stand_in.api.customers.list({"limit": 3, "starting_after": first.data[2].id})
    assert [customer.name for customer in last.data] == ["3", "2", "1"]
    back = stand_in.api.customers.list({"limit": 2, "ending_before": last.data[1].id})
    assert [customer.name for customer in back.data] == ["4", "3"]
    assert back.has_more is True
    with pytest.raises(stripe.InvalidRequestError):
        stand_in.api.customers.list({"limit": 101})


def test_lists_are_filtered_by_creation(stand_in: StandIn) -> None:
    customer = stand_in.api.customers.create({"name": "Ann"})
    found = stand_in.api.customers.list({"created": {"gte": customer.created, "lte": customer.created}})
    assert [each.id for each in found.data] == [customer.id]
    assert stand_in.api.customers.list({"created": {"gt": customer.created}}).data == []


def test_ids_are_expanded_on_request_also_in_lists_and_below(stand_in: StandIn) -> None:
    product = stand_in.api.products.create({"name": "Team"})
    price = stand_in.api.prices.create({"currency": "eur", "unit_amount": 100, "product": product.id})
    assert price.product == product.id
    expanded = stand_in.api.prices.retrieve(price.id, {"expand": ["product"]})
    assert isinstance(expanded.product, stripe.Product)
    assert expanded.product.name == "Team"
    listed = stand_in.api.prices.list({"expand": ["data.product"]})
    assert isinstance(listed.data[0].product, stripe.Product)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        stand_in.api.prices.retrieve(price.id, {"expand": ["currency"]})
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        stand_in.api.prices.retrieve(price.id, {"expand": ["product.a.b.c.d"]})


def test_answers_carry_request_id_and_api_version(stand_in: StandIn) -> None:
    answer = stand_in.get("/v1/customers")
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["stripe-version"] == "2026-10-28.endive"


def test_metadata_keys_are_merged_removed_and_cleared(stand_in: StandIn) -> None:
    customer = stand_in.api.customers.create({"metadata": {"1": "one", "two": "2"}})
    changed = stand_in.api.customers.update(customer.id, {"metadata": {"two": "", "three": "3"}})
    assert changed.to_dict()["metadata"] == {"1": "one", "three": "3"}
    cleared = stand_in.api.customers.update(customer.id, {"metadata": ""})
    assert cleared.to_dict()["metadata"] == {}


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the SDK's own way of calling httpx
def test_the_async_sdk_is_served_as_well(stand_in: StandIn) -> None:
    async def create() -> str:
        http: Any = stripe.HTTPXClient()
        client = stripe.StripeClient(SECRET_KEY, base_addresses={"api": stand_in.url}, http_client=http)
        try:
            return (await client.v1.customers.create_async({"name": "Ann"})).id
        finally:
            await http.close_async()
            http.close()

    assert stand_in.api.customers.retrieve(asyncio.run(create())).name == "Ann"


def test_the_account_is_one_in_test_mode(stand_in: StandIn) -> None:
    own = stand_in.api.accounts.retrieve_current()
    assert own.id.startswith("acct_")
    assert own.charges_enabled is True
