"""`delineo` as people call it, within this process."""

from typer.testing import CliRunner

from delineo.cli import app


def cli(*arguments: object) -> tuple[int, str, str]:
    """cli("check", folder) -> (exit code, standard output, standard error); no traceback ever."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr
