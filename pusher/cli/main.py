"""The command `pusher`: its groups, its global options, and what an error becomes on the way out."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from typing import NoReturn

import click

import pusher
from pusher import log
from pusher.cli import (
    alerts,
    capture,
    central,
    demo,
    export,
    files,
    held,
    importing,
    key,
    logs,
    report,
    service,
    site,
    verify,
)
from pusher.cli.context import Context, Group
from pusher.errors import PusherError

_INTERRUPTED = 130
_OBJECTS_BETWEEN_COLLECTIONS = 50_000  # to look for garbage while modules load finds none and takes its time


class _Pusher(Group):
    """Ends as a shell expects where Ctrl-C ends it."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"pusher {pusher.__version__}")
        context.exit()


@click.group(cls=_Pusher, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--config", metavar="FILE", help="Else $PUSHER_CONFIG, ./synchronise.conf, /etc/pusher/synchronise.conf.")
@click.option("--verbose", "-v", is_flag=True, help="Log every step to standard error.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.pass_context
def app(context: click.Context, config: str | None, verbose: bool) -> None:
    """Pushes a collection site's database to a central one, exactly once, and lets anybody check that it did."""
    if verbose:
        log.configure(verbose=True)
    context.obj = Context(config_option=config, verbose=verbose)


for _command in (
    *(site.init, site.check, site.plan, site.run, site.status),
    *(verify.verify, held.held, capture.capture, alerts.alerts, service.service),
    *(files.files, export.export, export.decode, export.recover, report.report, report.combine, key.key),
    *(importing.import_, logs.logs),
    *(central.serve, central.token, central.db, demo.demo),
):
    app.add_command(_command)


def main() -> NoReturn:
    """The entry point: one clear line for every error, and its exit code.

    Ends at once: to take apart all that was loaded takes Python a tenth of a second.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    code = _run()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it, or it is closed
            code = code or 1
    os._exit(code)


def _run() -> int:
    try:
        app(prog_name="pusher")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except PusherError as error:
        for line in str(error).splitlines():
            print(f"pusher: {line}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has seen enough
        return 1
    except Exception as error:  # a fault of pusher's own
        logging.getLogger("pusher").debug("unexpected", exc_info=True)
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"pusher: {reason}; --verbose shows where, to report it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    main()
