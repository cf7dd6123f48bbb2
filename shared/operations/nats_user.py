"""Adds a user for one team or program to `deploy/nats.conf`, with exactly the subjects that it needs.

    python -m shared.operations.nats_user NAME --publish SUBJECT … --consume ENTITY … [--write FILE]

The user gets a NATS account of its own. For each consumed entity it has one durable consumer, `NAME-ENTITY`,
which no other user can read, change or delete, and which is the only one that it can. Without `--write` the
lines are printed and nothing is changed.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.persistence.migrations import ROOT

EVERYTHING = "all"
"""The entity that stands for the whole change feed; its consumer is `NAME-all`."""
FEED = "BILLING_CHANGE_FEED"
ACCOUNTS_MARKER = "  # Accounts added by `./dev nats-user`."
DENIALS_MARKER = "              # Consumers of users added by `./dev nats-user`."
_NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")
_ENTITY = re.compile(r"[a-z][a-z_]*")
_SUBJECT = re.compile(r"(?P<prefix>[\w-]+)\.(commands|requests)\.[a-z_]+\.[a-z_]+")
_INTERNAL = re.compile(r"user: client,.*?deny: \[(.*?)\]", re.DOTALL)
DEPLOYED = ROOT / "deploy" / "nats.conf"


class NotPossible(ValueError):
    """The user cannot be added; the text says why and what to do."""


@dataclass(frozen=True)
class NatsUser:
    """A user to add: the subjects it publishes to and the entities whose events it consumes."""

    name: str
    publish: Sequence[str] = ()
    consume: Sequence[str] = ()
    prefix: str = "billing"

    def __post_init__(self) -> None:
        """Check the names, which become subjects and keys of the configuration. Raises `NotPossible`."""
        if not _NAME.fullmatch(self.name):
            raise NotPossible(f"{self.name!r} is not a name: 2 to 31 of a-z, 0-9 and _, a letter first.")
        for subject in self.publish:
            match = _SUBJECT.fullmatch(subject)
            if match is None or match["prefix"] != self.prefix:
                raise NotPossible(
                    f"{subject!r} is not a command or question: "
                    f"use {self.prefix}.commands.SERVICE.NAME or {self.prefix}.requests.SERVICE.NAME."
                )
        for entity in self.consume:
            if not _ENTITY.fullmatch(entity):
                raise NotPossible(f"{entity!r} is not an entity of the feed, such as `subscription`.")
        if not self.publish and not self.consume:
            raise NotPossible("A user that may do nothing: name subjects to publish or entities to consume.")

    @property
    def password_variable(self) -> str:
        """The environment variable of nats-server with the password."""
        return f"NATS_{self.name.upper()}_PASSWORD"

    @property
    def durables(self) -> dict[str, str]:
        """The durable consumers, with the filter subject of each."""
        return {f"{self.name}-{entity}": self._filter(entity) for entity in self.consume}

    def _filter(self, entity: str) -> str:
        # As the client writes it: JetStream compares the text with that of the API subject.
        feed = f"{self.prefix}.change_feed"
        return f"{feed}.>" if entity == EVERYTHING else f"{feed}.{entity}.*.*"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print or write the lines of a new user."""
    parser = argparse.ArgumentParser(
        prog="./dev nats-user", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="the user's name and the prefix of its consumers")
    parser.add_argument("--publish", nargs="+", default=[], metavar="SUBJECT", help="commands and questions")
    parser.add_argument("--consume", nargs="+", default=[], metavar="ENTITY", help=f"or `{EVERYTHING}`")
    parser.add_argument("--prefix", default="billing", help="SUBJECT_PREFIX of the installation")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the nats.conf to add the user to")
    options = parser.parse_args(arguments)
    try:
        user = NatsUser(options.name, options.publish, options.consume, options.prefix)
        if options.write:
            options.write.write_text(with_user(options.write.read_text(), user))
        else:
            with_user(DEPLOYED.read_text(), user)
    except NotPossible as problem:
        parser.exit(2, f"{problem}\n")
    sys.stdout.write(_written(user, options.write) if options.write else _printed(user))


