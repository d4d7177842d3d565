"""`sica help [TOPIC]`."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from sica.cli.invocation import Invocation
from sica.errors import no_such

TOPICS = {
    "exit-codes": """\
Exit codes

    0    done
    1    failed; the message says what and what to do
    2    usage, settings or the machine's set-up are off
    3    stopped by a budget; everything is kept, and running it again goes on
    4    a model's credentials are missing or were refused
    5    a condition was not met: eval --fail-under, compare --exit-code
    125  eval --bisect cannot judge this agent: git bisect skips it
    130  interrupted; everything finished is kept
    141  the reader of the output has gone

`eval --bisect` answers only 0 (good), 1 (bad), 125 (skip) and 130 (stop), which is what `git bisect run` understands.
""",
    "agents": """\
How agents are named

    7          agent/7
    agent/7    the same
    best       the champion, which main points at
    7^         the first parent of agent/7; 7^^ and 7~3 go further; 7^2 is the second parent of a merge
    3f9c1d2    a commit's hash, or the beginning of one that only one agent has
    v1         a tag or branch of the store (sica git tag v1 agent/7)
""",
    "environment": """\
Environment

    SICA_<SETTING>    any setting, such as SICA_MODEL or SICA_TRIAL_SECONDS; sica config list names them all
    SICA_DEBUG        tracebacks, as --debug
    SICA_PAGER        pager for log, show and diff; else PAGER, else less -FIRX
    NO_COLOR          no colour; FORCE_COLOR and CLICOLOR_FORCE: colour in pipes too; TERM=dumb: nothing moves
    TMPDIR            where sockets and exported trees lie while agents run
    XDG_CONFIG_HOME   sica/config.toml in it holds the user's own settings

Keys of model providers are read from the providers' own variables, such as ANTHROPIC_API_KEY. They are never settings,
never written to a file and never enter a box.
""",
}


def _topics() -> list[str]:
    return list(TOPICS)


def command(
    ctx: typer.Context,
    topic: str = typer.Argument(
        "", help="exit-codes, agents, environment, or a command.", autocompletion=_topics
    ),
    markdown: bool = typer.Option(False, "--markdown", help="Everything as one page: docs/cli.md."),
) -> None:
    """Show a page of help, or a command's."""
    from sica.cli.main import COMMANDS

    call: Invocation = ctx.obj
    if markdown:
        print("\n".join(page()))
    elif topic in TOPICS:
        call.page(TOPICS[topic].splitlines())
    elif topic in COMMANDS:
        call.page(_usage(topic, min(call.width(), 100)))
    elif topic:
        raise no_such("help topic", topic, [*TOPICS, *COMMANDS])
    elif ctx.parent:
        call.page([*ctx.parent.get_help().splitlines(), "", "Topics: " + ", ".join(TOPICS)])


def _usage(name: str, width: int) -> list[str]:
    """A command's own help, then that of its subcommands."""
    from sica.cli.main import load

    command = load(name)
    with command.make_context(f"sica {name}", [], resilient_parsing=True, terminal_width=width) as ctx:
        lines = ctx.get_help().splitlines()
        for inner in getattr(command, "commands", {}).values():
            with inner.make_context(
                f"{inner.name}", [], parent=ctx, resilient_parsing=True, terminal_width=width
            ) as within:
                lines += ["", *within.get_help().splitlines()]
    return [line.rstrip() for line in lines]


def page() -> Iterator[str]:
    """docs/cli.md, from the commands themselves."""
    from sica.cli.main import COMMANDS

    yield "# The command line"
    yield ""
    yield "Made by `sica help --markdown`; a test keeps it true."
    yield ""
    yield "| command | what it does |"
    yield "|---|---|"
    for name, summary in COMMANDS.items():
        yield f"| [`sica {name}`](#sica-{name}) | {summary} |"
    for name, text in TOPICS.items():
        yield from (
            "",
            f"## {name.replace('-', ' ').capitalize()}",
            "",
            "```text",
            *text.splitlines()[2:],
            "```",
        )
    for name in COMMANDS:
        yield from ("", f"## sica {name}", "", "```text", *_usage(name, 80), "```")
