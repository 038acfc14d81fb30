"""Processors written by hand, found by the name of an entry point or of a class."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from pusher.datacenter.processing import Processor
from pusher.errors import UsageError

_GROUP = "pusher.processors"


def find_entry(name: str) -> Processor | None:
    """The processor of an entry point of that name, or of "module:Class"; None if it is neither. Raises UsageError if
    it cannot be loaded."""
    found = next(iter(entry_points(group=_GROUP, name=name)), None)
    if found is None and ":" not in name:
        return None
    try:
        made = found.load()() if found else _loaded(name)()
    except Exception as error:
        raise UsageError(f"the processor {name} cannot be loaded: {type(error).__name__}: {error}") from error
    for needed in ("name", "fields", "apply"):
        if not hasattr(made, needed):
            raise UsageError(f"the processor {name} has no {needed}; see RowProcessor of pusher.datacenter.processing")
    processor: Processor = made
    processor.name = processor.name or name
    return processor


def _loaded(name: str) -> type[Processor]:
    module, _, attribute = name.partition(":")
    found: type[Processor] = getattr(import_module(module), attribute)
    return found
