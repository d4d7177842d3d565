"""Harbor's folders are read unchanged; what is wrong is said with its cure."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sica import harbor
from sica.benchmarks import open_benchmark, shipped
from sica.benchmarks.folder import FolderBenchmark
from sica.errors import UsageError

MINIMAL = """
[task]
name = "demo/hello"
"""
TERMINAL_BENCH_2 = """
schema_version = "1.1"
artifacts = []

[task]
name = "terminal-bench/fix-git"
keywords = ["git"]

[metadata]
author_name = "A. Uthor"
author_email = "a@example.org"
difficulty = "easy"
category = "software-engineering"
tags = ["git"]
expert_time_estimate_min = 5.0
junior_time_estimate_min = 20.0

[verifier]
timeout_sec = 900.0

[agent]
timeout_sec = 900.0

[environment]
build_timeout_sec = 600.0
docker_image = "example/fix-git:20260403"
cpus = 1
memory_mb = 2048
storage_mb = 10240
gpus = 0
allow_internet = true
mcp_servers = []

[verifier.env]
[environment.env]
[solution.env]
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write(
        tmp_path / "demo" / "hello",
        {
            "task.toml": MINIMAL,
            "instruction.md": "Do it.\n",
            "tests/test.sh": "echo 1 > /logs/verifier/reward.txt\n",
        },
    )


def toml(task: Path, text: str) -> Path:
    (task / "task.toml").write_text(text, encoding="utf-8")
    return task


def test_a_minimal_folder_is_a_task(task: Path) -> None:
    (read,) = FolderBenchmark(task.parent, "demo").tasks()
    assert (read.id, read.workdir, read.split, read.grading, read.image) == (
        "demo/hello", "/app", "train", "script", None,
    )  # fmt: skip


def test_a_terminal_bench_folder_keeps_its_image_limits_and_raw_table(task: Path) -> None:
    benchmark = FolderBenchmark(toml(task, TERMINAL_BENCH_2), "tb")
    (read,) = benchmark.tasks()
    assert read.image == "example/fix-git:20260403"
    assert (read.limits.seconds, read.limits.memory_mb, read.limits.disk_mb) == (900.0, 2048, 10240)
    assert read.kind == "software-engineering"
    assert benchmark.folders["hello"].raw["metadata"]["tags"] == ["git"]
    assert benchmark.folders["hello"].warnings == ()


@pytest.mark.parametrize(
    ("size", "megabytes"), [("2G", 2048), ("512M", 512), ("2048K", 2), ("1.5 GiB", 1536), ("64", 64)]
)
def test_older_sizes_are_read(task: Path, size: str, megabytes: int) -> None:
    (read,) = FolderBenchmark(
        toml(task, f'version = "1.0"\n[environment]\nmemory = "{size}"\n'), "demo"
    ).tasks()
    assert read.limits.memory_mb == megabytes


def test_unknown_keys_are_warnings(task: Path) -> None:
    folder = harbor.read(toml(task, 'new_thing = 1\n[agent]\nspeed = 2\n[metadata]\nfree = "yes"\n'))
    assert folder.warnings == ("unknown key new_thing is ignored", "unknown key agent.speed is ignored")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[task\n", ["task.toml", "broken TOML", "line 1"]),
        ("[agent]\ntimeout_sec = 'soon'\n", ["task.toml", "agent.timeout_sec", "'soon'"]),
        ("[agent]\ntimeout_sec = -1\n", ["agent.timeout_sec", "-1", "greater than 0"]),
        ("[environment]\nmemory = 'lots'\n", ["environment.memory", "'lots'", "2G"]),
        ("[environment]\nworkdir = 'app'\n", ["environment.workdir", "'app'", "/app"]),
        ("[environment]\nworkdir = '/../etc'\n", ["environment.workdir"]),
        ("[metadata.sica]\nsplit = 'test'\n", ["metadata.sica.split", "'test'", "heldout"]),
        ("[metadata.sica]\ngrading = 'trust'\n", ["metadata.sica.grading", "'trust'", "two-box"]),
        ("[metadata.sica]\nweight = inf\n", ["metadata.sica.weight", "inf"]),
        ("schema_version = '9.9'\n", ["schema_version", "'9.9'", "1.4"]),
    ],
)
def test_a_bad_table_names_file_key_value_and_cure(task: Path, text: str, names: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        harbor.read(toml(task, text))
    said = f"{caught.value} {caught.value.hint}"
    assert all(name in said for name in names), said
    assert caught.value.hint


@pytest.mark.parametrize("missing", ["task.toml", "instruction.md", "tests/test.sh"])
def test_a_missing_file_is_named(task: Path, missing: str) -> None:
    (task / missing).unlink()
    with pytest.raises(UsageError, match=missing):
        harbor.read(task)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[environment]\ngpus = 1\n", "gpus"),
        ("[environment]\ntpu = {type = 'v5'}\n", "tpu"),
        ("[environment]\nos = 'windows'\n", "os=windows"),
        ("[environment]\nnetwork_mode = 'allowlist'\n", "allowlist networking"),
        ("[environment]\nmcp_servers = [{name = 'm', url = 'http://m'}]\n", "mcp_servers"),
        ("[[steps]]\nname = 'one'\n", "multi-step"),
        ("[verifier.env]\nKEY = '${OPENAI_API_KEY}'\n", "KEY takes a variable of the host"),
    ],
)
def test_what_cannot_be_given_is_left_out_by_name(task: Path, text: str, name: str) -> None:
    benchmark = FolderBenchmark(toml(task, text), "demo")
    assert benchmark.tasks() == ()
    assert any(f"unsupported: {name}" == why for why in benchmark.unsupported["hello"])


