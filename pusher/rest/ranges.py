"""`Range: items=A-B`, by which old clients ask for a part of a list: from A to before B."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"\s*items\s*=\s*(\d{1,18})\s*-\s*(\d{1,18})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Items:
    first: int
    behind: int

    @property
    def rows(self) -> int:
        return self.behind - self.first

    def content_range(self, total: int) -> str:
        """As it was asked, also where there is less: old clients read only what stands behind the slash."""
        return f"items {self.first}-{self.behind}/{total}"


def asked(header: str | None) -> Items | None:
    """None if there is no Range, or none that makes sense: it is then ignored."""
    found = _RANGE.fullmatch(header or "")
    if not found:
        return None
    items = Items(int(found[1]), int(found[2]))
    return items if items.rows >= 0 else None
