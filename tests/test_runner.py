"""The first process of a box: its filter for both machines, and what it keeps of a flood."""

from __future__ import annotations

import errno
import signal
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sica.inside import runner

MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


def verdict(machine: str, number: int, *arguments: int, arch: int | None = None) -> str:
    """What the kernel would answer, by running the filter."""
    program = runner.seccomp_filter(machine)
    data = {0: number, 4: MACHINES[machine][0] if arch is None else arch}
    data |= {16 + 8 * n: value for n, value in enumerate(arguments)}
    at = accumulator = 0
    while True:
        code, true, false, value = program[at]
        at += 1
        if code == runner.RETURN:
            break
        if code == runner.LOAD:
            accumulator = data.get(value, 0)
            continue
        holds = {
            runner.JUMP_EQ: accumulator == value,
            runner.JUMP_GE: accumulator >= value,
            runner.JUMP_SET: bool(accumulator & value),
        }[code]
        at += true if holds else false
    if value == runner.ALLOW:
        return "allow"
    return "kill" if value == runner.KILL else errno.errorcode[value & 0xFFFF]


machines = pytest.mark.parametrize("machine", sorted(MACHINES))


@machines
def test_every_named_call_is_refused(machine: str) -> None:
    column = MACHINES[machine][1]
    for name, numbers in runner.NUMBERS.items():
        number = numbers[column]
        if number is not None:
            assert verdict(machine, number) == "EPERM", name


@machines
def test_threads_and_forks_are_allowed_and_namespaces_are_not(machine: str) -> None:
    clone = runner.CLONE[MACHINES[machine][1]]
    assert verdict(machine, clone, signal.SIGCHLD) == "allow"
    assert verdict(machine, clone, 0x3D0F00) == "allow"  # what pthread_create passes
    for bit in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, clone, bit | signal.SIGCHLD) == "EPERM"
    assert verdict(machine, runner.CLONE3[0]) == "ENOSYS"


@machines
def test_only_three_socket_families(machine: str) -> None:
    socket = runner.SOCKET[MACHINES[machine][1]]
    assert [family for family in range(50) if verdict(machine, socket, family) == "allow"] == [1, 2, 10]
    assert verdict(machine, socket, 40) == "EAFNOSUPPORT"


@machines
def test_terminals_cannot_be_typed_into(machine: str) -> None:
    ioctl = runner.IOCTL[MACHINES[machine][1]]
    assert verdict(machine, ioctl, 1, 0x5412) == verdict(machine, ioctl, 1, 0x541C) == "EPERM"
    assert verdict(machine, ioctl, 1, 0x5413) == "allow"


@machines
def test_another_machine_s_calls_are_no_way_round(machine: str) -> None:
    assert verdict(machine, 0, arch=0x40000003) == "kill"
    if machine == "x86_64":
        assert verdict(machine, 0x40000000 | 165) == "ENOSYS"


@machines
def test_everything_else_is_allowed(machine: str) -> None:
    column = MACHINES[machine][1]
    named = {numbers[column] for numbers in runner.NUMBERS.values()}
    special = {calls[column] for calls in (runner.CLONE, runner.CLONE3, runner.SOCKET, runner.IOCTL)}
    for number in set(range(470)) - named - special:
        assert verdict(machine, number) == "allow"


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(runner.Refused, match="riscv64"):
        runner.seccomp_filter("riscv64")


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(2, 50))
def test_head_and_tail_are_kept_and_the_rest_counted(pieces: Sequence[bytes], limit: int) -> None:
    kept, whole = runner.Kept(limit), b"".join(pieces)
    for piece in pieces:
        kept.add(piece)
    half = limit // 2
    if len(whole) <= 2 * half:
        assert kept.kept() == whole
    else:
        gap = b"\n[... %d bytes dropped ...]\n" % (len(whole) - 2 * half)
        assert kept.kept() == whole[:half] + gap + whole[-half:]
