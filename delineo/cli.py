"""The command line: which commands there are, and how errors end them."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .commands import (
    check,
    compare,
    demo,
    evaluate,
    export,
    models,
    predict,
    report,
    serve,
    train,
    tune,
)
from .commands.console import print_error
from .errors import ConfigError, DelineoError


class Commands(TyperGroup):
    """Turns errors into one clean sentence and an exit code: 2 wrong usage, 1 a failure."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            print_error(str(error))
            raise typer.Exit(2) from error
        except DelineoError as error:
            print_error(str(error))
            raise typer.Exit(1) from error
        except OSError as error:
            trouble = _trouble(error)
            if trouble is None:
                raise
            print_error(trouble)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            print_error("interrupted; what was written so far is whole")
            raise typer.Exit(130) from error
        except Exception as error:
            error.add_note("This is a bug in Delineo. Please report it with the lines above.")
            raise


app = typer.Typer(
    cls=Commands,
    help="From a folder of images and masks to a segmentation model you can trust and ship.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _trouble(error: OSError) -> str | None:
    """What the system refused, in words; None where it may be a bug."""
    from .files import disk_is_full

    if error.filename is not None:
        return f"{error.filename}: {error.strerror}; check the path and its permissions"
    if disk_is_full(error):
        return "the disk is full. What was written before is whole; make room and try again"
    return None


def _version(asked: bool) -> bool:
    if asked:
        from . import __version__

        typer.echo(f"delineo {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def delineo(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command()(check.check)
app.command(epilog=train.EPILOG)(train.train)
app.command()(evaluate.evaluate)
app.command()(tune.tune)
app.command()(predict.predict)
app.command()(export.export)
app.command()(serve.serve)
app.command(epilog=compare.EPILOG)(compare.compare)
app.command()(report.report)
app.command(epilog=models.EPILOG)(models.models)
app.command()(demo.demo)


def main() -> None:
    app()
