"""The command `pusher`: its groups, its global options, and what an error becomes on the way out."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

import pusher
from pusher import log
from pusher.cli import capture, central, demo, held, service, site, verify
from pusher.cli.context import Context
from pusher.errors import PusherError

app = typer.Typer(
    help="Pushes a collection site's database to a central one, exactly once, and lets anybody check that it did.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # whose help takes three times as long to come
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
site.add_to(app)
verify.add_to(app)
held.add_to(app)
capture.add_to(app)
service.add_to(app)
central.add_to(app)
demo.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pusher {pusher.__version__}")
        raise typer.Exit


@app.callback()
def _globals(
    context: typer.Context,
    config: Annotated[
        str | None,
        typer.Option(help="Else $PUSHER_CONFIG, ./synchronise.conf, /etc/pusher/synchronise.conf.", metavar="FILE"),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step to standard error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    if verbose:
        log.configure(verbose=True)
    context.obj = Context(config_option=config, verbose=verbose)


def main() -> None:
    """The entry point: one clear line for every error, and its exit code."""
    try:
        app(standalone_mode=True)
    except PusherError as error:
        for line in str(error).splitlines():
            print(f"pusher: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has seen enough
        sys.exit(1)
    except Exception as error:  # a fault of pusher's own
        logging.getLogger("pusher").debug("unexpected", exc_info=True)
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"pusher: {reason}; --verbose shows where, to report it", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    sys.argv[0] = str(Path(sys.argv[0]).parent / "pusher")
    main()
