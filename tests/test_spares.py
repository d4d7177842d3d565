"""Boxes made ahead: which are made, who gets them, and that every one is destroyed. The boxes here are records."""

from __future__ import annotations

import threading
from concurrent.futures import wait
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sica.errors import SandboxError
from sica.model import BoxSpec, Limits
from sica.sandboxes.spares import IDLE, THREADS, Spares


@dataclass
class Box:
    spec: BoxSpec
    jobs: int = 0
    dead: bool = False
    destroyed: threading.Event = field(default_factory=threading.Event)


class Yard:
    """Makes and destroys boxes, and knows all of them."""

    def __init__(self, folder: Path) -> None:
        self.made: list[Box] = []
        self.trouble: SandboxError | None = None
        self.spares = Spares(self.make, self.destroy, lambda box: not box.dead, folder / "doors")

    def make(self, spec: BoxSpec) -> Box:
        self.made.append(Box(spec))
        return self.made[-1]

    def destroy(self, box: Box) -> None:
        if self.trouble:
            raise self.trouble
        box.destroyed.set()

    def job(self, spec: BoxSpec) -> Box:
        """It lasts until the next box waits, as jobs do: one that is not begun by then would not be used."""
        with self.spares.use(spec) as box:
            box.jobs += 1
            wait(made for waiting in self.spares._idle.values() for made in waiting)
        return box


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def test_a_box_serves_one_job_and_every_box_is_destroyed(yard: Yard) -> None:
    served = [yard.job(BoxSpec()) for _ in range(5)]
    yard.spares.close()
    assert [box.jobs for box in served] == [1] * 5
    assert len({id(box) for box in served}) == 5
    assert len(yard.made) > 5, "none was made ahead"
    assert all(box.destroyed.is_set() for box in yard.made)


def test_what_is_asked_for_once_is_made_once(yard: Yard) -> None:
    for number in range(20):
        yard.job(BoxSpec(writable=(f"/{number}",)))
    yard.spares.close()
    assert len(yard.made) == 20


def test_another_deadline_is_the_same_box_and_another_memory_is_not(yard: Yard) -> None:
    for seconds in (1, 2, 3):
        yard.job(BoxSpec(limits=Limits(seconds=seconds)))
    assert yard.job(BoxSpec(limits=Limits(memory_mb=77))).spec.limits.memory_mb == 77
    yard.spares.close()
    assert len(yard.made) == 5  # three asked for and one that still waited, and the one with little memory


