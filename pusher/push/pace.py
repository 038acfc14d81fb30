"""How many rows a batch has, so that its receipt comes within some seconds: what is lost with a line is sent again.

What a batch waits at central behind those of other sites does not count: smaller ones would make that queue longer.
"""

from __future__ import annotations

_FIRST_ROWS = 5000
_LEAST_ROWS = 100
_LONG_SECONDS = 15.0
_SHORT_SECONDS = 3.0


class Pace:
    def __init__(self, most: int) -> None:
        """`most`: rows that no batch exceeds."""
        self._most = most
        self._rows = min(_FIRST_ROWS, most)

    def rows(self) -> int:
        """How many rows the next batch may have."""
        return self._rows

    def took(self, seconds: float, rows: int) -> None:
        """Learns how long a batch of `rows` was on the line and in work."""
        if seconds > _LONG_SECONDS:
            self._rows = max(min(_LEAST_ROWS, self._most), min(self._rows, rows // 2))
        elif seconds < _SHORT_SECONDS and rows == self._rows:
            self._rows = min(self._rows * 2, self._most)
