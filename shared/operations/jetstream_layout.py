"""Applies `deploy/streams.yaml` to JetStream: streams, buckets, durable consumers and tick schedules.

Only provisioning applies it. Workers declare nothing, so that two of them cannot disagree.
"""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import yaml
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    ConsumerConfig,
    ExternalStream,
    PersistMode,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)
from nats.js.errors import NotFoundError

from tallystick.subjects import SCHEDULES_STREAM

log = structlog.get_logger()

SCHEDULE_BODY = b"{}"
COPIED_FIELDS = (
    "name",
    "storage",
    "num_replicas",
    "max_age",
    "max_bytes",
    "max_msgs_per_subject",
    "allow_direct",
)
"""The fields of the original's configuration that a copy has too."""
COPY_API = "$JS.BILLING.API"
COPY_DELIVERY = "copies"
"""The API prefix by which the account READERS reaches the originals, and the subject of their delivery
(`deploy/nats.conf`)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The contents of `streams.yaml`, with settings filled in and defaults merged."""

    streams: dict[str, dict[str, Any]]
    consumers: dict[str, tuple[str, dict[str, Any]]]
    schedules: dict[str, dict[str, str]]
    copies: tuple[str, ...]
    """The streams of which the account of the readers has copies."""


def load_layout(path: Path, *, prefix: str, webhook_subject: str) -> Layout:
    """Read a layout file, replacing `{prefix}` and `{webhook_subject}`."""
    text = path.read_text().replace("{prefix}", prefix).replace("{webhook_subject}", webhook_subject)
    document = yaml.safe_load(text)
    streams = {
        name: document["stream_defaults"] | (entry or {}) | {"name": name}
        for name, entry in document["streams"].items()
    }
    for bucket, entry in document["buckets"].items():
        name = f"KV_{bucket}"
        own = {"name": name, "subjects": [f"$KV.{bucket}.>"]}
        streams[name] = document["stream_defaults"] | document["bucket_defaults"] | (entry or {}) | own
    consumers = {}
    for name, entry in document["consumers"].items():
        config = document["consumer_defaults"] | entry | {"durable_name": name, "name": name}
        consumers[name] = (config.pop("stream"), config)
    return Layout(streams, consumers, document["schedules"], tuple(document["copies"]))


async def apply_layout(connection: Client, layout: Layout) -> None:
    """Create missing objects and update different ones; applying a layout twice changes nothing."""
    jetstream = connection.jetstream()
    for name, config in layout.streams.items():
        await _remove_sourced_streams(jetstream, layout, name)
        await _apply_stream(jetstream, name, config)
    for name, (stream, config) in layout.consumers.items():
        # Creating a consumer that exists updates what may be updated and refuses the rest.
        await jetstream.add_consumer(stream, ConsumerConfig(**config))
        log.info("consumer", name=name, stream=stream)
    for subject, schedule in layout.schedules.items():
        await _apply_schedule(jetstream, subject, schedule)


async def apply_copies(readers: Client, billing: Client, layout: Layout) -> None:
    """Create the readers' missing copies, and recreate those whose original was recreated.

    `readers` is a connection of the user `readers`, `billing` one of `admin`.
    """
    jetstream, originals = readers.jetstream(), billing.jetstream()
    for name in layout.copies:
        original = await originals.stream_info(name)
        if await _exists(jetstream, name):
            copy = await jetstream.stream_info(name)
            if copy.created and original.created and copy.created > original.created:
                continue
            await jetstream.delete_stream(name)
            log.warning("copy removed, its original was made anew", name=name)
        await jetstream.add_stream(_copy_of(layout.streams[name]))
        log.info("copy created", name=name)


def _copy_of(config: dict[str, Any]) -> StreamConfig:
    kept = {field: config[field] for field in COPIED_FIELDS if field in config}
    source = StreamSource(name=config["name"], external=ExternalStream(api=COPY_API, deliver=COPY_DELIVERY))
    if kept["num_replicas"] == 1:
        # Messages that a crash loses are still in the original, from which the copy continues.
        kept["persist_mode"] = PersistMode.ASYNC
    return StreamConfig(**kept, mirror=source)


async def _remove_sourced_streams(jetstream: JetStreamContext, layout: Layout, name: str) -> None:
    """Remove the streams that copy from a stream which does not exist and is about to be created.

    They would continue at their position in the old stream and skip messages of the new one.
    """
    copies = [
        other
        for other, config in layout.streams.items()
        if any(source["name"] == name for source in config.get("sources", ()))
    ]
    if not copies or await _exists(jetstream, name):
        return
    for copy in copies:
        if await _exists(jetstream, copy):
            await jetstream.delete_stream(copy)
            log.warning("stream removed, its source is gone", name=copy, source=name)


async def _exists(jetstream: JetStreamContext, name: str) -> bool:
    try:
        await jetstream.stream_info(name)
    except NotFoundError:
        return False
    return True


def _source(source: dict[str, Any]) -> StreamSource:
    """Build a source that copies only the subjects in `only`, under the same or other names."""
    settings = {name: value for name, value in source.items() if name != "only"}
    only = source["only"]
    names = only if isinstance(only, dict) else {subject: _same_name(subject) for subject in only}
    kept = [SubjectTransform(src=here, dest=there) for here, there in names.items()]
    return StreamSource(**settings, subject_transforms=kept)


def _same_name(subject: str) -> str:
    """Return the transformation that keeps a subject's name; each `*` is named by its place."""
    places = itertools.count(1)
    return re.sub(r"\*", lambda _: f"{{{{wildcard({next(places)})}}}}", subject)


async def _apply_stream(jetstream: JetStreamContext, name: str, config: dict[str, Any]) -> None:
    sources = [_source(source) for source in config.get("sources", [])]
    wanted = StreamConfig(**(config | {"sources": sources or None}))
    try:
        present = (await jetstream.stream_info(name)).config
    except NotFoundError:
        await jetstream.add_stream(wanted)
        log.info("stream created", name=name)
        return
    have, want = present.as_dict(), wanted.as_dict()
    differing = sorted(field for field in config if have.get(field) != want.get(field))
    if differing:
        await jetstream.update_stream(present.evolve(**{field: getattr(wanted, field) for field in config}))
        log.info("stream updated", name=name, fields=differing)


async def _apply_schedule(jetstream: JetStreamContext, subject: str, schedule: dict[str, str]) -> None:
    headers = {"Nats-Schedule": schedule["every"], "Nats-Schedule-Target": schedule["target"]}
    try:
        present = await jetstream.get_last_msg(SCHEDULES_STREAM, subject)
    except NotFoundError:
        present = None
    have = (present.headers or {}) if present else {}
    if any(have.get(name) != value for name, value in headers.items()):
        replacing = headers | {"Nats-Rollup": "sub"}
        await jetstream.publish(subject, SCHEDULE_BODY, stream=SCHEDULES_STREAM, headers=replacing)
        log.info("schedule set", subject=subject, every=schedule["every"])
