"""`sica help [TOPIC]`."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from sica.cli.invocation import Invocation
from sica.errors import no_such

TOPICS = {
    "exit-codes": """\
Exit codes

    0    done; of evolve also: the score of --until is reached, or the patience is at its end
    1    failed; the message says what and what to do
    2    usage, settings or the machine's set-up are off
    3    stopped by a cap of money, tokens, calls or time, or by a person; everything is kept, and what it tells goes on
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
    "json": """\
JSON

Each command with --json prints one object; `evolve` and `trace` print one a line. Keys are only ever added.

    sica.log/1            benchmark setting best agents
    sica.show/1           benchmark setting body tokens trials attempts pass_at_k pass_hat_k reviews, and an agent's own
    sica.best/1           benchmark setting, and an agent's own
    sica.compare/1        benchmark setting n_tasks agents kinds better
    sica.diff/1           benchmark setting old new diff, and a difference's own
    sica.report/1         benchmark digest counts spent_usd scores champion_against_seed integrity runs
    sica.eval/1           benchmark spent_usd agents
    sica.merge/1          parents conflicts child commit status ending why score low high n spent_usd
    sica.replay/1         benchmark trials
    sica.run/1            agent ending why cost_usd tokens seconds trace changed removed folder applied diff
    sica.tasks/1          benchmark tasks unsupported
    sica.benchmarks/1     benchmarks
    sica.bench.check/1    benchmark ok results
    sica.refresh/1        folder sandbox image python n_tasks quarantined back faults unsupported
    sica.health/1         benchmark setting heldout floors ceilings tasks kinds levels known quarantined unmeasured
    sica.improve/1        parent child subject ending why passed reason cost_usd tokens trace
    sica.made/1           folder suite seed generator digest tasks
    sica.export/1         path n agents benchmarks
    sica.config/1         settings
    sica.doctor/1         ok findings
    sica.db.check/1       ok wrong n_agents
    sica.export/1         to where run outcomes
    sica.tell/1           boxes requests
    sica.request/1        request
    sica.review/1         agent reviews waiting
    sica.simulate/1       world seeds budget policies runs
    sica.spend/1          run by rows total unsettled_usd repriced_usd prices
    sica.db.import/1      origin dry_run fresh known elsewhere trees
    sica.simulate/1       world seeds budget workers race policies runs
    sica.race-table/1     kinds rules
    sica.evolve/1         run at event, and what happened
    sica.estimate/1       model n_trials n_improvements cost_usd uncapped_usd seconds at_most_usd stops_at_cap basis

A setting is a model and an image: scores of two of them are never averaged (--under chooses).

An agent in log, show and best:

    agent                 its number; so are parents, old, new, and best beside a list of agents
    commit tree           hashes of git
    parents               numbers, the first parent first
    status                evaluated: has a score; ready: passed the gate, has no score yet;
                          unchecked: not been through the gate; rejected: the gate turned it down, see reason;
                          stopped: fell behind its parent and was measured no further, see reason
    best                  whether it is the champion
    score low high        the mean of its n scored trials, 0 to 1, and the ends of its 95% interval; or null
    method                of that interval: Wilson, or cluster bootstrap where scores are graded or repeated
    n faults              trials with a score; trials that the harness failed, which never count
    change separable      of the score against the first parent's on the attempts that both have; whether that
                          is more than noise; null where there is nothing to compare
    cost_usd              dollars, of making it and of measuring it
    subject body reason   what it changed, why, and why it was rejected
    operator run model    how it was made, in which run, with which model
    created               seconds since 1970
    doing                 what a run is at with it right now

Where every task was tried more than once: attempts is k, pass_at_k the chance that one of k attempts solves a task,
pass_hat_k the chance that all of them do; else null.

A difference of two agents:

    n_tasks difference    tasks that both have, and the difference of the means on them
    difference_low, difference_high   the ends of its 95% interval, by a paired bootstrap of tasks; or null
    gained lost           the tasks that got better and worse
    p test separable      whether it is more than noise, by which test; separable is p < 0.05
    needed_tasks          paired tasks that would show it with 80% power; or null
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


TITLES = {"json": "JSON"}


def _topics() -> list[str]:
    return list(TOPICS)


EXAMPLES = (
    "sica help exit-codes",
    "sica help evolve",
)


def command(
    ctx: typer.Context,
    topic: str = typer.Argument(
        "", help="exit-codes, agents, json, environment, or a command.", autocompletion=_topics
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
            f"## {TITLES.get(name, name.replace('-', ' ').capitalize())}",
            "",
            "```text",
            *text.splitlines()[2:],
            "```",
        )
    for name in COMMANDS:
        yield from ("", f"## sica {name}", "", "```text", *_usage(name, 80), "```")
