"""Looks whether a location to import from is as it must be; makes no more than the folders of its storage."""

from __future__ import annotations

from collections.abc import Iterator

from pusher.config import Location, Settings
from pusher.datacenter.desk import Desk
from pusher.datacenter.mapping import propose
from pusher.errors import ConfigError


def probe(settings: Settings, location: Location) -> Iterator[str]:
    """A sentence for each thing that is well. Raises PusherError for the first that is not."""
    desk = Desk(settings, location)
    yield f"storage {desk.center.storage}: {len(desk.center.pending_files())} files wait"
    choice = desk.choice()
    fields = desk.fields(choice.processor, choice.mode)
    mapping = propose([header for header, _ in choice.map], fields, choice.map)
    faults = mapping.faults[:-1] if mapping.missing else mapping.faults  # what no header gives, is the last of them
    if faults:
        raise ConfigError([f"{settings.path}: [{location.name}] map: {'; '.join(faults)}"])
    wanted = ", ".join(field.name for field in fields if field.required)
    yield f"{choice.processor}, {choice.mode}: a file must give {wanted or 'nothing in particular'}"
