"""Tasks written elsewhere, in Docker: an image of their own, its files, its environment, its unmodified test.sh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sica.attempt import trial
from sica.benchcheck import check
from sica.benchmarks.folder import FolderBenchmark
from sica.errors import SandboxUnavailable
from sica.model import Agent, File, Files, Trial
from sica.ports import Sandbox
from sica.sandboxes import open_sandbox

sys.path.insert(0, str(Path(__file__).parents[1]))
from commands import sica

pytestmark = pytest.mark.docker

DOCKERFILE = r"""FROM sica-sandbox
USER root
ENV GREETING="hello there" PATH=/srv/tool/bin:$PATH
RUN mkdir -p /srv/tool/bin /srv/work/deep/er /srv/work/empty /data \
 && printf '#!/bin/sh\necho made at build\n' > /srv/tool/bin/tool && chmod 755 /srv/tool/bin/tool \
 && printf 'one\n' > /srv/work/a.txt && printf 'two\n' > /srv/work/deep/er/gone.txt \
 && printf 'kept\n' > /srv/work/kept.txt && chmod 600 /srv/work/kept.txt && ln -s a.txt /srv/work/link
COPY src/seed.txt /data/
WORKDIR /srv/work
"""
TABLE = """schema_version = "1.1"
[task]
name = "demo/built"
[metadata]
category = "foreign"
[agent]
timeout_sec = 30.0
[verifier]
timeout_sec = 30.0
[environment]
memory_mb = 256
[environment.env]
FROM_TABLE = "yes"
[metadata.sica]
workspace = ["/srv/work", "/data"]
"""
TEST = """#!/bin/bash
says() { [ "$2" = "$3" ] || { echo "$1: $2 instead of $3"; echo 0 > /logs/verifier/reward.txt; exit; } }
says written "$(cat a.txt)" done
says "through the image's link" "$(cat link)" done
says "an empty directory of the image" "$(ls -d empty)" empty
says "a directory that the agent removed" "$(ls)" "$(printf 'a.txt\\nempty\\nkept.txt\\nlink\\nnew')"
says "a mode of the image" "$(stat -c %a kept.txt)" 600
says "a new program" "$(new/run)" ran
says "another directory" "$(cat /data/out.txt)" "hello there yes made at build seed"
says user "$(id -u)" 0
says "outside the workspace" "$(ls /srv)" "$(printf 'tool\\nwork')"
echo 1 > /logs/verifier/reward.txt
"""
SOLVE = """set -e
printf done > a.txt
rm -r deep
mkdir new && printf '#!/bin/sh\necho ran\n' > new/run && chmod 755 new/run
echo "$GREETING $FROM_TABLE $(tool) $(cat /data/seed.txt)" > /data/out.txt
chown 1234 /data/out.txt
echo lost > /srv/beside
"""
FILES = {
    "task.toml": TABLE,
    "instruction.md": SOLVE,
    "environment/Dockerfile": DOCKERFILE,
    "environment/src/seed.txt": "seed\n",
    "tests/test.sh": TEST,
    "solution/solve.sh": SOLVE,
}
AGENT: Files = {
    "agent.toml": File(b'contract = 1\nname = "obeys"\n[run]\nargv = ["bash", "{instruction_file}"]\n'),
}


def write(folder: Path, **changes: str) -> Path:
    for name, text in {**FILES, **changes}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Its images are removed after it was closed: a box that waits uses one."""
    runtime = tmp_path_factory.mktemp("rt")
    sandbox = open_sandbox("docker", store="foreign", runtime=runtime)
    try:
        sandbox.image()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    import docker as engine

    client = engine.from_env()
    before = {tag for image in client.images.list() for tag in image.tags}
    yield sandbox
    sandbox.close()
    for image in client.images.list(filters={"label": "sica.task"}):
        for tag in set(image.tags) - before:
            client.images.remove(tag)
    client.close()


def tried(world: Any, docker: Sandbox, folder: Path, agent: Files = AGENT, **settings: Any) -> Trial:
    seed: Agent = world.seed(agent)
    benchmark = FolderBenchmark(folder, "demo", runtime=world.root / "rt")
    (task,) = benchmark.tasks()
    return trial(replace(world.place, sandbox=docker), seed, replace(task, **settings), 0, benchmark)


def test_the_task_is_fit(tmp_path: Path, docker: Sandbox) -> None:
    found = list(check(FolderBenchmark(write(tmp_path / "built"), "demo"), docker))
    assert [(r.rule, r.verdict, r.score) for r in found if r.rule != "form"] == [
        ("oracle", "ok", 1.0),
        ("nothing", "ok", 0.0),
        ("vandal", "ok", 0.0),
        ("cheats", "ok", 0.0),
        ("stable", "ok", 1.0),
        ("partial", "ok", None),
        ("coverage", "ok", None),
    ], found
    assert {r.verdict for r in found if r.rule == "form"} == {"advice"}


def test_an_agent_works_on_the_files_of_the_image_and_is_graded_by_its_unmodified_script(
    world: Any, docker: Sandbox, tmp_path: Path
) -> None:
    done = tried(world, docker, write(tmp_path / "built"))
    assert (done.score, done.fault, done.grading) == (1.0, None, "script"), done
    assert done.detail["findings"] == []


def test_an_agent_that_does_nothing_scores_zero(world: Any, docker: Sandbox, tmp_path: Path) -> None:
    folder = write(tmp_path / "built", **{"instruction.md": "true"})
    assert tried(world, docker, folder).score == 0.0