def test_a_directory_made_anew_is_not_the_one_that_waits(yard: Yard, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    spec = BoxSpec(mounts={"/agent": tree})
    yard.job(spec)
    yard.job(spec)
    waiting = len(yard.made)
    tree.rename(tmp_path / "old")
    tree.mkdir()
    yard.job(spec)
    assert len(yard.made) == waiting + 1
    yard.spares.close()


def test_a_missing_mount_is_named(yard: Yard, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"there is no .*gone to show at /agent"):
        yard.job(BoxSpec(mounts={"/agent": tmp_path / "gone"}))
    yard.spares.close()
    assert yard.made == []


def test_the_door_of_a_box_made_ahead_leads_to_the_job_s_own_socket(yard: Yard, tmp_path: Path) -> None:
    seen = []
    for number in range(4):
        door = tmp_path / f"session{number}"
        door.mkdir()
        (door / "gw.sock").write_text(f"socket {number}")
        with yard.spares.use(BoxSpec(socket=door)) as box:
            assert box.spec.socket is not None
            seen.append((box.spec.socket / "gw.sock").read_text())
    yard.spares.close()
    assert seen == [f"socket {number}" for number in range(4)]
    assert list((tmp_path / "doors").iterdir()) == []


def test_without_a_socket_yet_the_box_sees_the_directory_itself(yard: Yard, tmp_path: Path) -> None:
    spec = BoxSpec(socket=tmp_path)
    assert [yard.job(spec).spec.socket for _ in range(3)] == [tmp_path] * 3
    yard.spares.close()
    assert all(box.destroyed.is_set() for box in yard.made)


def test_no_more_than_so_many_wait_and_the_oldest_go_first(yard: Yard) -> None:
    specs = [BoxSpec(writable=(f"/{number}",)) for number in range(3 * IDLE)]
    for spec in specs * 2:
        yard.job(spec)
    waited = [yard.job(spec) for spec in specs[-IDLE:]]
    forgotten = [yard.job(spec) for spec in specs[:IDLE]]
    yard.spares.close()
    rank = {id(box): number for number, box in enumerate(yard.made)}
    assert max(rank[id(box)] for box in waited) < min(rank[id(box)] for box in forgotten)
    assert all(box.destroyed.is_set() for box in yard.made)


def test_a_box_that_cannot_be_destroyed_is_not_kept_secret(yard: Yard) -> None:
    yard.trouble = SandboxError("the group is busy")
    yard.job(BoxSpec())
    with pytest.raises(SandboxError, match="a box could not be destroyed: the group is busy"):
        yard.spares.close()


def test_a_box_that_could_not_be_made_ahead_is_made_again_and_the_error_is_met_there(tmp_path: Path) -> None:
    made: list[BoxSpec] = []

    def make(spec: BoxSpec) -> Box:
        made.append(spec)
        if threading.current_thread() is not threading.main_thread():
            raise SandboxError("no room")
        return Box(spec)

    spares = Spares(make, lambda box: box.destroyed.set(), lambda _: True, tmp_path / "doors")
    for _ in range(4):
        with spares.use(BoxSpec(socket=tmp_path)) as box:
            box.jobs += 1
    spares.close()
    assert 4 <= len(made) <= 7, "four for the jobs, at most three ahead in vain"
    assert list((tmp_path / "doors").iterdir()) == []


def test_a_box_that_died_while_it_waited_is_destroyed_and_not_used(yard: Yard) -> None:
    for _ in range(2):
        yard.job(BoxSpec())
    assert len(yard.made) == 3, "none waits"
    for box in yard.made:
        box.dead = True
    used = yard.job(BoxSpec())
    yard.spares.close()
    assert not used.dead
    assert all(box.destroyed.is_set() for box in yard.made)


def test_closing_begins_no_more_boxes_and_leaves_the_one_in_use_to_its_user(yard: Yard) -> None:
    yard.job(BoxSpec())
    with yard.spares.use(BoxSpec()) as box:
        yard.spares.close()
        made = len(yard.made)
        assert not box.destroyed.is_set()
        with yard.spares.use(BoxSpec()) as late:
            pass
        assert late.destroyed.is_set()
    assert box.destroyed.is_set()
    assert len(yard.made) == made + 1, "none ahead any more"
    assert all(box.destroyed.is_set() for box in yard.made)


def test_a_box_is_destroyed_also_when_the_next_one_cannot_be_begun(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "doors").rmdir()  # as a full disk would: no door can be made
    door = tmp_path / "session"
    door.mkdir()
    for _ in range(3):
        yard.job(BoxSpec(socket=door))
    yard.spares.close()
    assert [box.jobs for box in yard.made] == [1, 1, 1]
    assert all(box.destroyed.is_set() for box in yard.made)


def test_closing_does_not_wait_for_boxes_that_were_not_begun(tmp_path: Path) -> None:
    go, made = threading.Event(), []

    def make(spec: BoxSpec) -> Box:
        if threading.current_thread() is not threading.main_thread():
            assert go.wait(30)
        made.append(Box(spec))
        return made[-1]

    spares = Spares(make, lambda box: box.destroyed.set(), lambda _: True, tmp_path / "doors")
    shapes = [BoxSpec(writable=(f"/{number}",)) for number in range(IDLE)]
    for spec in shapes * 2:
        with spares.use(spec):
            pass
    closing = threading.Thread(target=spares.close)
    closing.start()
    while not spares._closed:
        closing.join(0.001)
    go.set()
    closing.join(30)
    assert not closing.is_alive()
    assert len(made) <= 2 * IDLE + THREADS
    assert all(box.destroyed.is_set() for box in made)
