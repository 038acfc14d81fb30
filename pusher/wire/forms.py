"""What msgspec has to know of a form before it decodes one."""

from __future__ import annotations

import msgspec


def learn(*forms: type[msgspec.Struct]) -> None:
    """To be called as a module is loaded, with all forms that are decoded from it.

    msgspec looks at a form when the first message of it is decoded. Where two threads are the first at the same
    moment, one of them uses what the other has not finished, and the interpreter crashes.
    """
    for form in forms:
        msgspec.json.Decoder(form)
