"""Signs an application in at Microsoft, for the tokens that Graph wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pusher.errors import AccessRefused, ConfigError, DestinationUnreachable

LOGIN_URL = "https://login.microsoftonline.com"
_SCOPE = "https://graph.microsoft.com/.default"
_SILENT_SECONDS = 60
_MOST_CHARACTERS = 300
_PASSING = ("temporarily_unavailable", "server_error")


def msal_tokens(tenant: str, client_id: str, secret: str, authority: str = LOGIN_URL) -> Callable[[], str]:
    """What gives a token each time it is called: the one it has, until that runs out. Nothing is asked before the
    first time, and then it raises AccessRefused, DestinationUnreachable.

    Raises ConfigError if msal is not installed.
    """
    try:
        import msal  # type: ignore[import-untyped]  # of the extra, and slow to load
    except ImportError:
        raise ConfigError(
            ["to = sharepoint:// needs the package msal, which is not installed; install pusher[sharepoint]"]
        ) from None
    application: Any = None

    def token() -> str:
        nonlocal application
        try:
            application = application or msal.ConfidentialClientApplication(
                client_id,
                client_credential=secret,
                authority=f"{authority}/{tenant}",
                instance_discovery=False,  # the authority is ours: nobody need vouch for it
                timeout=_SILENT_SECONDS,
            )
            answer = application.acquire_token_for_client([_SCOPE])
        except OSError as error:  # all that requests raises
            raise DestinationUnreachable(
                f"{authority} cannot be reached: {_brief(error)}; is the network up?"
            ) from error
        except ValueError as error:
            raise AccessRefused(f"{authority} knows no tenant {tenant}: {_brief(error)}; correct tenant") from error
        if "access_token" in answer:
            return str(answer["access_token"])
        why = _brief(answer.get("error_description") or answer.get("error") or "it gives no reason")
        if answer.get("error") in _PASSING:
            raise DestinationUnreachable(f"{authority} signs nobody in: {why}; it is tried again")
        raise AccessRefused(
            f"{authority} does not sign in the application {client_id}: {why}; correct client_id and client_secret"
        )

    return token


def _brief(said: object) -> str:
    """The first line: what follows is of use to Microsoft alone."""
    return (str(said).splitlines() or [""])[0][:_MOST_CHARACTERS].rstrip(". ")