def test_a_compose_file_is_unsupported(task: Path) -> None:
    write(task, {"environment/docker-compose.yaml": "services: {main: {}, db: {}}\n"})
    assert FolderBenchmark(task, "demo").unsupported == {"hello": ("unsupported: compose",)}


def test_copies_are_laid_down_without_a_build(task: Path) -> None:
    dockerfile = (
        "# a comment\nFROM python:3.12-slim\nWORKDIR /app\nENV A=1 B='two words'\n"
        "COPY code/ ./\nCOPY a.txt b.txt docs/\n"
    )
    write(
        task,
        {
            "environment/Dockerfile": dockerfile,
            "environment/code/pkg/x.py": "x = 1\n",
            "environment/code/run.sh": "true\n",
            "environment/code/__pycache__/x.pyc": "junk",
            "environment/code/secret.txt": "no\n",
            "environment/.dockerignore": "# not these\n**/secret.txt\n",
            "environment/a.txt": "a\n",
            "environment/b.txt": "b\n",
        },
    )
    (task / "environment/code/run.sh").chmod(0o755)
    benchmark = FolderBenchmark(task, "demo")
    (read,) = benchmark.tasks()
    files = benchmark.workspace(read)
    assert sorted(files) == ["/app/docs/a.txt", "/app/docs/b.txt", "/app/pkg/x.py", "/app/run.sh"]
    assert files["/app/run.sh"].executable
    assert read.image is None
    assert dict(benchmark.folders["hello"].recipe.env) == {"A": "1", "B": "two words"}


@pytest.mark.parametrize(
    "line",
    [
        "RUN pip install x==1",
        "COPY --from=build /x /app/",
        "COPY https://x.org/a /app/",
        "COPY $HERE /app/",
        "USER me",
    ],
)
def test_anything_else_needs_an_image_of_its_own(task: Path, line: str) -> None:
    write(task, {"environment/Dockerfile": f"FROM python:3.12-slim\nWORKDIR /app\n{line}\n"})
    (read,) = FolderBenchmark(task, "demo").tasks()
    assert read.image == f"sica-task:{read.digest[:32]}"


def test_a_copy_out_of_the_workdir_is_unsupported(task: Path) -> None:
    write(task, {"environment/Dockerfile": "FROM x:1\nWORKDIR /app\nCOPY d /data\n", "environment/d": "d"})
    assert FolderBenchmark(task, "demo").unsupported["hello"] == (
        "unsupported: COPY to /data outside the workdir",
    )


def test_any_changed_byte_name_or_mode_is_another_task(task: Path) -> None:
    seen = {harbor.digest(task)}
    (task / "tests/test.sh").write_text("echo 0 > /logs/verifier/reward.txt\n")
    seen.add(harbor.digest(task))
    (task / "tests/test.sh").chmod(0o755)
    seen.add(harbor.digest(task))
    (task / "instruction.md").rename(task / "instructions.md")
    seen.add(harbor.digest(task))
    write(task, {"solution/solve.sh": ""})
    seen.add(harbor.digest(task))
    assert len(seen) == 5


def test_junk_does_not_change_the_digest(task: Path) -> None:
    before = harbor.digest(task)
    write(
        task, {"tests/__pycache__/a.pyc": "x", ".git/HEAD": "ref", "tests/.pytest_cache/v": "1", "x.pyc": "x"}
    )
    assert harbor.digest(task) == before


@given(st.dictionaries(st.text("ab", min_size=1, max_size=4), st.binary(max_size=4), min_size=1, max_size=4))
def test_two_folders_share_a_digest_only_when_they_are_equal(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for root in (one, two):
        for name, data in files.items():
            (root / name).write_bytes(data)
    assert harbor.digest(one) == harbor.digest(two)
    victim = two / sorted(files)[0]
    victim.write_bytes(victim.read_bytes() + b"!")
    assert harbor.digest(one) != harbor.digest(two)
    assert not stat.S_IMODE(victim.stat().st_mode) & 0o100


def test_a_link_in_a_task_is_refused(task: Path) -> None:
    (task / "tests" / "more").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match="may not hold links"):
        harbor.read(task)


def test_tasks_are_chosen_by_name_and_glob(task: Path) -> None:
    for name in ("fix-a", "fix-b"):
        write(task.parent / name, {"task.toml": MINIMAL, "instruction.md": "x", "tests/test.sh": ""})
    chosen = FolderBenchmark(task.parent, "demo", names=["demo/fix-*"]).tasks()
    assert [each.id for each in chosen] == ["demo/fix-a", "demo/fix-b"]
    with pytest.raises(UsageError, match="no task called 'fix-c'; there are: fix-a, fix-b, hello"):
        FolderBenchmark(task.parent, "demo", names=["fix-c"]).tasks()


def test_an_unknown_benchmark_says_what_there_is() -> None:
    with pytest.raises(UsageError, match="no benchmark called 'cor'; there are: ") as caught:
        open_benchmark("cor")
    assert "core" in str(caught.value)


def test_a_path_is_a_benchmark(task: Path) -> None:
    assert [each.id for each in open_benchmark(str(task.parent)).tasks()] == ["demo/hello"]
    assert [each.id for each in open_benchmark(str(task)).tasks()] == ["demo/hello"]


def test_every_shipped_task_is_read_without_a_warning() -> None:
    for name, path in shipped().items():
        benchmark = FolderBenchmark(path, name)
        assert benchmark.tasks()
        assert not benchmark.unsupported
        assert [folder.warnings for folder in benchmark.folders.values() if folder.warnings] == []
