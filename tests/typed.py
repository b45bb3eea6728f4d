"""Commands as a person types them, in this process."""

from typer.testing import CliRunner

from spikemba_cli.main import app


def run(*arguments):
    """What the app answers; nothing but the expected errors may come out of it."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def fails_in_one_line(*arguments):
    """The one line on stderr of a command that exits with 1 and prints nothing else."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]
