"""Benefits: what a feature delivers to whoever has it, such as a file or an invitation to a chat."""

from pydantic import Field

from tallystick.messages.base import Code, Customer, Instant, Question, TolerantModel
from tallystick.messages.subscriptions.types import SERVICE


class Benefit(TolerantModel):
    """A benefit that a member has: opened by `open_benefit`, or a text."""

    feature: Code
    label: str
    text: str | None = Field(description="The text that is delivered; null: it is opened.")
    expires_at: Instant | None = Field(description="Known end of the entitlement; null: no end is known.")


class BenefitList(TolerantModel):
    """A member's benefits, by feature."""

    benefits: list[Benefit]


class OpenedBenefit(TolerantModel):
    """A benefit's address with a token that is valid for five minutes."""

    url: str
    expires_at: Instant


class ListBenefits(Question[BenefitList], service=SERVICE):
    """List the benefits of everything a member may use: their own, by a seat, or by an override."""

    member: Customer


class OpenBenefit(
    Question[OpenedBenefit], service=SERVICE, rejections=("not_entitled", "benefits_not_configured")
):
    """Return the address of a benefit with a token that proves the member's right to it.

    `not_entitled`: the member does not have the feature, or it opens nothing.
    """

    member: Customer
    feature: Code
