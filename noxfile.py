"""Every check on everything that is supported: ``nox``, or ``nox -s tests-3.13``.

The README's second command is the same on one interpreter. Interpreters that are not installed are
skipped.
"""

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
TWISTED = {"oldest": "twisted==24.11.0", "newest": "twisted"}
"""Both ends of what is supported; the oldest is what ``pyproject.toml`` says."""

nox.needs_version = ">=2024.4"
nox.options.sessions = ["lint", "tests", "docs", "package"]
nox.options.error_on_missing_interpreters = False


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session(python=PYTHONS)
@nox.parametrize("twisted", list(TWISTED))
def tests(session: nox.Session, twisted: str) -> None:
    """The tests, with the oldest and the newest Twisted."""
    session.install("-e", ".[dev]", TWISTED[twisted])
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documents; whatever is amiss is an error."""
    session.install("-e", ".[dev]")
    session.run("sphinx-build", "-W", "--keep-going", "docs", "build/docs")


@nox.session
def package(session: nox.Session) -> None:
    """What would be released, in ``dist``."""
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", "dist")
    session.run("twine", "check", "--strict", "dist/*")
