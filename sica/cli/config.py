"""`sica config`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import typer

from sica import report
from sica.cli.invocation import Invocation, examples
from sica.errors import UsageError

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Read and change settings."
)


def _keys() -> list[tuple[str, str]]:
    from sica.config import KEYS

    return list(KEYS.items())


@app.command("list", epilog=examples("sica config list --show-origin"))
def show_all(
    ctx: typer.Context,
    show_origin: bool = typer.Option(False, "--show-origin", help="Where each value comes from."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """List every setting with its value."""
    from sica.config import KEYS

    call: Invocation = ctx.obj
    rows = list(call.settings().rows())
    if as_json:
        found = [{"key": k, "value": v, "origin": o, "help": KEYS[k]} for k, v, o in rows]
        call.json("sica.config/1", settings=found)
        return
    lines = [[k, _plain(v), *([o] if show_origin else []), KEYS[k]] for k, v, o in rows]
    call.page(report.table(lines, "<<<<" if show_origin else "<<<", call.look()))


def _plain(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return json.dumps(value) if value else ""
    return f"{value:g}" if isinstance(value, float) else str(value)


@app.command(epilog=examples("sica config get model"))
def get(ctx: typer.Context, key: str = typer.Argument(..., autocompletion=_keys)) -> None:
    """Print one setting's value."""
    from sica.config import check_key

    call: Invocation = ctx.obj
    check_key(key)
    print(_plain(next(value for name, value, _ in call.settings().rows() if name == key)))


@app.command(
    "set",
    epilog=examples(
        "sica config set model anthropic/claude-sonnet-4-5",
        "sica config set trial.seconds 300    seconds",
        "sica config set prices.my/model.prompt 2.5    dollars for a million tokens",
    ),
)
def change(
    ctx: typer.Context,
    key: str = typer.Argument(..., autocompletion=_keys),
    value: str = typer.Argument(...),
    user: bool = typer.Option(False, "--user", help="For all of your projects instead of this one."),
) -> None:
    """Write one setting into sica.toml; comments and order stay."""
    from sica.config import written
    from sica.places import write_whole

    call: Invocation = ctx.obj
    _require_known(call, key, value)
    place = _file(call, user)
    before = place.read_text("utf-8") if place.exists() else ""
    text = written(before, key, value)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, text)
    print(f"{key} = {value}   in {place}")


def _require_known(call: Invocation, key: str, value: str) -> None:
    """What every later command would refuse is refused here, where it is typed."""
    from sica import sandboxes
    from sica.cli import parts
    from sica.errors import no_such

    if key == "sandbox" and value not in sandboxes.NAMES:
        raise no_such("sandbox", value, list(sandboxes.NAMES))
    if key == "policy":
        parts.open_policy(call, value)
    if key in ("bench", "smoke"):
        parts.open_benchmark(call, value)


@app.command(epilog=examples('$EDITOR "$(sica config path)"'))
def path(ctx: typer.Context, user: bool = typer.Option(False, "--user", help="The user's own file.")) -> None:
    """Print where the settings are."""
    call: Invocation = ctx.obj
    print(_file(call, user))


def _file(call: Invocation, user: bool) -> Path:
    from sica import places

    if user:
        return places.user_settings(call.environ)
    found = places.find(call.folder, call.environ)
    if found is None and not (call.folder / "sica.toml").exists():
        raise UsageError(
            f"no project in {call.folder} or above it", "sica init, or --user for your own settings"
        )
    return found.settings if found else call.folder / "sica.toml"
