"""Takes an uploaded file off its form as it comes, onto the disk: of what is refused, and at the end, nothing stays."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from pusher import disk
from pusher.datacenter.names import check_name
from pusher.errors import FileRefused

_MOST_PARTS = 10
_HEAD_BYTES = 8 << 10  # of a part
_FIELD_BYTES = 1000
_FILE = "file"
_NO_FILE = "no file was chosen; choose one, and send it again"

Fields = dict[str, str]


class Upload:
    """A file that was received, and is in `folder` under its own name."""

    def __init__(self, folder: Path, admit: Callable[[Fields], None]) -> None:
        """`admit` raises HTTPException if a form with these fields brings no file."""
        self.path = folder
        self.name = ""
        self.fields: Fields = {}
        self.whole = False
        self._admit = admit
        self._stack = ExitStack()
        self._file: IO[bytes] | None = None  # while its part lasts
        self._parts = 0
        self._header, self._value, self._field, self._text = bytearray(), bytearray(), "", bytearray()
        self._disposition = b""

    def parser(self, boundary: bytes) -> MultipartParser:
        callbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._head(self._header, data[start:end]),
            "on_header_value": lambda data, start, end: self._head(self._value, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": lambda data, start, end: self._content(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        return MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def close(self) -> None:
        self._stack.close()

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise HTTPException(400, f"the form has more than {_MOST_PARTS} parts; send one file")
        self._disposition, self._text = b"", bytearray()

    def _head(self, held: bytearray, more: bytes) -> None:
        held += more
        if len(self._header) + len(self._value) > _HEAD_BYTES:
            raise HTTPException(400, f"a part of the form has a head of more than {_HEAD_BYTES:,} bytes")

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _begin_content(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode(errors="replace")
        if b"filename" not in options:
            return
        if self._field != _FILE or self.name:
            raise HTTPException(400, f"the form brings another file than one named {_FILE}; send just that")
        self._admit(self.fields)
        self.name = options[b"filename"].decode(errors="surrogateescape")
        if not self.name:
            raise FileRefused(_NO_FILE)
        check_name(self.name)
        self.path /= self.name
        with disk.writing(self.path):
            self._file = self._stack.enter_context(self.path.open("xb"))

    def _content(self, data: bytes) -> None:
        if self._file:
            with disk.writing(self.path):
                self._file.write(data)
            return
        self._text += data
        if len(self._text) > _FIELD_BYTES:
            raise HTTPException(400, f"a field of the form has more than {_FIELD_BYTES:,} bytes")

    def _end_part(self) -> None:
        if self._file:
            with disk.writing(self.path):
                self._file.close()
            self._file = None
        else:
            self.fields.setdefault(self._field, self._text.decode(errors="replace"))

    def _end(self) -> None:
        self.whole = True


@asynccontextmanager
async def uploaded(request: Request, admit: Callable[[Fields], None]) -> AsyncIterator[Upload]:
    """The file of a form, while the block lasts.

    `admit` raises HTTPException if the form's fields are not those of somebody who may send a file: it is called when
    the first byte of the file is there, so they stand before it. Raises HTTPException if it is no form, FileRefused if
    there is no file in it, or one of a name that none can have, WriteFailed if there is no room.
    """
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise HTTPException(415, f"send the file as a form: curl -F {_FILE}=@houses.csv")
    with tempfile.TemporaryDirectory(prefix="pusher-upload-") as folder:
        upload = Upload(Path(folder), admit)
        try:
            parser = upload.parser(options[b"boundary"])
            async for piece in request.stream():
                await run_in_threadpool(parser.write, piece)
        except FormParserError as error:
            raise HTTPException(400, f"the form cannot be understood: {error}") from error
        finally:
            upload.close()
        if not upload.whole:
            raise HTTPException(400, "the form ends in the middle; send it again")
        if not upload.name:
            raise FileRefused(_NO_FILE)
        yield upload
