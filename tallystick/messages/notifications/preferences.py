"""Preferences of a recipient: address, language, and the kinds they do not want."""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints, model_validator

from tallystick.messages.base import Command, Customer, Email, Question, TolerantModel
from tallystick.messages.notifications.types import SERVICE, Kind, Language

LINK_MAX_CHARACTERS = 500
Link = Annotated[str, StringConstraints(min_length=1, max_length=LINK_MAX_CHARACTERS)]
"""Signed token from a mail, which names the recipient and expires."""


class Preferences(TolerantModel):
    """Preferences of one recipient."""

    customer: Customer | None = Field(description="Null for somebody who was invited by address.")
    email: str | None = Field(description="Address that was set here; null: the registered one.")
    language: Language | None = Field(description="Null: the default language of the installation.")
    kinds: dict[Kind, bool] = Field(description="Every kind that can be switched off, and whether it is on.")
    mandatory: list[Kind] = Field(description="Kinds that are always sent.")
    bounced: bool = Field(description="The address was refused for good; set it again to try once more.")


class PreferencesFound(TolerantModel):
    """Preferences after the command, or as queried."""

    preferences: Preferences
    kind: Kind | None = Field(default=None, description="Kind of the mail that the link is from.")


class SetPreferences(
    Command[PreferencesFound], service=SERVICE, rejections=("kind_mandatory", "link_invalid", "invalid_email")
):
    """Set a recipient's preferences; what is absent stays as it is.

    Give the customer, or the signed link from a mail, which cannot change the address.
    """

    customer: Customer | None = None
    link: Link | None = Field(default=None, description="In place of the customer.")
    email: Email | None = Field(default=None, description="Setting it ends the suppression after a bounce.")
    language: Language | None = None
    kinds: dict[Kind, bool] | None = None

    secrets: ClassVar[frozenset[str]] = frozenset({"link"})

    @model_validator(mode="after")
    def _require_one(self) -> "SetPreferences":
        _require_one(self.customer, self.link)
        if self.link is not None and self.email is not None:
            raise ValueError("a link cannot change the address")
        return self


class GetPreferences(Question[PreferencesFound], service=SERVICE, rejections=("link_invalid",)):
    """Get the preferences of a customer, or of the recipient that a signed link names."""

    customer: Customer | None = None
    link: Link | None = None

    @model_validator(mode="after")
    def _require_one(self) -> "GetPreferences":
        _require_one(self.customer, self.link)
        return self


def _require_one(customer: Customer | None, link: str | None) -> None:
    if (customer is None) == (link is None):
        raise ValueError("give either customer or link")
