"""The entry of `sica`: which commands there are, and the one place where an error becomes words and an exit code.

What a help text does not need is imported where it is used: --help and completion answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from sica import __version__
from sica.errors import SicaError, UsageError, no_such

COMMANDS: Mapping[str, str] = {
    "init": "Make .sica/ here and seed agent/0 from a folder",
    "doctor": "Check that everything a run needs is there",
    "evolve": "Improve the agents: measure, choose, rewrite, measure again",
    "eval": "Measure agents on a benchmark",
    "merge": "Put two agents' changes together in one child",
    "run": "Let one agent work on one prompt",
    "improve": "Let one agent write one child, at your request",
    "log": "The lineage with scores",
    "show": "All that is known of one agent",
    "diff": "What changed between two agents: score, tasks, code",
    "compare": "Several agents side by side on the same tasks",
    "report": "An honest account of the archive, as a page and as Markdown",
    "plot": "Pictures for papers: staircase, cost, matrix, lineage",
    "best": "The champion, or the best by another measure",
    "trace": "What an agent did on a task",
    "web": "The viewer: a local page over the archive, live",
    "tell": "Say something to a run that is going: pause, stop, a hint",
    "review": "Say yes or no to an agent, or leave a comment",
    "spend": "What was spent: by run, role, agent, task, model, day or call",
    "tasks": "The tasks of a benchmark",
    "bench": "Check a benchmark's tasks",
    "export": "What happened, for Harbor, Inspect, OpenTelemetry, MLflow, tables",
    "simulate": "Compare policies in synthetic worlds",
    "config": "Read and change settings",
    "db": "The database: rebuild it from git, check it",
    "git": "Run git on the store of agents",
    "help": "More help: exit-codes, agents, json, environment",
}
"""Name and summary of every command; `sica/cli/<name>.py` holds it and is imported when it is called."""


def load(name: str) -> Any:
    """The click command of that name; importing it imports nothing heavy."""
    module = import_module(f"sica.cli.{name}")
    app: typer.Typer | None = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        from sica.cli.invocation import examples

        epilog = examples(*getattr(module, "EXAMPLES", ()))
        app.command(name, context_settings=getattr(module, "CONTEXT", None), epilog=epilog)(module.command)
    command = typer.main.get_command(app)
    command.name = name
    return command


class ReaderGone(Exception):
    """Nobody reads our output any more. Not an OSError: typer would make exit code 1 of it, without a word."""


class Lazy(TyperGroup):
    """Commands by name; their own files are read only when one is called."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        return load(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS:
            from sica import report

            error = no_such("command", report.clean(args[0]), list(COMMANDS))
            raise UsageError(str(error), error.hint or "sica --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        from typer._click.shell_completion import CompletionItem

        del ctx
        return [CompletionItem(n, help=text) for n, text in COMMANDS.items() if n.startswith(incomplete)]


app = typer.Typer(
    cls=Lazy,
    name="sica",
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"sica {__version__}")
        raise typer.Exit


@app.callback(epilog="Start: sica init, then sica evolve. Every reading command knows --json.")
def root(
    ctx: typer.Context,
    project: Path = typer.Option(Path(), "-C", "--project", help="Work as if started in this folder."),
    color: str = typer.Option("auto", "--color", help="auto, always or never; NO_COLOR is honoured."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    pager: bool = typer.Option(True, "--pager/--no-pager", help="Page long output on a terminal."),
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Version, evaluate and evolve coding agents: every agent is a commit."""
    from sica.cli.invocation import Invocation

    del debug, version  # --debug is read where errors end, below
    if color not in ("auto", "always", "never"):
        raise no_such("colour choice", color, ["auto", "always", "never"])
    if not project.is_dir():
        raise UsageError(f"{project} is not a folder", "-C takes the folder of a project")
    ctx.obj = Invocation(project.resolve(), dict(os.environ), color, pager)


def main(argv: Sequence[str] | None = None) -> None:
    """Run `sica` and leave with its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _guarded(args)
        sys.stdout.flush()
    except (BrokenPipeError, ReaderGone):
        # The reader has gone, as in `sica log | head`: nothing is left to be said, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)


def _guarded(args: list[str]) -> int:
    debug = "--debug" in args or bool(os.environ.get("SICA_DEBUG"))
    try:
        return int(app(args, prog_name="sica", standalone_mode=False) or 0)
    except (BrokenPipeError, ReaderGone):
        raise
    except KeyboardInterrupt:
        _say("sica: interrupted")
        return 130
    except typer.Abort:
        _say("sica: stopped at the question; nothing was done")
        return 130
    except typer.TyperException as error:
        error.show() if hasattr(error, "show") else _say(f"sica: {error}")
        return error.exit_code
    except SicaError as error:
        return _told(error, debug)
    except OSError as error:
        return _told(_of_the_machine(error), debug) if error.errno in MACHINE else _unforeseen(error, debug)
    except Exception as error:  # noqa: BLE001 - the boundary: what nobody foresaw becomes a line and a log
        return _unforeseen(error, debug)


MACHINE: Mapping[int, str] = {
    errno.ENOSPC: "make room and run the command again, nothing is lost",
    errno.EDQUOT: "make room and run the command again, nothing is lost",
    errno.EROFS: "the disk cannot be written: mount it for writing, or copy the project elsewhere",
    errno.EACCES: "may you write there? sica runs as whoever started it",
    errno.EPERM: "may you write there? sica runs as whoever started it",
    errno.EIO: "the disk is failing: look at the system's log",
    errno.EMFILE: "too many files are open: raise ulimit -n, or use fewer --workers",
    errno.ENFILE: "the system has too many files open",
}
"""What an error of the machine says, and what cures it: none of these is a fault of sica."""


def _of_the_machine(error: OSError) -> SicaError:
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return SicaError(f"{where}{error.strerror}", MACHINE[error.errno or 0])


def _told(error: SicaError, debug: bool) -> int:
    from sica import report

    if debug:
        _say(_traceback(error))
    _say("sica: " + report.clean_block(str(error)))
    for line in error.hint.splitlines():
        _say("      " + report.clean(line))
    return error.exit_code


def _unforeseen(error: Exception, debug: bool) -> int:
    from sica import report

    text = _traceback(error)
    if debug:
        _say(text)
    words = report.cut(report.clean(f"{type(error).__name__}: {error}"), 200)
    where = _logged(text)
    _say(f"sica: this is a fault of sica itself: {words}")
    _say(f"      the details are in {where}" if where else "      --debug shows the details")
    return 1


def _traceback(error: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


def _logged(text: str) -> Path | None:
    import time

    from sica import places

    found = places.find(Path.cwd(), os.environ)
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "sica"
    folder = found.log if found else state
    path = folder / f"fault-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", "backslashreplace")
    except OSError:
        return None  # a full or read-only disk: the message is on the terminal all the same
    return path


def _say(text: str) -> None:
    print(text, file=sys.stderr)


Command = Callable[..., Any]
