"""The command line on tiny images."""

from typer.testing import CliRunner

from examples.images.__main__ import app

TINY = ["--level", "lowpass:8", "--channels", "8,16", "--batch", "8"]


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output
