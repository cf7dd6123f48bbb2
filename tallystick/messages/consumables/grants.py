"""Commands that give units and take them back."""

from pydantic import Field

from tallystick.messages.base import Code, Command, EntityId, Instant, Text, Told
from tallystick.messages.consumables.balances import GrantSnapshot
from tallystick.messages.consumables.types import PRIORITY_DEFAULT, SERVICE, Account, Priority, Units


class Granted(Told):
    """A grant, as made or as taken back."""

    grant: GrantSnapshot


class Grant(Command[Granted], service=SERVICE, rejections=("no_account", "unknown_feature")):
    """Give units to an account by hand."""

    account: Account
    feature: Code
    quantity: Units | None = Field(description="Null: unlimited.")
    expires_at: Instant | None = Field(default=None, description="Absent: never.")
    priority: Priority = Field(default=PRIORITY_DEFAULT, description="The lowest is used first.")
    reason: Text


class RevokeGrant(Command[Granted], service=SERVICE):
    """Take back what is left of a grant; what was used of it stays used. Again: the same."""

    grant_id: EntityId
    reason: Text
