"""`sica init`, settings and everything that can be typed wrongly, as processes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from commands import MANIFEST, Ran, begin, sica


def seed(folder: Path, manifest: bytes = MANIFEST) -> Path:
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_bytes(manifest)
    (folder / "main.py").write_text("print('at work')\n")
    return folder


def git(folder: Path, *args: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=u", "-c", "user.email=u@example.invalid", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def files_of(project: Path) -> set[str]:
    return set(sica(project, "git", "ls-tree", "-r", "--name-only", "agent/0").out.split("\n")) - {""}


def test_init_makes_a_store_and_says_what_to_type_next(tmp_path: Path) -> None:
    project = tmp_path / "päth with space"
    project.mkdir()
    ran = sica(project, "init")
    assert ran.code == 0, ran.err
    assert "sica evolve" in ran.out
    assert "agent.toml" in files_of(project)
    assert (project / ".sica" / ".gitignore").read_text() == "*\n"
    assert 'model = "offline"' in (project / "sica.toml").read_text()
    assert "agent/0" in sica(project, "log").out


def test_init_twice_changes_nothing(tmp_path: Path) -> None:
    project = tmp_path / "p"
    project.mkdir()
    sica(project, "init")
    (project / "sica.toml").write_text('# mine\nmodel = "offline"\n')
    before = sica(project, "git", "rev-parse", "agent/0").out
    ran = sica(project, "init")
    assert (ran.code, "Nothing was missing" in ran.out) == (0, True), ran.err
    assert (project / "sica.toml").read_text() == '# mine\nmodel = "offline"\n'
    assert sica(project, "git", "rev-parse", "agent/0").out == before
    assert len(sica(project, "log", "--plain").out.splitlines()) == 1


def test_a_git_repository_gives_what_it_would_list_and_is_not_touched(tmp_path: Path) -> None:
    project = seed(tmp_path / "p")
    git(project, "init", "-q", "-b", "trunk")
    (project / ".gitignore").write_text("secret.env\nbuild/\n")
    (project / "secret.env").write_text("KEY=1")
    (project / "build").mkdir()
    (project / "build" / "x").write_text("made")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first")
    (project / "new.py").write_text("untracked\n")
    (project / "link").symlink_to("/etc/passwd")
    state = git(project, "status", "--porcelain=v2", "--branch")
    ran = sica(project, "init", "--agent", ".")
    assert ran.code == 0, ran.err
    assert files_of(project) == {".gitignore", "agent.toml", "main.py", "new.py"}
    assert "trunk@" in ran.out
    assert "with uncommitted changes" in ran.out
    assert "link" in ran.err  # said, not silently dropped
    after = git(project, "status", "--porcelain=v2", "--branch")
    assert set(after.splitlines()) - set(state.splitlines()) == {"? sica.toml"}


def test_a_plain_folder_gives_everything_but_junk(tmp_path: Path) -> None:
    source = seed(tmp_path / "my agent")
    for junk in ("__pycache__/a.pyc", "node_modules/x.js", ".venv/bin/python", "b.pyc"):
        (source / junk).parent.mkdir(parents=True, exist_ok=True)
        (source / junk).write_text("junk")
    os.mkfifo(source / "pipe")
    tool = source / "tool.sh"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    project = tmp_path / "p"
    project.mkdir()
    ran = sica(project, "init", "--agent", "../my agent")
    assert ran.code == 0, ran.err
    assert files_of(project) == {"agent.toml", "main.py", "tool.sh"}
    assert "100755" in sica(project, "git", "ls-tree", "agent/0", "tool.sh").out


def test_another_seed_is_refused(tmp_path: Path) -> None:
    project = tmp_path / "p"
    project.mkdir()
    sica(project, "init")
    ran = sica(project, "init", "--agent", str(seed(tmp_path / "other")))
    assert (ran.code, "already has agent/0" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (None, "no agent.toml"),
        (b"contract = ", "agent.toml is not TOML"),
        (b'contract = 1\nname = "x"\n', "agent.toml: run"),
        (b'contract = 9\nname = "x"\n[run]\nargv = ["python3"]\n', "contract 9"),
        (b'contract = 1\nname = "x"\n[run]\nargv = ["no-such-program"]\n', "no such program"),
        (b'contract = 1\nname = "x"\n[run]\nargv = ["/agent/start.sh"]\n', "the agent has no file start.sh"),
        (b'contract = 1\nname = "x"\n[run]\nargv = ["/agent/main.py"]\n', "chmod +x main.py"),
    ],
)
def test_an_agent_that_cannot_start_is_refused_before_anything_is_made(
    tmp_path: Path, manifest: bytes | None, words: str
) -> None:
    source = seed(tmp_path / "agent", manifest or b"")
    if manifest is None:
        (source / "agent.toml").unlink()
    project = tmp_path / "p"
    project.mkdir()
    ran = sica(project, "init", "--agent", str(source))
    assert ran.code == 2, ran.err
    assert words in ran.err
    assert list(project.iterdir()) == []


def test_an_empty_agent_is_not_the_shipped_one(tmp_path: Path) -> None:
    """As a script says it whose variable is unset."""
    ran = sica(tmp_path, "init", "--agent", "")
    assert (ran.code, "an empty --agent" in ran.err, list(tmp_path.iterdir())) == (2, True, [])


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    ran = sica(tmp_path, "init", "--agent", "nowhere")
    assert (ran.code, "does not exist" in ran.err) == (2, True)


# ── wrong words ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("p") / "p")


@pytest.mark.parametrize("command", ["log", "show", "evolve", "doctor", "best", "db check", "git log"])
def test_outside_of_a_project(tmp_path: Path, command: str) -> None:
    ran = sica(tmp_path, *command.split())
    assert ran.code == 2, ran.err
    assert "no .sica/" in ran.err
    assert "sica init" in ran.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["evlove"], "did you mean 'evolve'?"),
        (["evolve", "--policy", "gready"], "did you mean 'greedy'?"),
        (["evolve", "--bench", "cor"], "no benchmark called 'cor'"),
        (["evolve", "--task", "nothing-like-it"], "no task called 'nothing-like-it'"),
        (["evolve", "--sandbox", "jail"], "no sandbox called 'jail'"),
        (["evolve", "--max-cost", "0"], "max_cost = 0.0 (--max-cost): must be greater than 0"),
        (["evolve", "--workers", "0"], "workers = 0 (--workers)"),
        (["evolve", "--promote", "luck"], "must be 'mean' or 'separable'"),
        (["eval", "77"], "no agent called '77'"),
        (["eval", "0", "--split", "trian"], "did you mean 'train'?"),
        (["eval", "0", "--fail-under", "much"], "is not a score"),
        (["run", "-p", " "], "the prompt is empty"),
        (["run", "-p", "x", "--apply"], "--apply needs --workdir"),
        (["help", "exit-code"], "did you mean 'exit-codes'?"),
        (["config", "get", "modle"], "did you mean 'model'?"),
        (["config", "set", "workers", "0"], "workers = '0'"),
        (["-C", "nowhere", "log"], "nowhere is not a folder"),
        (["--color", "sometimes", "log"], "no colour choice called 'sometimes'"),
        (["bench", "check", "smoke", "--task", "zzz"], "zzz"),
    ],
)
def test_what_is_wrong_is_named_with_a_cure(project: Path, args: list[str], words: str) -> None:
    ran = sica(project, *args)
    assert ran.code == 2, ran
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


def test_settings_by_command(project: Path) -> None:
    assert sica(project, "config", "set", "trial.seconds", "45").code == 0
    assert sica(project, "config", "get", "trial.seconds").out == "45\n"
    assert sica(project, "config", "get", "trial.seconds", env={"SICA_TRIAL_SECONDS": "7"}).out == "7\n"
    listed = sica(project, "config", "list", "--json").json["settings"]
    found = {s["key"]: (s["value"], s["origin"]) for s in listed}
    assert found["trial.seconds"] == (45.0, str(project / "sica.toml"))
    assert found["confirm_above"] == (5.0, "default")
    assert "sica.toml" in sica(project, "config", "path").out
    assert "caps of one trial" in (project / "sica.toml").read_text()


def test_doctor_finds_what_a_run_needs(project: Path) -> None:
    ran = sica(project, "doctor", "--json", "--sandbox", "bubblewrap", env={"SICA_MODLE": "x"})
    findings = {f["what"]: f for f in ran.json["findings"]}
    assert {"git", "sandbox", "isolation", "model", "benchmark", "disk", "database"} <= set(findings)
    assert findings["settings"]["words"] == "SICA_MODLE sets nothing"
    assert (ran.code, ran.json["ok"]) == (0, True)


def test_doctor_says_what_fails_and_goes_on(project: Path) -> None:
    ran = sica(
        project, "doctor", "--sandbox", "bubblewrap", "--bench", "nope", "--model", "no-such-provider/x"
    )
    assert ran.code == 1
    lines = {line.split()[0]: line for line in ran.out.splitlines()}
    assert "failed" in lines["benchmark"]
    assert "no benchmark called 'nope'" in lines["benchmark"]
    assert "failed" in lines["model"]
    assert "ok" in lines["database"]


def test_an_unforeseen_error_is_one_line_and_a_log(project: Path, tmp_path: Path) -> None:
    broken = tmp_path / "sitecustomize.py"
    broken.write_text("import sica.report\nsica.report.rows = None\n")
    path = f"{tmp_path}:{Path(__file__).parents[1]}"
    ran: Ran = sica(project, "log", env={"PYTHONPATH": path})
    assert ran.code == 1
    assert "fault of sica itself" in ran.err
    assert "Traceback" not in ran.err
    log = Path(ran.err.strip().splitlines()[-1].rpartition(" ")[2])
    assert log.parent == project / ".sica" / "log"
    assert "Traceback" in log.read_text()
    assert "Traceback" in sica(project, "--debug", "log", env={"PYTHONPATH": path}).err


def test_tasks_are_listed(project: Path) -> None:
    found = sica(project, "tasks", "--bench", "smoke", "--json").json
    assert [t["task"] for t in found["tasks"]][:2] == ["smoke/smoke-1a-edit", "smoke/smoke-1b-locate"]
    assert all(t["grading"] and t["split"] for t in found["tasks"])
    assert "smoke: 8 tasks (8 train)" in sica(project, "tasks", "--bench", "smoke").out
