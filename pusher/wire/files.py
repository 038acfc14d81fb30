"""The messages by which files go to central over HTTP, and what one may hold."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import zstandard

from pusher.errors import ProtocolError
from pusher.wire.batch import Message, decode, decompress
from pusher.wire.forms import learn

SENDER = "Pusher-Sender"  # the header that tells the parts of one sender from those of others of its site
OFFSET = "Upload-Offset"  # where the bytes of a request begin, and in the answer where they end
SENDER_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}")
PART_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
MOST_NAMES = 1000  # in one request
MOST_LISTED = 10_000  # in one answer
MOST_BYTES = 16 << 20  # of one request, decompressed
CHUNK_BYTES = 8 << 20  # of a part in one request
STORE_BYTES = 8 << 20  # of one request with whole files, compressed
_LEVEL = 3
_MOMENT = 1 << 62

_Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Moment = Annotated[int, msgspec.Meta(ge=-_MOMENT, le=_MOMENT)]


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Files that are asked for. Relative to the site's folder, with `/`, as all names here."""

    names: Annotated[list[str], msgspec.Meta(max_length=MOST_NAMES)]


class FoundFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file at central. `modified`: whole seconds since 1970."""

    name: str
    size: int
    modified: int


class FoundFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Those that are there, of the names that were asked for."""

    files: list[FoundFile]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """Files in the order of their names, folder by folder. `after`: what to ask for next, None at the end."""

    files: list[FoundFile]
    after: str | None


class SizedPart(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    size: int


class SizedParts(msgspec.Struct, frozen=True, kw_only=True):
    """What of a sender has not become whole."""

    parts: list[SizedPart]


class Placing(msgspec.Struct, frozen=True, kw_only=True):
    """A part that is to become a file. `sha256`: what it must hold, in hexadecimal. `modified_ns`: since 1970.
    `replace`: what stands under its name may be overwritten."""

    part: str
    name: str
    modified_ns: _Moment
    sha256: _Sha256
    replace: bool


class WholeFile(msgspec.Struct, frozen=True, array_like=True):
    """A small file with its content; the rest as of `Placing`."""

    name: str
    content: bytes
    modified_ns: _Moment
    sha256: _Sha256
    replace: bool


class Storing(msgspec.Struct, frozen=True, kw_only=True):
    files: Annotated[list[WholeFile], msgspec.Meta(max_length=MOST_NAMES)]


class RefusedFile(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file was not stored. `occupied`: another has its name."""

    reason: str
    occupied: bool


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """Of each file in the order in which they came: None, or why it was refused."""

    refused: list[RefusedFile | None]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of an answer of hashes that could not be gone on with."""

    detail: str


# A line of an answer of hashes: what the file's content is, or that there is no such file.
Line = _Sha256 | Failure | None

learn(Names, FoundFile, FoundFiles, Listed, SizedParts, Placing, Storing, Stored, Failure)


def pack_files(storing: Storing) -> bytes:
    """As they go over the line: unlike JSON, MessagePack takes bytes as they are."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(msgspec.msgpack.encode(storing))


def unpack_files(raw: bytes) -> Storing:
    """Raises ProtocolError if it is not whole, not of this form, or too large."""
    try:
        return msgspec.msgpack.decode(decompress(_bounded(raw)), type=Storing)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"these are no files: {error}") from error


def unpack_request(raw: bytes, form: type[Message]) -> Message:
    """A request of another form, in JSON. Raises as `unpack_files` does."""
    return decode(_bounded(raw), form)


def _bounded(raw: bytes) -> bytes:
    """What swells to no more than MOST_BYTES: one that does not tell its size reads as 2^64 - 1."""
    try:
        size = zstandard.get_frame_parameters(raw).content_size
    except zstandard.ZstdError as error:
        raise ProtocolError(f"the message is damaged: {error}") from error
    if size > MOST_BYTES:
        raise ProtocolError(f"a message of more than {MOST_BYTES} bytes, or one that does not tell its size")
    return raw
