"""Messages of `payouts`: sellers' connected accounts, what they earn, and what is paid out to them."""

from tallystick.messages.payouts.accounts import (
    AccountConnected,
    AccountFound,
    BankPayout,
    ConnectAccount,
    GetAccount,
    OpenOnboarding,
    OpenSellerDashboard,
    PayoutAccountEvent,
    PayoutAccountSnapshot,
    PayoutSchedule,
    Requirements,
    SellerPageOpened,
)
from tallystick.messages.payouts.types import HOLD_DAYS_MAX, SERVICE, Country, Every, HoldDays, Seller

__all__ = [
    "HOLD_DAYS_MAX",
    "SERVICE",
    "AccountConnected",
    "AccountFound",
    "BankPayout",
    "ConnectAccount",
    "Country",
    "Every",
    "GetAccount",
    "HoldDays",
    "OpenOnboarding",
    "OpenSellerDashboard",
    "PayoutAccountEvent",
    "PayoutAccountSnapshot",
    "PayoutSchedule",
    "Requirements",
    "Seller",
    "SellerPageOpened",
]
