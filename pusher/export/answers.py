"""What the web server sends, taken apart row by row without changing a character of a row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pusher.errors import ProtocolError

_BLANK = re.compile(r"[ \t\r\n]*")
_HASH_BYTES = 16


class Number(str):
    """A number as it was written: no digit of it is lost on the way through a binary one."""

    __slots__ = ()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One row. `text`: as it was sent, on one line. `hash`: of its content, whatever the order of its fields."""

    id: int
    hash: str
    text: str
    values: Mapping[str, Any]


def rows_of(body: bytes, *, numbered: bool = False) -> list[Answer]:
    """The objects of a JSON array, in the order of their ids. `numbered`: they have none, and get their places.

    Raises ProtocolError, which says what is wrong without repeating any of it.
    """
    found = []
    for place, (values, text) in enumerate(_objects(body), start=1):
        number = place if numbered else id_of(values)
        if number is None:
            raise ProtocolError(f"row {place} has no whole number as id")
        found.append(Answer(id=number, hash=hash_of(values), text=_on_one_line(text), values=values))
    found.sort(key=lambda answer: answer.id)
    return found


def _objects(body: bytes) -> Iterator[tuple[dict[str, Any], str]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProtocolError("it is not UTF-8") from error
    at = _past_blanks(text, 0)
    if text[at : at + 1] != "[":
        raise ProtocolError("it is no JSON array" + (", but an HTML page" if text[at : at + 1] == "<" else ""))
    at = _past_blanks(text, at + 1)
    while text[at : at + 1] != "]":
        value, end = value_at(text, at)
        if not isinstance(value, dict):
            raise ProtocolError("an entry of its array is no object")
        yield value, text[at:end]
        at = _past_blanks(text, end)
        if text[at : at + 1] == ",":
            at = _past_blanks(text, at + 1)
            if text[at : at + 1] == "]":
                raise ProtocolError("it ends early, or is no JSON")
        elif text[at : at + 1] != "]":
            raise ProtocolError("it ends early, or is no JSON")
    if _past_blanks(text, at + 1) != len(text):
        raise ProtocolError("it goes on behind its JSON array")


def value_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins there, and where it ends; numbers are Numbers. Raises ProtocolError."""
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("it ends early, or is no JSON") from error


def _past_blanks(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _on_one_line(text: str) -> str:
    """Line breaks stand between the parts of JSON alone, never within a string."""
    return text.replace("\r", " ").replace("\n", " ")


def id_of(values: Mapping[str, Any]) -> int | None:
    """The row's number, None if it has none."""
    value = values.get("id")
    if isinstance(value, Number) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    return None


def hash_of(values: Mapping[str, Any]) -> str:
    """BLAKE2b-128 of the row's `json_of`: the order of its fields makes no difference."""
    return blake2b(json_of(values).encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest()


_quoted: Callable[[str], str] = json.encoder.encode_basestring


def json_of(value: Any) -> str:
    """JSON with fields sorted by name and numbers as they were written."""
    if isinstance(value, Number):
        return value
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(name)}:{json_of(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(json_of, value)) + "]"
    return {True: "true", False: "false", None: "null"}[value]
