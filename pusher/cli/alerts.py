"""The commands `pusher alerts`: what is wrong and waits to be told, and a test of each way."""

from __future__ import annotations

import sys

import click

from pusher.cli.context import Context, Group, as_json, print_json, print_table, say


@click.group(cls=Group)
def alerts() -> None:
    """Who is told what is wrong: [alerts] of the configuration, or of the file for `serve --alerts`."""


@alerts.command("list")
@as_json
@click.pass_obj
def list_(context: Context, json: bool) -> None:
    """Show what is wrong now, and the messages that no mail server or webhook has taken yet. Ends 1 if there is any."""
    from pusher.alerts.listing import listed
    from pusher.config import load_alerts

    found = listed(load_alerts(context.config_path()))
    if json:
        print_json(found)
    elif not found.causes and not found.outbox:
        say("nothing is wrong, and no message waits")
    if found.causes and not json:
        rows = [(f"{each.since:%Y-%m-%d %H:%M}", each.cause, each.text, _told(each.told)) for each in found.causes]
        print_table("wrong now", ("since", "cause", "what", "message made"), rows)
    if found.outbox and not json:
        waiting = [(f"{m.made:%Y-%m-%d %H:%M}", m.way, m.title, m.attempts, m.fault or "") for m in found.outbox]
        print_table("waiting to be sent", ("made", "way", "message", "tried", "why not yet"), waiting)
    sys.exit(int(bool(found.causes or found.outbox)))


def _told(moment: object) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "not yet"


@alerts.command()
@as_json
@click.pass_obj
def test(context: Context, json: bool) -> None:
    """Send one message by mail and by webhook, as far as [alerts] names them, and say which was taken."""
    from pusher.alerts.hearing import local_now
    from pusher.alerts.listing import send_test
    from pusher.config import load_alerts

    settings = load_alerts(context.config_path())
    assert settings.alerts  # else `load_alerts` has said so
    found = list(send_test(settings.alerts, settings.general.site, local_now()))
    if json:
        print_json([{"way": way, "fault": str(error) if error else None} for way, error in found])
    else:
        for way, error in found:
            say(f"FAIL {way}: {error}" if error else f"ok   {way}: a test is sent")
    sys.exit(max(error.exit_code if error else 0 for _, error in found))
