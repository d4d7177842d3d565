"""Settings: precedence, origins, and words for what is wrong."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sica import places
from sica.config import KEYS, assigned, resolve, unknown_variables, variable, written
from sica.errors import SicaError, StoreError, UsageError
from sica.model import Usage


def test_a_flag_beats_the_environment_beats_the_project_beats_the_user_beats_the_default(
    tmp_path: Path,
) -> None:
    user = tmp_path / "xdg" / "sica" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('model = "user"\npolicy = "user"\nbench = "user"\nsandbox = "user"\n')
    project = tmp_path / "sica.toml"
    project.write_text('model = "project"\npolicy = "project"\nbench = "project"\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "SICA_MODEL": "env", "SICA_POLICY": "env"}
    found = resolve({"model": "flag", "bench": None}, environ, project)
    c = found.config
    assert (c.model, c.policy, c.bench, c.sandbox, c.promote) == (
        "flag",
        "env",
        "project",
        "user",
        "separable",
    )
    origins = {key: origin for key, _, origin in found.rows()}
    assert origins["model"] == "flag"
    assert origins["policy"] == "SICA_POLICY"
    assert origins["bench"] == str(project)
    assert origins["sandbox"] == str(user)
    assert origins["promote"] == "default"


def test_defaults_need_no_key_and_little_machine() -> None:
    c = resolve({}, {"HOME": "/nonexistent"}).config
    assert (c.model, c.policy, c.bench, c.sandbox, c.max_cost) == ("offline", "greedy", "core", "auto", None)
    assert 1 <= c.workers <= 4


def test_tables_and_their_variables(tmp_path: Path) -> None:
    project = tmp_path / "sica.toml"
    project.write_text('[trial]\nseconds = 30\n[prices."a/b-3.5"]\nprompt = 3\ncompletion = 15\n')
    c = resolve({}, {"HOME": str(tmp_path), "SICA_IMPROVE_MAX_CALLS": "7"}, project).config
    assert (c.trial.seconds, c.improve.max_calls) == (30, 7)
    price = c.price("a/b-3.5")
    assert price is not None
    assert (price.prompt, price.completion, price.cached) == (3e-6, 15e-6, None)
    assert c.price("other") is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"max_cost": 0.0}, "max_cost = 0.0 (--max-cost): must be greater than 0"),
        ({"max_cost": float("nan")}, "max_cost = nan (--max-cost): must be a finite number"),
        ({"workers": 0}, "workers = 0 (--workers): must be greater than or equal to 1"),
        ({"promote": "luck"}, "promote = 'luck' (--promote): must be 'mean' or 'separable'"),
        ({"children": -1}, "children = -1 (--children)"),
    ],
)
def test_a_bad_flag_is_named_with_value_and_cure(flags: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(flags, {"HOME": "/nonexistent"})
    assert words in str(caught.value)
    assert caught.value.hint.startswith(next(iter(flags)) + ": ")


def test_a_bad_value_says_where_it_stands(tmp_path: Path) -> None:
    project = tmp_path / "sica.toml"
    project.write_text('[trial]\nseconds = "soon"\n')
    with pytest.raises(UsageError, match=r"trial.seconds = 'soon' \(.*sica.toml\): must be a valid number"):
        resolve({}, {"HOME": str(tmp_path)}, project)
    with pytest.raises(UsageError, match=r"workers = 'many' \(SICA_WORKERS\)"):
        resolve({}, {"HOME": str(tmp_path), "SICA_WORKERS": "many"})


def test_a_misspelt_key_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    project = tmp_path / "sica.toml"
    project.write_text("max_costs = 3\n")
    with pytest.raises(UsageError) as caught:
        resolve({}, {"HOME": str(tmp_path)}, project)
    assert "no setting called 'max_costs'" in str(caught.value)
    assert caught.value.hint == "did you mean 'max_cost'?"


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe", b"[trial]\n[trial]\n"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    project = tmp_path / "sica.toml"
    project.write_bytes(content)
    with pytest.raises(UsageError, match=r"sica.toml is not TOML"):
        resolve({}, {"HOME": str(tmp_path)}, project)


@pytest.mark.parametrize("key", ["max_cost", "day.max_cost", "trial.max_cost", "improve.max_cost"])
def test_any_cap_in_dollars_needs_a_price(key: str) -> None:
    assert not resolve({}, {}).config.capped_in_dollars
    assert resolve({key: 1.0}, {}).config.capped_in_dollars


def test_set_gives_any_setting_and_names_what_is_wrong() -> None:
    given = assigned(["day.max_cost=5", "trial.seconds = 30"])
    config = resolve(given, {}).config
    assert (config.day.max_cost, config.trial.seconds) == (5.0, 30.0)
    for words, told in (
        ("max_cost", "sets nothing"),
        ("trial.max_cot=1", "trial.max_cot"),
        ("prices=1", "cannot give prices"),
    ):
        with pytest.raises(UsageError, match=told):
            assigned([words])
    with pytest.raises(UsageError, match=r"--trial-max-cost.*greater than 0"):
        resolve(assigned(["trial.max_cost=-1"]), {})


def test_every_tier_of_a_price_is_in_dollars_for_a_million_tokens(tmp_path: Path) -> None:
    own = tmp_path / "sica.toml"
    own.write_text('[prices."a/b.c"]\nprompt = 3\ncompletion = 15\ncached = 0.3\ncache_write = 3.75\n')
    price = resolve({}, {}, own).config.price("a/b.c")
    assert price is not None
    assert price.of(Usage(0.0, 1_000_000, 300_000, 100_000, 1, cache_write_tokens=200_000)) == pytest.approx(
        0.5 * 3 + 0.3 * 0.3 + 0.2 * 3.75 + 0.1 * 15
    )


def test_every_setting_says_what_it_is_and_has_its_own_variable() -> None:
    assert all(KEYS.values())
    assert len({variable(key) for key in KEYS}) == len(KEYS)
    assert unknown_variables({"SICA_MODLE": "x", "SICA_MODEL": "y", "PATH": "z"}) == ["SICA_MODLE"]


def test_setting_a_value_keeps_comments_and_order() -> None:
    text = '# mine\nmodel = "offline"  # why\n\n[trial]\n# cap\nseconds = 3\n'
    text = written(text, "model", "a/b")
    text = written(text, "trial.seconds", "60")
    text = written(text, "max_cost", "12.5")
    text = written(text, "prices.x/y-1.5.prompt", "3")
    text = written(text, "prices.x/y-1.5.completion", "15")
    assert text.startswith('# mine\nmodel = "a/b"  # why\n')
    assert "# cap\nseconds = 60" in text
    import tomllib

    found = tomllib.loads(text)
    assert found["max_cost"] == 12.5
    assert found["prices"] == {"x/y-1.5": {"prompt": 3.0, "completion": 15.0}}


@pytest.mark.parametrize(
    ("key", "value"), [("workers", "0"), ("modle", "x"), ("prices", "3"), ("prices.m.prompt", "-1")]
)
def test_a_bad_value_is_never_written(key: str, value: str) -> None:
    with pytest.raises(UsageError):
        written("", key, value)


# ── places ────────────────────────────────────────────────────────────────────────────────────────


def test_the_project_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / ".sica" / "agents.git").mkdir(parents=True)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    found = places.find(deep, {})
    assert found is not None
    assert (found.project, found.db) == (tmp_path, tmp_path / ".sica" / "sica.db")


def test_no_project_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        places.require(tmp_path, {})
    assert "sica init" in caught.value.hint


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for a socket's."""
    with TemporaryDirectory(prefix="s", dir="/tmp") as folder:
        yield Path(folder)


