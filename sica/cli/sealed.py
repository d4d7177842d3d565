"""`sica bench seal` and `sica bench unseal`: a held-out suite whose seed nobody could know or choose."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sica.cli.invocation import Invocation

if TYPE_CHECKING:
    from sica.model import Agent
    from sica.places import Places
    from sica.repo import GitRepo

JSON = typer.Option(False, "--json", help="One object.")
SEAL_EXAMPLES = ("sica bench seal", "sica git push origin 'refs/sica/seals/*'")
UNSEAL_EXAMPLES = ("sica bench unseal tasks/unseen", "sica bench unseal tasks/unseen --json")


def seal(ctx: typer.Context, as_json: bool = JSON) -> None:
    """Keep a salt and publish its hash, before the agent is there that is to be measured by it.

    The salt lies in .sica/seals, for you alone; its hash goes into the store as refs/sica/seals/HASH, dated, which can
    be pushed. `sica bench make SUITE --sealed` then derives a suite's seed from the salt and an agent's tree.
    """
    from sica import heldout

    call: Invocation = ctx.obj
    repo, places = _store(call)
    salt = secrets.token_hex(32)
    name = heldout.published(salt)
    _keep(places, name, salt)
    repo.seal(name)
    if as_json:
        call.json("sica.seal/1", seal=name, ref=f"refs/sica/seals/{name}")
        return
    print(f"sealed: {name}")
    call.say("Next, when the agent is there:  sica bench make SUITE --sealed --agent best --to DIR")


def unseal(
    ctx: typer.Context,
    folder: Path = typer.Argument(..., help="A suite that was made with --sealed.", exists=False),
    as_json: bool = JSON,
) -> None:
    """Open the seal of a suite: print salt and tree, and check that its seed and every byte follow from them.

    The salt is published with it, and nothing is made of that seal any more. Exit code 1 when anything does not hold.
    """
    from sica import heldout
    from sica.errors import UsageError

    call: Invocation = ctx.obj
    repo, places = _store(call)
    told = _manifest(call.folder / folder)
    found = next((s for s in repo.seals() if s.name == told["seal"]), None)
    if found is None:
        raise UsageError(
            f"{folder}: its seal {told['seal'][:16]} is not in this store", "open it where it was sealed"
        )
    salt = found.salt or _kept(places, found.name)
    agent = next((a for a in repo.agents() if a.tree == told["tree"]), None)
    facts = {
        "the salt is what was published": heldout.published(salt) == found.name,
        "the seed follows from salt and tree": heldout.seed(salt, told["tree"], told["suite"])
        == told["seed"],
        "the tree is an agent's": agent is not None,
        "the seal is older than the agent": agent is not None and found.made <= agent.created,
        "the tasks are what the seed gives": _digest(told) == told["digest"] == _there(call.folder / folder),
    }
    if heldout.published(salt) == found.name and not found.salt:
        repo.seal(found.name, salt)
    if as_json:
        call.json(
            "sica.unseal/1", seal=found.name, salt=salt, tree=told["tree"], suite=told["suite"], seed=told["seed"],
            agent=agent.name if agent else None, checks=facts, ok=all(facts.values()),
        )  # fmt: skip
    else:
        print(
            f"salt  {salt}\ntree  {told['tree']}{f'  ({agent.name})' if agent else ''}\nseed  {told['seed']}"
        )
        for what, holds in facts.items():
            print(f"{'ok ' if holds else 'NO '} {what}")
    raise typer.Exit(0 if all(facts.values()) else 1)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a sealed suite is made of."""

    seal: str
    seed: int
    agent: Agent

    @property
    def told(self) -> dict[str, Any]:
        return {"seal": self.seal, "tree": self.agent.tree}


def opened(call: Invocation, suite: str, who: str) -> Opened:
    """The seed of a suite for an agent, by the latest seal. Raises UsageError when no seal can serve."""
    from sica import heldout
    from sica.cli.reading import Reading
    from sica.errors import UsageError

    repo, places = _store(call)
    agent = Reading.of(call).find(who)
    closed = [s for s in repo.seals() if not s.salt]
    if not closed:
        raise UsageError(
            "there is no closed seal", "sica bench seal   makes one; the agent to be measured comes after it"
        )
    fit = [s for s in closed if s.made <= agent.created]
    if not fit:
        raise UsageError(
            f"{agent.name} is older than every closed seal: its tree was known when the salt was drawn",
            "measure an agent that came later",
        )
    latest = max(fit, key=lambda s: (s.made, s.name))
    return Opened(latest.name, heldout.seed(_kept(places, latest.name), agent.tree, suite), agent)


# ── salts, seals and suites ───────────────────────────────────────────────────────────────────────


def _store(call: Invocation) -> tuple[GitRepo, Places]:
    from sica.repo import GitRepo

    places = call.places()
    return GitRepo.open(places.repo, places.runtime), places


def _keep(places: Places, name: str, salt: str) -> None:
    import os

    folder = places.store / "seals"
    folder.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(salt)
        file.flush()
        os.fsync(fd)


def _kept(places: Places, name: str) -> str:
    from sica.errors import StoreError

    path = places.store / "seals" / name
    if not path.is_file():
        raise StoreError(
            f"{path}: there is no such file: the salt of this seal is lost", "seal anew: sica bench seal"
        )
    return path.read_text(encoding="utf-8").strip()


def _manifest(folder: Path) -> dict[str, Any]:
    import json

    from sica.errors import UsageError

    path = folder / "manifest.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: {getattr(error, 'strerror', None) or 'broken JSON'}", "name a suite's folder"
        ) from None
    if not isinstance(told, dict) or not {"seal", "tree", "suite", "seed", "digest", "tasks"} <= told.keys():
        raise UsageError(f"{folder}: was not made with --sealed", "sica bench make SUITE --sealed --to DIR")
    return told


def _digest(told: dict[str, Any]) -> str:
    from sica import suites

    return suites.digest(dict(suites.make(told["suite"], told["seed"], told["count"], lambda _: "heldout")))


def _there(folder: Path) -> str:
    """The digest of the tasks that lie in the folder now."""
    from sica import suites
    from sica.model import File

    tasks: dict[str, dict[str, File]] = {}
    for path in sorted(folder.glob("*/**/*")):
        if path.is_file():
            name, _, inner = path.relative_to(folder).as_posix().partition("/")
            tasks.setdefault(name, {})[inner] = File(path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return suites.digest(tasks)