def test_what_the_agent_left_outside_the_workspace_does_not_reach_the_judge(
    world: Any, docker: Sandbox, tmp_path: Path
) -> None:
    """Also what it did to the programs that judge."""
    vandal = "printf '#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n' > /bin/bash; mkdir -p /tests; echo 1 > /tests/x"
    done = tried(world, docker, write(tmp_path / "built", **{"instruction.md": vandal}))
    assert (done.score, done.fault) == (0.0, None), done


def test_no_exit_code_of_the_script_is_taken_for_a_failure_to_lay_out_the_files(
    world: Any, docker: Sandbox, tmp_path: Path
) -> None:
    """The agent's code has a say in it, and a fault would be tried again for nothing."""
    script = "[ -e work ] || echo 0.5 > /logs/verifier/reward.txt; exit 97"
    done = tried(world, docker, write(tmp_path / "built", **{"tests/test.sh": script}))
    assert (done.score, done.fault) == (0.5, None), done


def test_an_emptied_workspace_is_judged(world: Any, docker: Sandbox, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "built",
        **{
            "instruction.md": "find . -mindepth 1 -delete",
            "tests/test.sh": "[ -e a.txt ] || [ -e deep ] || echo 1 > /logs/verifier/reward.txt",
        },
    )
    assert tried(world, docker, folder).score == 1.0


def test_a_repository_of_the_image_is_part_of_the_deliverable(
    world: Any, docker: Sandbox, tmp_path: Path
) -> None:
    dockerfile = (
        "FROM sica-sandbox\nUSER root\nRUN mkdir -p /app/.git && echo old > /app/.git/HEAD\nWORKDIR /app\n"
    )
    folder = write(
        tmp_path / "built",
        **{
            "environment/Dockerfile": dockerfile,
            "instruction.md": "echo new > .git/HEAD",
            "task.toml": '[task]\nname = "demo/git"\n',
            "tests/test.sh": "grep -c new .git/HEAD > /logs/verifier/reward.txt",
        },
    )
    assert tried(world, docker, folder).score == 1.0


def test_a_prebuilt_image_says_where_to_work(world: Any, docker: Sandbox, tmp_path: Path) -> None:
    built = FolderBenchmark(write(tmp_path / "built"), "demo")
    (first,) = built.tasks()
    assert first.image
    built.prepare(first, docker)
    table = TABLE.replace("[environment]\n", f'[environment]\ndocker_image = "{first.image}"\n')
    folder = write(tmp_path / "prebuilt", **{"task.toml": table})
    (folder / "environment" / "Dockerfile").unlink()
    done = tried(world, docker, folder)
    assert (done.score, done.fault) == (1.0, None), done


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("FROM sica-sandbox\nRUN echo the cause >&2; exit 7\n", "the cause"),
        ("FROM sica-sandbox\nRUN exit 7\n", "Dockerfile: the build failed: .*non-zero code: 7"),
        ("FROM sica-sandbox\nNONSENSE x\n", "unknown instruction: NONSENSE"),
        ("FROM sica-sandbox\nRUN true\nCOPY not-there /x/y\n", "not-there"),
    ],
)
def test_a_build_that_fails_is_a_fault_that_says_why_and_never_a_score(
    world: Any, docker: Sandbox, tmp_path: Path, dockerfile: str, said: str
) -> None:
    import re

    folder = write(tmp_path / "built", **{"environment/Dockerfile": dockerfile})
    done = tried(world, docker, folder)
    assert (done.score, done.fault) == (None, "infra")
    assert re.search(said, done.why, re.DOTALL), done.why
    assert done.usage.calls == 0


def test_an_image_that_cannot_be_had_is_a_fault(world: Any, docker: Sandbox, tmp_path: Path) -> None:
    table = TABLE.replace("[environment]\n", '[environment]\ndocker_image = "127.0.0.1:9/no/such:1"\n')
    done = tried(world, docker, write(tmp_path / "built", **{"task.toml": table}))
    assert (done.score, done.fault) == (None, "infra")
    assert "environment.docker_image = '127.0.0.1:9/no/such:1' cannot be had" in done.why


def test_an_image_is_built_once_per_digest(tmp_path: Path, docker: Sandbox) -> None:
    import docker as engine

    folder = write(tmp_path / "built", **{"environment/Dockerfile": DOCKERFILE + "RUN date +%N > /made\n"})
    identities = set()
    for _ in range(2):
        benchmark = FolderBenchmark(folder, "demo")
        (task,) = benchmark.tasks()
        ready = benchmark.prepare(task, docker)
        client = engine.from_env()
        identities.add(client.images.get(ready.image).id)
        client.close()
    assert len(identities) == 1


def test_a_run_without_docker_says_what_it_leaves_out_and_goes_on(tmp_path: Path) -> None:
    from conftest import write_task

    project = tmp_path / "p"
    project.mkdir()
    assert sica(project, "init").code == 0
    write_task(tmp_path / "mixed", "plain", 1)
    write(tmp_path / "mixed" / "built")
    boxes = {"SICA_SANDBOX": "bubblewrap"}
    ran = sica(project, "evolve", "-n", "1", "--bench", "../mixed", env=boxes)
    assert ran.code == 0, ran.err
    assert "left out mixed/built: unsupported: USER root in the Dockerfile without Docker" in ran.err
    listed = sica(project, "tasks", "--bench", "../mixed", env=boxes)
    assert "built: cannot be run here: unsupported: USER root" in listed.out
    trials = sica(project, "show", "0", "--json", env=boxes).out
    assert "mixed/plain" in trials
    assert "mixed/built" not in trials
    alone = sica(project, "eval", "0", "--bench", "../mixed", "--task", "built", env=boxes)
    assert alone.code == 2
    assert "no task that can be run in bubblewrap" in alone.err
