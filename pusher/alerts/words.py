"""The words of a message: its subject and its text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from pusher.alerts.state import Item, Message, Total

_LONGEST_TEXT = 500
_LONGEST_SUBJECT = 120
_LISTED = 20
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
UNCOMPARED = ("export", "import")  # kinds whose runs are proof enough
_SENT = {"push": "rows sent", "files": "files copied", "export": "rows archived", "import": "rows imported"}


def one_line(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Without line ends and what else a terminal or a mail server would take for more than text."""
    plain = " ".join("".join(each if each.isprintable() else " " for each in text[: 2 * longest]).split())
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def duration(seconds: float) -> str:
    """`2 hours 5 minutes`: the two largest units."""
    left = round(max(seconds, 0))
    parts: list[str] = []
    for name, size in _UNITS:
        count, left = divmod(left, size)
        if count or (parts and len(parts) < 2):
            parts.append(f"{count} {name}{'s' * (count != 1)}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "less than a second"


def shown(moment: dt.datetime, now: dt.datetime) -> str:
    """A moment in the time of `now`: the day only if it is another one."""
    local = moment.astimezone(now.tzinfo)
    return f"{local:%H:%M}" if local.date() == now.date() else f"{local:%Y-%m-%d %H:%M}"


def subject(message: Message, site: str) -> str:
    return one_line(f"pusher {site}: {headline(message)}", _LONGEST_SUBJECT)


def headline(message: Message) -> str:
    items = message.items
    if message.kind == "test":
        return "a test: alerts arrive"
    if message.kind == "digest":
        return f"summary: {_counts(items)}" if items else "summary: all is well"
    if message.kind == "quiet":
        return f"during quiet hours: {_counts(items)}"
    if message.everywhere:
        return "no site reports" if items[0].what == "unheard" else "every location fails"
    if len(items) == 1:
        over = f"over after {duration(items[0].seconds or 0)}: " if message.kind == "end" else ""
        return f"{over}{items[0].where}: {items[0].text}"
    scopes = ", ".join(dict.fromkeys(item.scope for item in items))
    many = {"begin": f"{len(items)} faults", "end": f"{len(items)} faults are over"}
    return f"{many.get(message.kind, f'{len(items)} notices')}: {scopes}"


def _counts(items: Sequence[Item]) -> str:
    words = {"begin": "open", "end": "over", "brief": "came and went", "notice": "to know"}
    counts = {word: sum(item.kind == kind for item in items) for kind, word in words.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def body(message: Message) -> str:
    """The whole text, in lines."""
    if message.kind == "test":
        return "This is a test of [alerts]. Nothing is wrong.\n"
    lines = [headline(message) + "."] if message.everywhere else []
    lines += [_line(item, message.made) for item in message.items[:_LISTED]]
    if len(message.items) > _LISTED:
        lines.append(f"and {len(message.items) - _LISTED} more: pusher alerts list")
    lines += _totals(message.totals, message.made)
    return "\n".join(lines) + "\n"


def _line(item: Item, now: dt.datetime) -> str:
    if item.kind == "notice":
        return f"{item.where}: {item.text}"
    if item.kind == "begin":
        again = f" Before, it came and went {_times(item.times)} without a message." if item.times else ""
        return f"{item.where}: {item.text}. Since {shown(item.since, now)}.{again}"
    lasted = f"from {shown(item.since, now)} to {shown(item.over or now, now)}, {duration(item.seconds or 0)}"
    if item.kind == "brief":
        often = f"came and went {_times(item.times)}, " if item.times > 1 else "came and went, "
        return f"{item.where}: {often}{lasted}{' in all' if item.times > 1 else ''}. It was: {item.text}"
    over = "is no longer watched" if item.withdrawn else "is over"
    return f"{item.where}: {over}: {lasted}. It was: {item.text}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _totals(totals: Sequence[Total], now: dt.datetime) -> Iterator[str]:
    for total in totals:
        tally = total.tally
        verified = shown(dt.datetime.fromisoformat(total.verified), now) if total.verified else "never"
        failed = f" ({tally.failed} failed)" if tally.failed else ""
        yield (
            f"{total.scope}: {tally.sent:,} {_SENT.get(tally.kind, 'sent')}, {tally.held:,} held, "
            f"{tally.runs:,} run{'s' * (tally.runs != 1)}{failed}"
            + ("" if tally.kind in UNCOMPARED else f", last verified {verified}")
        )
