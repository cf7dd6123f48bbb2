"""Commands that grant units and revoke grants."""

from pydantic import Field

from tallystick.messages.base import Code, Command, EntityId, Instant, Text, TolerantModel
from tallystick.messages.consumables.balances import GrantSnapshot
from tallystick.messages.consumables.types import PRIORITY_DEFAULT, SERVICE, Account, Priority, Units


class Granted(TolerantModel):
    """Grant after the command."""

    grant: GrantSnapshot


class Grant(Command[Granted], service=SERVICE, rejections=("no_account", "unknown_feature")):
    """Grant units to an account manually."""

    account: Account
    feature: Code
    quantity: Units | None = Field(description="Units to grant; null: unlimited.")
    expires_at: Instant | None = Field(default=None, description="Absent: never expires.")
    priority: Priority = Field(default=PRIORITY_DEFAULT, description="Lower priorities are drawn first.")
    reason: Text


class RevokeGrant(Command[Granted], service=SERVICE):
    """Revoke the unused units of a grant. Repeating it changes nothing."""

    grant_id: EntityId
    reason: Text