def test_the_runtime_folder_can_be_walked_and_not_listed(short: Path) -> None:
    found = places.at(short / "project", {"TMPDIR": str(short)})
    old = os.umask(0o077)
    try:
        runtime = places.make_runtime(found)
    finally:
        os.umask(old)
    for folder in (runtime, runtime.parent, runtime / "s"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert places.make_runtime(found) == runtime


def test_a_prepared_link_is_refused(short: Path) -> None:
    found = places.at(short / "project", {"TMPDIR": str(short)})
    (short / "elsewhere").mkdir()
    found.runtime.parent.symlink_to(short / "elsewhere")
    with pytest.raises(StoreError, match="somebody else"):
        places.make_runtime(found)


def test_a_folder_of_somebody_else_is_refused(short: Path) -> None:
    if os.getuid():
        pytest.skip("only root can make a folder that belongs to another")
    found = places.at(short / "project", {"TMPDIR": str(short)})
    found.runtime.parent.mkdir()
    os.chown(found.runtime.parent, 12345, 12345)
    with pytest.raises(StoreError, match="somebody else"):
        places.make_runtime(found)


def test_a_path_too_long_for_a_socket_is_said_before_a_run(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    with pytest.raises(UsageError, match="too long for the sockets"):
        places.make_runtime(places.at(tmp_path, {"TMPDIR": str(long)}))


def test_two_projects_have_two_runtime_folders(tmp_path: Path) -> None:
    one, two = (places.at(tmp_path / name, {}).runtime for name in "ab")
    assert one != two
    assert issubclass(StoreError, SicaError)
