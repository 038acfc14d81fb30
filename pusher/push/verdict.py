"""What a comparison of both sides found."""

from __future__ import annotations

import msgspec

EQUAL = "equal"


class TableVerdict(msgspec.Struct, kw_only=True):
    """How one table compares. Keys are JSON arrays: the site's own, but of `only_central` central's where a natural
    key names the row. `deep`: all rows were read, not only what both sides noted of them. `here`, `there`: rows.
    `parts`: fingerprints that were compared. `bytes_on_wire`: both ways. `lossy`: columns that are narrower at central;
    `drift`: columns that only one side has. `incomplete`: there are more differences than listed."""

    table: str
    role: str
    deep: bool = True
    here: int = 0
    there: int = 0
    missing: list[str] = msgspec.field(default_factory=list)
    different: list[str] = msgspec.field(default_factory=list)
    only_central: list[str] = msgspec.field(default_factory=list)
    held: int = 0
    parts: int = 0
    bytes_on_wire: int = 0
    seconds: float = 0.0
    lossy: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    incomplete: bool = False
    stopped: str | None = None

    @property
    def verdict(self) -> str:
        if self.stopped:
            return "stopped"
        return "different" if self.incomplete or self.missing or self.different or self.only_central else EQUAL
