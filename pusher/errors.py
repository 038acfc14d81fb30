"""Every error that pusher raises on purpose.

    PusherError                      exit code 1
    ├── UsageError                   2   wrong use of the command line
    ├── ConfigError                  2   synchronise.conf is at fault; carries every fault at once
    ├── AccessRefused                2   central, or an SSH host on the way, does not let us in or is not to be trusted
    ├── Unreachable                  3   a side cannot be reached; worth trying again
    │   ├── SourceUnreachable            the site's own database, its files, or where answers are
    │   ├── CentralUnreachable           central; may carry retry_after_seconds
    │   └── DestinationUnreachable       where files go
    ├── AlreadyRunning               4   another instance uses the same state folder
    ├── SchemaMismatch               1   a table cannot be pushed as the two schemas stand
    ├── MappingConflict              1   rows that must agree on both sides do not
    ├── SuddenlyEmpty                1   a side holds nothing any more where it held rows
    ├── SequenceConflict             1   central is not where this site believes it to be
    ├── WriteFailed                  1   what came cannot be written down
    │   └── ArchiveDamaged               what was written down is not what it was
    ├── FileRefused                  1   one file cannot go where it should
    │   └── Occupied                     another file has its name there
    └── ProtocolError                1   a message that cannot be understood

A row that a database refuses is not an error of a run: it is a `Refusal` in a receipt, and held.
"""

from __future__ import annotations

from collections.abc import Sequence


class PusherError(Exception):
    """Base of all; `exit_code` is what the command line ends with."""

    exit_code = 1
    retry_after_seconds: float | None = None


class UsageError(PusherError):
    exit_code = 2


class ConfigError(PusherError):
    """One or more faults of the configuration, each a full line of text naming its place."""

    exit_code = 2

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class AccessRefused(PusherError):
    exit_code = 2


class Unreachable(PusherError):
    exit_code = 3


class SourceUnreachable(Unreachable):
    pass


class CentralUnreachable(Unreachable):
    """`retry_after_seconds`: what central asked for (HTTP Retry-After), or None."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class DestinationUnreachable(Unreachable):
    pass


class AlreadyRunning(PusherError):
    exit_code = 4


class SchemaMismatch(PusherError):
    pass


class MappingConflict(PusherError):
    pass


class SuddenlyEmpty(PusherError):
    pass


class SequenceConflict(PusherError):
    """`expected`: the sequence number that central will take next."""

    def __init__(self, message: str, expected: int) -> None:
        super().__init__(message)
        self.expected = expected


class WriteFailed(PusherError):
    pass


class ArchiveDamaged(WriteFailed):
    pass


class FileRefused(PusherError):
    pass


class Occupied(FileRefused):
    pass


class ProtocolError(PusherError):
    pass