def with_user(configuration: str, user: NatsUser) -> str:
    """Add the user to the configuration. Raises `NotPossible` where it exists or no place is marked."""
    if re.search(rf"user: {user.name},|^  {_account(user)} \{{", configuration, re.MULTILINE):
        raise NotPossible(
            f"There is a user {user.name} already: remove its lines first to change what it may do."
        )
    internal = _INTERNAL.search(configuration)
    if internal and (refused := [name for name in user.publish if f'"{name}"' in internal[1]]):
        raise NotPossible(f"Only services may send {', '.join(refused)}.")
    for marker in (ACCOUNTS_MARKER, DENIALS_MARKER):
        if marker not in configuration:
            raise NotPossible(
                f"The file lacks the line {marker.strip()!r}: print the lines and add them by hand."
            )
    changed = configuration.replace(ACCOUNTS_MARKER, f"{ACCOUNTS_MARKER}\n{account_block(user)}")
    if user.consume:
        changed = changed.replace(DENIALS_MARKER, f"{DENIALS_MARKER}\n{denials(user)}")
    return changed


def account_block(user: NatsUser) -> str:
    """Return the account of the user."""
    imports = [
        *(f'{{ service: {{ account: BILLING, subject: "{subject}" }} }}' for subject in user.publish),
        *(f'{{ stream: {{ account: BILLING, subject: "{subject}" }} }}' for subject in _heard(user)),
        '{ service: { account: BILLING, subject: "nowhere.>" }, to: "$JS.API.>" }',
        *(f'{{ service: {{ account: READERS, subject: "{subject}" }} }}' for subject in _consuming(user)),
    ]
    return f"""\
  {_account(user)} {{
    imports: [
{_lines(imports, 6)}
    ]
    users: [
      {{
        user: {user.name}, password: ${user.password_variable}
        permissions: {{
          publish: {{
            allow: [
{_lines(_quoted([*user.publish, *_consuming(user)]), 14)}
            ]
          }}
          subscribe: {{ allow: [{", ".join(_quoted(["_INBOX.>", f"_INBOX_{user.name}.>", *_heard(user)]))}] }}
        }}
      }}
    ]
  }}"""


def denials(user: NatsUser) -> str:
    """Return what every other reader of the feed is denied, so that the consumers are this user's alone."""
    subjects = []
    for durable in user.durables:
        subjects += [
            f"$JS.API.CONSUMER.*.{FEED}.{durable}",
            f"$JS.API.CONSUMER.CREATE.{FEED}.{durable}.>",
            f"$JS.API.CONSUMER.*.*.{FEED}.{durable}",
            f"$JS.ACK.{FEED}.{durable}.>",
        ]
    return _lines(_quoted(subjects), 14)


def _consuming(user: NatsUser) -> list[str]:
    """Return the API subjects of the user's own consumers, none of which names another one."""
    if not user.consume:
        return []
    subjects = [f"$JS.API.STREAM.INFO.{FEED}"]
    for durable, filtered in user.durables.items():
        subjects += [
            f"$JS.API.CONSUMER.CREATE.{FEED}.{durable}.{filtered}",
            f"$JS.API.CONSUMER.INFO.{FEED}.{durable}",
            f"$JS.API.CONSUMER.DELETE.{FEED}.{durable}",
            f"$JS.API.CONSUMER.MSG.NEXT.{FEED}.{durable}",
            f"$JS.ACK.{FEED}.{durable}.>",
        ]
    return subjects


def _heard(user: NatsUser) -> list[str]:
    """Return the subjects of the feed for plain subscriptions without a consumer."""
    feed = f"{user.prefix}.change_feed"
    return [f"{feed}.>" if entity == EVERYTHING else f"{feed}.{entity}.>" for entity in user.consume]


def _account(user: NatsUser) -> str:
    return f"USER_{user.name.upper()}"


def _quoted(subjects: Sequence[str]) -> list[str]:
    return [f'"{subject}"' for subject in subjects]


def _lines(items: Sequence[str], indentation: int) -> str:
    return "\n".join(" " * indentation + item for item in items)


def _printed(user: NatsUser) -> str:
    parts = [f"# 1. Under the line {ACCOUNTS_MARKER.strip()!r}:", account_block(user)]
    if user.consume:
        parts += [f"# 2. Under each line {DENIALS_MARKER.strip()!r}:", denials(user)]
    return "\n".join([*parts, _next_steps(user)])


def _written(user: NatsUser, file: Path) -> str:
    return f"{user.name} is in {file}.\n{_next_steps(user)}"


def _next_steps(user: NatsUser) -> str:
    steps = [
        f"# Set {user.password_variable} for nats-server, a letter first, and reload it.",
        *(f"# Durable consumer {name!r} reads {subject}." for name, subject in user.durables.items()),
    ]
    return "\n".join(steps) + "\n"


if __name__ == "__main__":
    main()
