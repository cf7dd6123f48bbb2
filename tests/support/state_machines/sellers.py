"""A state machine for sellers, with a model that adds up plain numbers."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import count
from math import floor
from typing import Any

import httpx
import stripe
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.messages import payouts as m
from tallystick.messages.base import Customer
from tests.support.stripe import SECRET_KEY
from tests.support.worlds.sellers import SellerWorld, sold

Run = Callable[[Coroutine[Any, Any, Any]], Any]
HOLD = timedelta(days=7)
PLACES = st.integers(0, 30)
_numbers = count(1)


@dataclass
class ModelShare:
    """One product of an invoice."""

    seller: str
    percent: int
    fee: int
    net: int = 0


@dataclass
class ModelInvoice:
    """A paid invoice, and what was paid back of it."""

    number: str
    total: int
    paid_at: datetime
    shares: dict[tuple[str, str], ModelShare]
    version: int = 3
    refunded: int = 0
    dispute: str = "none"
    released: bool = False
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def kept(self) -> Fraction:
        """The part of the invoice that was not paid back."""
        if self.total <= 0:
            return Fraction(1)
        lost = self.total if self.dispute == "lost" else 0
        return Fraction(max(0, self.total - self.refunded - lost), self.total)

    def owed(self, seller: str) -> int:
        """What a seller is owed of it, fees included."""
        return sum(
            floor(share.net * Fraction(share.percent, 100) * self.kept())
            for share in self.shares.values()
            if share.seller == seller
        )

    def fees(self, seller: str) -> int:
        """What was charged when it was earned."""
        return sum(share.fee for share in self.shares.values() if share.seller == seller)


class Sellers(RuleBasedStateMachine):
    """Sales, refunds, disputes, payouts and corrections of two sellers, in any order."""

    def __init__(self, run: Run, world: SellerWorld) -> None:
        super().__init__()
        self.run, self.world = run, world
        self.sellers: list[Customer] = []
        self.invoices: list[ModelInvoice] = []
        self.accounts: dict[str, str] = {}
        self.adjusted: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        """Paid out and not returned."""
        self.unfinished: m.PayOut | None = None
        self.unfinished_amount = 0
        self.disputed_ever = False

    @initialize()
    def connects(self) -> None:
        """Two sellers with accounts of their own."""
        self.world.stand_in.forget_everything()
        self.run(self.has_money(10**9))
        number = next(_numbers)
        self.sellers = [Customer(type="organization", id=f"{name}{number}") for name in ("a", "b")]
        for seller in self.sellers:
            self.accounts[seller.id] = self.run(self.world.connected(seller))["stripe_account_id"]
            self.adjusted[seller.id] = self.sent[seller.id] = 0

    # -- sales and paybacks ---------------------------------------------------------------------------------

    @rule(
        lines=st.lists(
            st.tuples(
                st.integers(-500, 3_000), st.integers(0, 1), st.integers(0, 1), st.sampled_from([0, 30])
            ),
            min_size=1,
            max_size=4,
        ),
        percent=st.sampled_from([0, 33, 85, 100]),
        taxed=st.booleans(),
    )
    def sells(self, lines: list[tuple[int, int, int, int]], percent: int, taxed: bool) -> None:
        """An invoice is paid."""
        number, world = f"inv_{next(_numbers)}", self.world
        shares: dict[tuple[str, str], ModelShare] = {}
        for net, who, product, fee in lines:
            seller = self.sellers[who].id
            share = shares.setdefault((seller, f"p{product}"), ModelShare(seller, percent, 0))
            share.net += net
            share.fee = max(share.fee, fee)
        for share in shares.values():
            share.fee = min(share.fee, max(0, floor(share.net * Fraction(percent, 100))))
        total = sum(net for net, *_ in lines) * (119 if taxed else 100) // 100
        messages = [
            sold(net, product=f"p{product}", seller=self.sellers[who], percent=percent, fee=fee)
            for net, who, product, fee in lines
        ]
        self.run(world.sells(*messages, invoice=number, total=total))
        self.invoices.append(ModelInvoice(number, total, world.now, shares))

    @precondition(lambda self: self.invoices)
    @rule(place=PLACES, part=st.integers(1, 100))
    def refunds(self, place: int, part: int) -> None:
        """A part of what is left of an invoice is refunded."""
        invoice = self.some(place)
        left = invoice.total - invoice.refunded
        if left > 0 and invoice.dispute == "none":
            invoice.refunded += max(1, left * part // 100)
            self.tells(invoice, "refunded")

    @precondition(lambda self: self.invoices)
    @rule(place=PLACES)
    def is_disputed(self, place: int) -> None:
        """The buyer disputes the whole payment."""
        invoice = self.some(place)
        if invoice.dispute == "none" and invoice.total > 0 and not invoice.refunded:
            invoice.dispute, self.disputed_ever = "open", True
            self.tells(invoice, "disputed")

    @precondition(lambda self: any(one.dispute == "open" for one in self.invoices))
    @rule(won=st.booleans(), place=PLACES)
    def dispute_ends(self, won: bool, place: int) -> None:
        """A dispute is won or lost."""
        opened = [one for one in self.invoices if one.dispute == "open"]
        invoice = opened[place % len(opened)]
        invoice.dispute = "none" if won else "lost"
        self.tells(invoice, "disputeClosed")

    @precondition(lambda self: any(one.told for one in self.invoices))
    @rule(place=PLACES, which=PLACES)
    def hears_again(self, place: int, which: int) -> None:
        """An old event comes once more."""
        told = [one for one in self.invoices if one.told]
        invoice = told[place % len(told)]
        name, fields = invoice.told[which % len(invoice.told)]
        self.run(self.world.invoice(name, invoice=invoice.number, **fields))

    # -- time and payouts -----------------------------------------------------------------------------------

    @rule(days=st.integers(1, 5))
    def time_passes(self, days: int) -> None:
        """Held money is released in time."""
        self.run(self.world.releases(days=days))
        for invoice in self.invoices:
            invoice.released |= invoice.paid_at + HOLD <= self.world.now

    @rule(who=st.integers(0, 1), amount=st.integers(-2_000, 2_000).filter(bool))
    def corrects(self, who: int, amount: int) -> None:
        """Staff corrects a balance."""
        seller = self.sellers[who]
        self.run(self.world.adjusts(amount, seller))
        self.adjusted[seller.id] += amount

    @precondition(lambda self: self.unfinished is None)
    @rule(
        who=st.integers(0, 1), part=st.integers(1, 120), stripe_is=st.sampled_from(["there", "poor", "away"])
    )
    def pays_out(self, who: int, part: int, stripe_is: str) -> None:
        """A payout: made, refused by Stripe, or interrupted."""
        seller = self.sellers[who]
        _, available, _ = self.run(self.world.balance(seller))
        amount = max(1, available * part // 100)
        command = self.world.pay_out(amount, seller, command_id=f"pay {next(_numbers)}")
        if amount > available:
            refused = self.run(self.world.refuses(command))
            assert refused[0] == "insufficient_balance", refused
            return
        if stripe_is == "away":
            self.world.stand_in.goes_away_after(0)
            assert self.run(self.world.bound.handle(command, self.world.now)).status == "failed"
            self.world.stand_in.comes_back()
            self.unfinished, self.unfinished_amount = command, amount
            self.sent[seller.id] += amount
            return
        self.run(self.has_money(0 if stripe_is == "poor" else 10**9))
        payout = self.run(self.world.does(command))["payout"]
        self.run(self.has_money(10**9))
        assert payout["status"] == ("failed" if stripe_is == "poor" else "paid")
        self.sent[seller.id] += amount if payout["status"] == "paid" else 0

    @precondition(lambda self: self.unfinished is not None)
    @rule()
    def sweeps(self) -> None:
        """An interrupted payout is finished, and asked for once more."""
        command, self.unfinished = self.unfinished, None
        assert command is not None
        first = self.run(self.world.does(command))
        assert self.run(self.world.does(command)) == first and first["payout"]["status"] == "paid"

    @rule(place=PLACES)
    def takes_back(self, place: int) -> None:
        """The platform reverses a transfer; Stripe's events come twice."""
        found = [one for one in self.transfers() if not one["reversed"]]
        if not found:
            return
        transfer = found[place % len(found)]
        api = stripe.StripeClient(SECRET_KEY, base_addresses={"api": self.world.stand_in.url}).v1
        api.transfers.reversals.create(transfer["id"])
        events = self.world.new_events()
        self.run(self.world.hears(*events, *reversed(events)))
        seller = next(one for one in self.sellers if self.account_id(one) == transfer["destination"])
        self.sent[seller.id] -= transfer["amount"]

    # -- what must hold -------------------------------------------------------------------------------------

    @invariant()
    def agrees_with_the_model(self) -> None:
        """Balances are what the model adds up; Stripe has what was sent."""
        for seller in self.sellers:
            pending, available, _ = self.run(self.world.balance(seller))
            earned = sum(one.owed(seller.id) - one.fees(seller.id) for one in self.invoices)
            wanted = earned + self.adjusted[seller.id] - self.sent[seller.id]
            assert pending + available == wanted, (seller.id, pending, available, wanted)
            if not self.disputed_ever:
                assert pending == self.held(seller.id)
            mine = [one for one in self.transfers() if one["destination"] == self.account_id(seller)]
            waiting = self.unfinished
            is_mine = waiting is not None and waiting.customer == seller
            not_there = self.unfinished_amount if is_mine else 0
            sent = sum(one["amount"] - one["amount_reversed"] for one in mine)
            assert sent == self.sent[seller.id] - not_there

    def held(self, seller: str) -> int:
        """What is held of a seller's shares, each by itself: a credit never is."""
        total = 0
        for invoice in self.invoices:
            if invoice.released:
                continue
            for share in invoice.shares.values():
                if share.seller == seller:
                    owed = floor(share.net * Fraction(share.percent, 100) * invoice.kept())
                    total += max(0, owed - share.fee)
        return total

    def some(self, place: int) -> ModelInvoice:
        """One of the invoices."""
        return self.invoices[place % len(self.invoices)]

    def tells(self, invoice: ModelInvoice, name: str) -> None:
        """An event with the invoice's present state."""
        invoice.version += 1
        is_disputed = invoice.dispute in ("open", "lost")
        fields = {
            "version": invoice.version,
            "total": invoice.total,
            "amount_refunded": invoice.refunded,
            "disputed": is_disputed,
            "amount_disputed": invoice.total if is_disputed else 0,
        }
        invoice.told.append((name, fields))
        self.run(self.world.invoice(name, invoice=invoice.number, **fields))

    def transfers(self) -> list[dict[str, Any]]:
        """Stripe's transfers to the two sellers."""
        found = self.world.stand_in.account.each("transfer")
        return [one for one in found if one["destination"] in self.accounts.values()]

    def account_id(self, seller: Customer) -> str:
        """Stripe's id of a seller's account."""
        return self.accounts[seller.id]

    async def has_money(self, opening: int) -> None:
        """Set the platform's own money at Stripe."""
        async with httpx.AsyncClient() as client:
            url = f"{self.world.stand_in.url}/_sandbox/balance"
            (await client.post(url, json={"opening": opening})).raise_for_status()
