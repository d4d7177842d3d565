"""`sica init --agent`: folders, git addresses with a ref, presets."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import sica
from test_cli_init import files_of, git, seed

from sica import contract, presets
from sica.cli.sources import clone, split
from sica.errors import UsageError
from sica.model import File


@pytest.mark.parametrize(
    ("words", "url", "ref"),
    [
        ("https://example.org/a.git", "https://example.org/a.git", ""),
        ("https://example.org/a.git@v2", "https://example.org/a.git", "v2"),
        ("https://me@example.org/a.git@feature/x", "https://me@example.org/a.git", "feature/x"),
        ("git@example.org:me/a.git", "git@example.org:me/a.git", ""),
        ("git@example.org:me/a.git@0a1b2c3", "git@example.org:me/a.git", "0a1b2c3"),
        ("ssh://git@example.org:22/a@main", "ssh://git@example.org:22/a", "main"),
        ("../agents@v1", "../agents", "v1"),
    ],
)
def test_a_ref_stands_behind_the_address(words: str, url: str, ref: str) -> None:
    assert split(words) == (url, ref)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A repository with two versions of an agent, a link, and a hook that would leave a mark."""
    place = seed(tmp_path / "there")
    git(place, "init", "-q", "-b", "main")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "one")
    git(place, "tag", "v1")
    (place / "added.py").write_text("x = 1\n")
    (place / "link").symlink_to("/etc/passwd")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "two")
    return place


@pytest.mark.parametrize(("ref", "added"), [("", True), ("@v1", False), ("@main", True)])
def test_a_git_address_gives_the_tree_at_its_ref(there: Path, tmp_path: Path, ref: str, added: bool) -> None:
    project = tmp_path / "my project"
    project.mkdir()
    ran = sica(project, "init", "--agent", there.as_uri() + ref)
    assert ran.code == 0, ran.err
    assert ("added.py" in files_of(project)) == added
    assert "link" not in files_of(project)
    assert ("link" in ran.err) == added


def test_a_folder_may_have_a_ref_too_and_a_hook_of_the_users_templates_is_not_run(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "templates" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    (hooks / "post-checkout").chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(hooks.parent))
    taken = clone(str(there), "v1")
    assert set(taken.files) == {"agent.toml", "main.py"}
    assert taken.files["main.py"] == File((there / "main.py").read_bytes())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("ref", "words"),
    [("nosuch", "no such ref"), ("--upload-pack=touch x", "is no ref"), ("v1:agent.toml", "ref")],
)
def test_a_ref_that_is_not_there_or_is_no_ref_is_refused(there: Path, ref: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        clone(str(there), ref)


def test_an_address_that_would_start_a_program_is_refused() -> None:
    with pytest.raises(UsageError, match="ext"):
        clone("ext::sh -c true", "")


def test_what_is_neither_folder_address_nor_preset_is_named_with_the_presets(tmp_path: Path) -> None:
    ran = sica(tmp_path, "init", "--agent", "nosuch")
    assert ran.code == 2
    assert "does not exist" in ran.err and "mini-swe-agent" in ran.err
    assert "is for presets" in sica(tmp_path, "init", "--agent", ".", "--wheel", "x.whl").err
    assert "no file x.whl" in sica(tmp_path, "init", "--agent", "aider", "--wheel", "x.whl").err


def test_a_preset_without_an_index_says_what_is_missing(tmp_path: Path) -> None:
    env = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0", "UV_NO_CACHE": "1"}
    ran = sica(tmp_path, "init", "--agent", "aider", env=env)
    assert ran.code == 2
    assert "aider cannot be fetched" in ran.err and "--wheel" in ran.err
    assert not (tmp_path / ".sica").exists()


def test_every_preset_has_a_manifest_that_an_agent_may_have() -> None:
    for name in presets.names():
        files = {
            "agent.toml": File(presets.named(name).manifest.encode()),
            "requirements.txt": File(b"rich\n"),
        }
        asks = contract.manifest(files)
        assert (asks.name, contract.packages(files, asks)) == (name, ("rich",))
        assert asks.output.trajectory
