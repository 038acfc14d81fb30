"""Sends a message by mail."""

from __future__ import annotations

import datetime as dt
import logging
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

from pusher.alerts.state import Message
from pusher.alerts.words import body, one_line, subject
from pusher.config import AlertsSettings
from pusher.errors import AccessRefused, PusherError, Unreachable
from pusher.log import event

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 15.0
# No subject is folded, which would begin it with a blank, and each server takes what has no byte beyond ASCII.
_POLICY = policy.SMTP.clone(max_line_length=300, cte_type="7bit")
_SAID = 200  # of what a server answers


def letter(message: Message, settings: AlertsSettings, site: str, number: int) -> EmailMessage:
    """`number`: of the message in the outbox, so that one that comes twice can be known by its Message-ID."""
    mail = EmailMessage(policy=_POLICY)
    mail["Subject"] = subject(message, site)
    mail["From"] = settings.mail_from
    mail["To"] = ", ".join(settings.mail_to)
    mail["Date"] = format_datetime(message.made)
    made = message.made.astimezone(dt.UTC)
    mail["Message-ID"] = f"<{made:%Y%m%d%H%M%S}.{number}.{site}@{settings.mail_from.partition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(body(message))
    return mail


def send(message: Message, settings: AlertsSettings, site: str, number: int) -> None:
    """Returns when the server has taken it. Raises Unreachable, AccessRefused or PusherError."""
    mail = letter(message, settings, site, number)
    with signed_in(settings) as server:
        refused = server.send_message(mail, settings.mail_from, settings.mail_to)
    if refused:
        log.warning(event("alert_recipients_refused", recipients=", ".join(refused)))


@contextmanager
def signed_in(settings: AlertsSettings) -> Iterator[smtplib.SMTP]:
    """A session with the mail server; errors of what is done in it become ours."""
    host, port = settings.smtp or ("", 0)
    name = f"the mail server {host}:{port}"
    try:
        with _connected(settings, host, port) as server:
            if settings.smtp_user and settings.smtp_password:
                server.login(settings.smtp_user, settings.smtp_password.reveal())
            yield server
    except smtplib.SMTPAuthenticationError as error:
        raise AccessRefused(
            f"{name} refuses the login: {_said(error)}; correct smtp_user and smtp_password in [alerts]"
        ) from None  # its own words may repeat what was sent
    except smtplib.SMTPNotSupportedError as error:
        raise AccessRefused(
            f"{name} cannot do what is asked: {error}; correct starttls or smtp_user in [alerts]"
        ) from error
    except smtplib.SMTPRecipientsRefused as error:
        reasons = "; ".join(f"{to}: {code} {_plain(text)}" for to, (code, text) in error.recipients.items())
        raise PusherError(
            f"{name} takes no mail for {one_line(reasons, _SAID)}; correct mail_to in [alerts]"
        ) from error
    except smtplib.SMTPResponseException as error:
        raise PusherError(
            f"{name} refuses a mail: {_said(error)}; correct [alerts], or ask its administrator"
        ) from error
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or error
        raise Unreachable(f"{name}: TLS: {reason}; correct smtp, starttls or cafile in [alerts]") from error
    except (OSError, smtplib.SMTPException, UnicodeError) as error:  # the last of a host that can have no address
        reason = one_line(str(getattr(error, "strerror", None) or error), _SAID)
        raise Unreachable(f"{name} cannot be reached: {reason}; is smtp in [alerts] right, and is it up?") from error


def _connected(settings: AlertsSettings, host: str, port: int) -> smtplib.SMTP:
    if settings.starttls == "no":
        return smtplib.SMTP(host, port, timeout=_TIMEOUT_SECONDS)
    context = ssl.create_default_context(cafile=str(settings.cafile) if settings.cafile else None)
    if settings.starttls == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT_SECONDS, context=context)
    server = smtplib.SMTP(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server


def _said(error: smtplib.SMTPResponseException) -> str:
    return f"{error.smtp_code} {_plain(error.smtp_error)}"


def _plain(text: bytes | str) -> str:
    return one_line(text.decode(errors="replace") if isinstance(text, bytes) else str(text), _SAID)
