"""What every sandbox promises. The same tests run against each; a new one passes them unchanged."""

# ruff: noqa: E501  # programs that run in boxes stand on one line

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import pytest

from sica.cgroups import Cgroups
from sica.errors import SandboxError, SandboxUnavailable, UsageError
from sica.model import BoxSpec, Ended, File, Job, Limits
from sica.sandboxes import open_sandbox
from sica.sandboxes.bubblewrap import Bubblewrap, own_python
from sica.sandboxes.docker import Docker, Engine, assert_confined, require_limits

ATTACKS = Path(__file__).with_name("box_attacks.py")
CANARY = ("canary-key-", "4c1f77e0b2")
ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
}
STORE = f"test{os.getpid()}"

Sandbox = Bubblewrap | Docker


def engine_or_skip(sandbox: Docker) -> None:
    try:
        sandbox.image()
    except SandboxUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def box(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """One sandbox for all tests; its runtime directory has a space and an umlaut and lies where only we can walk."""
    runtime = Path(tempfile.mkdtemp(prefix="läuft hier ", dir=Path.home()))
    os.environ["SOME_API_KEY"] = "".join(CANARY)
    sandbox = open_sandbox(request.param, store=STORE, runtime=runtime)
    try:
        if isinstance(sandbox, Docker):
            engine_or_skip(sandbox)
        yield sandbox
    finally:
        sandbox.close()
        shutil.rmtree(runtime)
        del os.environ["SOME_API_KEY"]


def spec(*writable: str, seconds: float = 60, **more: Any) -> BoxSpec:
    limits = {name: more.pop(name) for name in list(more) if name in Limits.__dataclass_fields__}
    return BoxSpec(
        writable=("/app", "/tmp", "/logs/agent", *writable), limits=Limits(seconds=seconds, **limits), **more
    )


def python(code: str, *arguments: str, **more: Any) -> Job:
    return Job(("python3", "-c", code, *arguments), env=ENV, **more)


def shell(script: str, **more: Any) -> Job:
    return Job(("sh", "-c", script), env=ENV, **more)


def attack(name: str, *arguments: str, **more: Any) -> Job:
    files = {"/tmp/attacks.py": File(ATTACKS.read_bytes())}
    return Job(("python3", "/tmp/attacks.py", name, *arguments), env=ENV, files=files, **more)


def succeeded(ended: Ended) -> Mapping[str, str]:
    """What an attack reported to have worked."""
    assert ended.exit_code == 0, ended
    result: Mapping[str, str] = json.loads(ended.stdout)
    return result


def command_lines(marker: str) -> list[str]:
    """Processes of the host, this one aside, whose arguments hold the marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if marker.encode() in line and path.parent.name != str(os.getpid()):
            found.append(line.decode(errors="replace"))
    return found


def until(condition: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


# ── a job's work ──────────────────────────────────────────────────────────────────────────────────


def test_files_go_in_and_come_out(box: Sandbox) -> None:
    files = {
        "/app/in/söme file.txt": File(b"\0\xff" * 1000),
        "/app/run.sh": File(b"#!/bin/sh\necho hi > out\n", True),
    }
    ended = box.run(spec(), Job(("./run.sh",), env=ENV, files=files, collect=("/app", "/logs/agent")))
    assert (ended.exit_code, ended.limit, ended.refused) == (0, None, ())
    assert ended.files == {**files, "/app/out": File(b"hi\n")}


def test_only_what_was_asked_for_comes_out(box: Sandbox) -> None:
    job = shell("echo a > a; echo b > /tmp/b; mkdir d; echo c > d/c", collect=("/app/d/c", "/app/none"))
    assert box.run(spec(), job).files == {"/app/d/c": File(b"c\n")}


def test_hostile_files_stay_inside(box: Sandbox) -> None:
    ended = box.run(spec(), attack("mess", collect=("/app",)))
    assert set(ended.files) == {"/app/good.txt", "/app/folder/run.sh"}
    assert ended.files["/app/folder/run.sh"].executable
    refused = "\n".join(ended.refused)
    for name in (
        "link",
        "fifo",
        "socket",
        "first",
        "second",
        "new\\nline",
        "red",
        "not-utf8",
        "folder/root",
        "deep",
        "sparse",
    ):
        assert name in refused
    assert refused.isprintable() or all(line.isprintable() for line in ended.refused)


def test_files_with_holes_cannot_claim_more_than_the_disks_hold(box: Sandbox) -> None:
    code = "[open(name, 'wb').truncate(20 << 20) for name in ('a', 'b')]; open('c', 'w').write('kept')"
    ended = box.run(spec(disk_mb=10, memory_mb=64), python(code, collect=("/app",)))
    assert sorted(ended.files) == ["/app/a", "/app/c"]
    assert ended.refused == (f"/app/b: too large: {20 << 20} bytes",)


def test_argv_environment_directory_and_stdin_arrive_as_given(box: Sandbox) -> None:
    words = ("a b", "", "$HOME `id` \"'\\", "line\nEOF\n", "ümläut", "-")
    code = "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), sys.stdin.read()]))"
    env = {**ENV, "EMPTY": "", "WEIRD": "a=b\nc"}
    job = Job(("python3", "-c", code, *words), cwd="/tmp", env=env, stdin=b"x" * 300_000)
    argv, seen, cwd, stdin = json.loads(box.run(spec(), job).stdout)
    assert argv == list(words)
    assert {name: value for name, value in seen.items() if name != "LC_CTYPE"} == env
    assert (cwd, len(stdin)) == ("/tmp", 300_000)


def test_a_program_that_does_not_read_its_input_ends_well(box: Sandbox) -> None:
    assert box.run(spec(), Job(("true",), env=ENV, stdin=b"x" * 1_000_000)).exit_code == 0


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143), ("kill -13 $$", 141)],
)
def test_exit_codes_and_signals(box: Sandbox, script: str, code: int) -> None:
    ended = box.run(spec(), shell(script))
    assert (ended.exit_code, ended.limit) == (code, None)


def test_a_missing_program_is_the_agent_s_fault(box: Sandbox) -> None:
    ended = box.run(spec(), Job(("no-such-program",), env=ENV))
    assert ended.exit_code == 127
    assert b"no-such-program: not found" in ended.stderr


def test_a_file_that_cannot_run_is_the_agent_s_fault(box: Sandbox) -> None:
    assert box.run(spec(), Job(("/etc/passwd",), env=ENV)).exit_code == 126


def test_a_missing_directory_or_mount_is_the_harness_failing(box: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no directory /nowhere"):
        box.run(spec(), Job(("true",), cwd="/nowhere", env=ENV))
    with pytest.raises(SandboxError, match="missing"):
        box.run(spec(mounts={"/agent": tmp_path / "missing"}), Job(("true",), env=ENV))
    with pytest.raises(SandboxError, match="outside the box's writable"):
        box.run(spec(), Job(("true",), env=ENV, files={"/app/../etc/x": File(b"")}))


def test_mounts_are_shown_read_only_from_where_only_we_can_walk(box: Sandbox) -> None:
    with tempfile.TemporaryDirectory(prefix="ein Ordner, für: ", dir=Path.home()) as name:
        folder = Path(name) / "tree"
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "main.py").write_text("print('from the tree')")
        job = Job(("python3", "/agent/main.py"), env=ENV)
        ended = box.run(spec(mounts={"/agent": folder}), job)
        assert ended.stdout == b"from the tree\n", ended
        assert succeeded(box.run(spec(mounts={"/agent": folder}), attack("places"))) == {}
        assert [path.name for path in folder.iterdir()] == ["main.py"]


def test_seconds_are_those_of_the_program(box: Sandbox) -> None:
    ended = box.run(spec(), shell("sleep 0.5"))
    assert 0.5 <= ended.seconds < 5


# ── limits ────────────────────────────────────────────────────────────────────────────────────────


def test_the_deadline_ends_every_process(box: Sandbox) -> None:
    marker = f"immortal-{box.name}-{os.getpid()}"
    code = "import subprocess,sys,time,signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code += "subprocess.run([sys.executable, '/tmp/attacks.py', 'immortal', sys.argv[1]])\nwhile True: signal.pause()"
    files = {"/tmp/attacks.py": File(ATTACKS.read_bytes())}
    job = Job(("python3", "-c", code, marker), env=ENV, files=files, collect=("/app",))
    begun = time.monotonic()
    ended = box.run(spec(seconds=1.5), job)
    assert (ended.exit_code, ended.limit) == (None, "seconds")
    assert "/app/started" in ended.files, "the immortal process did not even start"
    assert command_lines(marker) == []
    assert 1.5 <= ended.seconds < 10
    assert time.monotonic() - begun < 20


def test_at_the_deadline_a_program_may_say_goodbye(box: Sandbox) -> None:
    code = "import signal,sys\nsignal.signal(signal.SIGTERM, lambda *_: (open('bye','w').close(), sys.exit(0)))\n"
    ended = box.run(spec(seconds=1), python(code + "while True: signal.pause()", collect=("/app",)))
    assert (ended.exit_code, ended.limit, list(ended.files)) == (None, "seconds", ["/app/bye"])


def test_no_process_outlives_the_program(box: Sandbox) -> None:
    marker = f"daemon-{box.name}-{os.getpid()}"
    ended = box.run(spec(), attack("immortal", marker, collect=("/app",)))
    assert (ended.exit_code, ended.limit) == (0, None)
    assert "/app/started" in ended.files
    assert command_lines(marker) == []


def counts_memory(box: Sandbox) -> bool:
    """Without control groups the kernel limits each process instead, and the probe must say so."""
    return "rlimits" not in box.probe()["limits"]


def test_memory_is_limited_and_said(box: Sandbox) -> None:
    ended = box.run(spec(memory_mb=64), python("x = bytearray(400 << 20)"))
    if counts_memory(box):
        assert ended.exit_code in (137, None)
        assert ended.limit == "memory"
    else:
        assert (ended.exit_code, b"MemoryError" in ended.stderr) == (1, True)


def test_a_child_killed_for_memory_is_said_too(box: Sandbox) -> None:
    code = "import subprocess,sys; subprocess.run([sys.executable, '-c', 'x = bytearray(400 << 20)'])"
    ended = box.run(spec(memory_mb=64), python(code))
    assert ended.limit == ("memory" if counts_memory(box) else None)


def test_processes_are_limited(box: Sandbox) -> None:
    code = """
import os, time
n = 0
try:
    while n < 500:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        n += 1
except OSError:
    pass
print(n)
"""
    ended = box.run(spec(processes=20), python(code))
    assert ended.exit_code == 0
    assert 10 <= int(ended.stdout) <= 20


def test_disk_is_limited(box: Sandbox) -> None:
    code = """
import sys
for path in ("/app/fill", "/tmp/fill", "/logs/agent/fill"):
    written = 0
    try:
        with open(path, "wb", buffering=0) as file:
            while written < 64 << 20:
                written += file.write(bytes(1 << 20))
    except OSError:
        pass
    print(written >> 20)
"""
    ended = box.run(spec(disk_mb=8), python(code))
    assert all(6 <= int(size) <= 8 for size in ended.stdout.split()), ended


def test_open_files_are_limited(box: Sandbox) -> None:
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE))"
    assert box.run(spec(), python(code)).stdout == b"(1024, 1024) (0, 0)\n"


def test_a_flood_of_output_keeps_head_and_tail(box: Sandbox) -> None:
    code = "import os,sys\nos.write(1, b'HEAD')\nx = b'x' * (1 << 20)\nfor _ in range(200): sys.stdout.buffer.write(x)\n"
    code += "sys.stdout.buffer.write(b'TAIL'); sys.stdout.flush(); os.write(2, b'on stderr')"
    begun = time.monotonic()
    ended = box.run(spec(output_bytes=100_000), python(code))
    assert ended.exit_code == 0
    assert ended.stdout.startswith(b"HEAD") and ended.stdout.endswith(b"TAIL")
    assert 100_000 <= len(ended.stdout) < 100_100
    assert b"[... %d bytes dropped ...]" % ((200 << 20) + 8 - 100_000) in ended.stdout
    assert ended.stderr == b"on stderr"
    assert time.monotonic() - begun < 30


def test_cancel_ends_a_box_soon(box: Sandbox) -> None:
    cancel = threading.Event()
    marker = f"cancel-{box.name}-{os.getpid()}"

    def cancel_soon() -> None:
        until(lambda: command_lines(marker))
        cancel.set()

    threading.Thread(target=cancel_soon).start()
    begun = time.monotonic()
    ended = box.run(spec(seconds=60), python("import time; time.sleep(60)", marker), cancel)
    assert (ended.exit_code, ended.limit) == (None, "cancelled")
    assert time.monotonic() - begun < 15
    assert command_lines(marker) == []


@pytest.mark.parametrize("deaf", [False, True])
def test_a_program_that_is_told_to_stop_leaves_its_files(box: Sandbox, deaf: bool) -> None:
    """As at its time limit: TERM, and KILL for who does not listen. In a series, too."""
    stop = threading.Event()
    marker = f"stop-{deaf}-{box.name}-{os.getpid()}"
    heed = "signal.SIG_IGN" if deaf else "lambda *_: (open('bye', 'w').close(), sys.exit(0))"
    code = f"import signal,subprocess,sys\nsignal.signal(signal.SIGTERM, {heed})\nopen('half', 'w').close()\n"
    code += "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', 'now-' + sys.argv[1]])\n"
    code += "while True: signal.pause()"

    def stop_soon() -> None:
        until(lambda: command_lines(f"now-{marker}"))
        stop.set()

    threading.Thread(target=stop_soon).start()
    job = Job(("python3", "-c", code, marker), env=ENV, collect=("/app",))
    begun = time.monotonic()
    with box.series() as series:
        ended = series.run(spec(seconds=60), job, None, stop)
        after = series.run(spec(), shell("echo unharmed"))
    assert (ended.exit_code, ended.limit, ended.collected) == (None, "stopped", True)
    assert sorted(ended.files) == (["/app/half"] if deaf else ["/app/bye", "/app/half"])
    assert time.monotonic() - begun < 30
    assert command_lines(marker) == []
    assert after.stdout == b"unharmed\n"


def test_a_stop_before_the_start_or_after_the_end_harms_nothing(box: Sandbox) -> None:
    stop = threading.Event()
    stop.set()
    early = box.run(spec(seconds=60), shell("sleep 60"), None, stop)
    assert (early.limit, early.collected) == ("stopped", True)
    late = box.run(spec(), shell("echo x > a", collect=("/app",)), None, threading.Event())
    assert (late.limit, late.exit_code, list(late.files)) == (None, 0, ["/app/a"])


def test_who_cancels_does_not_wait_for_a_program_that_was_told_to_stop(box: Sandbox) -> None:
    cancel, stop = threading.Event(), threading.Event()
    cancel.set()
    stop.set()
    ended = box.run(spec(seconds=60), shell("sleep 60"), cancel, stop)
    assert (ended.limit, ended.collected, ended.files) == ("cancelled", False, {})


# ── confinement ───────────────────────────────────────────────────────────────────────────────────


def test_no_network_of_any_family(box: Sandbox) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener, socket.socket(socket.AF_UNIX) as abstract:
        port = listener.getsockname()[1]
        abstract.bind(f"\0host-listener-{port}")
        abstract.listen()
        assert succeeded(box.run(spec(), attack("network", str(port)))) == {}


def test_no_dangerous_system_call(box: Sandbox) -> None:
    assert succeeded(box.run(spec(), attack("calls"))) == {}


def test_nothing_but_the_writable_directories_is_writable(box: Sandbox) -> None:
    assert succeeded(box.run(spec(), attack("places"))) == {}


def test_the_first_process_cannot_be_ended_or_forged(box: Sandbox) -> None:
    ended = box.run(spec(), Job(attack("init").argv, env=ENV, files=attack("init").files))
    assert succeeded(ended) == {}


def test_no_secret_of_ours_can_be_read(box: Sandbox) -> None:
    secret = Path.home() / f"secret-{os.getpid()}"
    secret.write_text("".join(CANARY))
    try:
        ended = box.run(spec(), attack("canary", CANARY[0], CANARY[1][::-1]))
        assert succeeded(ended) == {}
    finally:
        secret.unlink()


def test_the_canary_would_be_found_if_it_were_there(box: Sandbox) -> None:
    job = attack("canary", CANARY[0], CANARY[1][::-1])
    files = {**job.files, "/app/leak": File("".join(CANARY).encode())}
    assert "/app/leak" in succeeded(box.run(spec(), Job(job.argv, env=ENV, files=files)))


def test_boxes_in_parallel_do_not_see_each_other(box: Sandbox) -> None:
    """Both stay until both have looked."""
    marker = f"parallel-{box.name}-{os.getpid()}"
    code = """
import os, socket, time
open("/tmp/mine", "w").write("x")
held = socket.socket(socket.AF_UNIX); held.bind("\\0shared"); held.listen()
tcp = socket.create_server(("127.0.0.1", 9999))
print(sorted(os.listdir("/tmp")), [p for p in os.listdir("/proc") if p.isdigit()], flush=True)
time.sleep(2)
"""
    ends: list[Ended] = []
    threads = [
        threading.Thread(target=lambda: ends.append(box.run(spec(), python(code, marker)))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == 2
    for ended in ends:
        assert ended.exit_code == 0, ended
        assert ended.stdout.startswith(b"['mine'] ['1', '")
        assert ended.stdout.count(b"'") == 6


def test_nothing_inside_tells_that_it_is_a_test(box: Sandbox) -> None:
    script = "hostname; id; cat /etc/passwd /etc/hostname /proc/1/cmdline /proc/self/cgroup; env; ls / /opt /opt/inside"
    said = box.run(spec(), shell(script)).stdout.lower()
    for word in (b"sica", b"benchmark", b"eval", socket.gethostname().encode().lower() + b"\n"):
        assert word not in said, said


def test_probe_says_how_boxes_are_confined(box: Sandbox) -> None:
    facts = box.probe()
    assert facts["network"] == "none"
    assert "filter" in facts["seccomp"] or "ours" in facts["seccomp"]
    assert box.image() == box.image()


# ── the model's door ──────────────────────────────────────────────────────────────────────────────


class Reply(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Three pieces; the second and third only after the reader has said that it got the first."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n in range(3):
            self.wfile.write(b"5\r\npart%d\r\n" % n)
            self.wfile.flush()
            self.server.gate.wait(10) if n == 0 else None  # type: ignore[attr-defined]
        self.wfile.write(b"0\r\n\r\n")

    def do_PUT(self) -> None:
        """The reader got the first piece of the stream while the rest was not yet written."""
        self.server.gate.set()  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def address_string(self) -> str:
        return "box"

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingMixIn, UnixStreamServer):
    request_queue_size = 64
    daemon_threads = True


@pytest.fixture
def door() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    with Server(str(directory / "gw.sock"), Reply) as server:
        server.gate = threading.Event()  # type: ignore[attr-defined]
        (directory / "gw.sock").chmod(0o666)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield directory
        server.shutdown()
        thread.join()
    shutil.rmtree(directory)


def test_the_relay_carries_parallel_requests(box: Sandbox, door: Path) -> None:
    code = """
import http.client, os, threading
def talk(n):
    line = http.client.HTTPConnection("127.0.0.1", 8765, timeout=30)
    for size in (10, 300_000, 1_000_000):
        body = bytes([n]) * size
        line.request("POST", "/", body)
        assert line.getresponse().read() == body
    done.append(n)
done = []
threads = [threading.Thread(target=talk, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sorted(done))
"""
    ended = box.run(spec(socket=door), python(code))
    assert ended.stdout == b"[0, 1, 2, 3, 4, 5, 6, 7]\n", ended


def test_the_relay_passes_a_stream_on_as_it_comes(box: Sandbox, door: Path) -> None:
    code = """
import http.client
line = http.client.HTTPConnection("127.0.0.1", 8765, timeout=30)
line.request("GET", "/")
reply = line.getresponse()
first = reply.read1(5)
other = http.client.HTTPConnection("127.0.0.1", 8765, timeout=30)
other.request("PUT", "/"); other.getresponse().read()
print(first, reply.read())
"""
    assert box.run(spec(socket=door), python(code)).stdout == b"b'part0' b'part1part2'\n"


def test_the_relay_passes_half_closes_on(box: Sandbox, tmp_path: Path) -> None:
    """The box sends, shuts its side, and still gets the answer that the end of its stream was waited for."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "gw.sock"))
        (directory / "gw.sock").chmod(0o666)
        listener.listen()

        def serve() -> None:
            line, _ = listener.accept()
            with line:
                got = b""
                while data := line.recv(65536):
                    got += data
                line.sendall(b"%d bytes" % len(got))

        thread = threading.Thread(target=serve)
        thread.start()
        code = """
import socket
line = socket.create_connection(("127.0.0.1", 8765))
line.sendall(b"x" * 500_000); line.shutdown(socket.SHUT_WR)
print(line.makefile("rb").read())
"""
        ended = box.run(spec(socket=directory), python(code))
        thread.join()
    shutil.rmtree(directory)
    assert ended.stdout == b"b'500000 bytes'\n", ended


def test_the_socket_cannot_be_replaced(box: Sandbox, door: Path) -> None:
    code = "import os\nfor act in (os.unlink, lambda p: open('/gw/x', 'w')):\n  try: act('/gw/gw.sock'); print('worked')\n"
    code += "  except OSError: print('no')"
    assert box.run(spec(socket=door), python(code)).stdout == b"no\nno\n"


def test_boxes_of_one_shape_are_new_every_time_and_have_their_own_door(box: Sandbox) -> None:
    """Some of them were made ahead: nobody can tell."""
    serve_in_turn(box)


def serve_in_turn(box: Any) -> None:
    """Each box reaches the server of its own job, and leaves the file that it alone made."""
    code = "import os, urllib.request; open('mine', 'x'); request = urllib.request.Request('http://127.0.0.1:8765', "
    code += "os.environ['WORD'].encode()); print(urllib.request.urlopen(request, timeout=30).read().decode())"
    for number in range(4):
        directory = Path(tempfile.mkdtemp(dir=Path.home()))
        directory.chmod(0o755)
        with Server(str(directory / "gw.sock"), Reply) as server:
            (directory / "gw.sock").chmod(0o666)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            job = Job(("python3", "-c", code), env={**ENV, "WORD": f"door {number}"}, collect=("/app",))
            ended = box.run(spec(socket=directory, seconds=30 + number), job)
            server.shutdown()
            thread.join()
        shutil.rmtree(directory)
        assert (ended.stdout, list(ended.files)) == (f"door {number}\n".encode(), ["/app/mine"]), ended


# ── a series ──────────────────────────────────────────────────────────────────────────────────────


def born(box: Any, **limits: Any) -> bytes:
    """When the box's first process was started: no two boxes have that in common."""
    code = "print(open('/proc/1/stat').read().rpartition(')')[2].split()[19])"
    ended: Ended = box.run(spec(**limits), python(code))
    assert ended.exit_code == 0, ended
    return ended.stdout


def test_in_a_series_nothing_of_a_job_is_there_for_the_next(box: Sandbox) -> None:
    marker = f"litter-{box.name}-{os.getpid()}"
    with box.series() as boxes:
        first = born(boxes)
        ended = boxes.run(spec(), attack("litter", marker, collect=("/app",)))
        assert "/app/good.txt" in ended.files, ended
        assert command_lines(marker) == []
        assert succeeded(boxes.run(spec(), attack("found"))) == {}
        assert (born(boxes) == first) is isinstance(box, Docker), "bubblewrap needs no box twice"


@pytest.mark.parametrize("doubt", ["segment", "locked", "starved"])
def test_in_a_series_a_box_in_doubt_is_not_used_again(box: Sandbox, doubt: str) -> None:
    small = {"memory_mb": 64}
    with box.series() as boxes:
        first = born(boxes, **small)
        ended = boxes.run(spec(**small), attack(doubt))
        assert succeeded(ended) == {}
        assert ended.limit == ("memory" if doubt == "starved" and counts_memory(box) else None)
        assert born(boxes, **small) != first


def test_in_a_series_each_job_has_its_own_door_and_deadline(box: Sandbox) -> None:
    with box.series() as boxes:
        assert boxes.run(spec(seconds=0.5), shell("sleep 60")).limit == "seconds"
        serve_in_turn(boxes)


def test_a_series_of_several_threads_mixes_nothing_up(box: Sandbox) -> None:
    code = (
        "import sys, time; open('mine', 'x').write(sys.argv[1]); time.sleep(0.05); print(open('mine').read())"
    )
    with box.series() as boxes, ThreadPoolExecutor(4) as pool:
        words = [f"word {n}" for n in range(16)]
        ended = list(pool.map(lambda word: boxes.run(spec(), python(code, word)), words))
    assert [each.stdout.decode().strip() for each in ended] == words


def test_closing_leaves_nothing_of_the_boxes_that_wait(box: Sandbox, tmp_path: Path) -> None:
    assert left_by(box, f"{STORE}c") == []
    other = open_sandbox(box.name, store=f"{STORE}c", runtime=tmp_path)
    for _ in range(3):
        assert other.run(spec(), Job(("true",), env=ENV)).exit_code == 0
    with other.series() as boxes:
        assert boxes.run(spec(), Job(("true",), env=ENV)).exit_code == 0
    other.close()
    assert list(tmp_path.iterdir()) == []
    assert left_by(box, f"{STORE}c") == []


def test_a_box_that_died_while_it_waited_is_not_used(box: Sandbox, tmp_path: Path) -> None:
    store = f"{STORE}d"
    assert left_by(box, store) == []
    other = open_sandbox(box.name, store=store, runtime=tmp_path)
    for _ in range(2):
        assert other.run(spec(), Job(("true",), env=ENV)).exit_code == 0
    assert until(lambda: len(left_by(box, store)) == 1), "the one that waits, all others being destroyed"
    kill_box(box, left_by(box, store)[0])
    ended = other.run(spec(), Job(("echo", "well"), env=ENV))
    other.close()
    assert ended.stdout == b"well\n", ended
    assert left_by(box, store) == []


def kill_box(box: Sandbox, name: str) -> None:
    """From outside, as the kernel or a user does, and wait until it is dead."""
    if isinstance(box, Docker):
        with Engine() as engine:
            engine.call("kill", name)
            engine.call("wait", name)
        return
    members = Path(name, "cgroup.procs")
    for process in members.read_text().split():
        os.kill(int(process), signal.SIGKILL)
    assert until(lambda: not members.read_text())


def left_by(box: Sandbox, store: str) -> list[str]:
    """Containers or control groups of a store."""
    if isinstance(box, Docker):
        with Engine() as engine:
            return [
                found["Id"]
                for found in engine.call("containers", all=True, filters={"label": f"sica.store={store}"})
            ]
    groups = Cgroups.find()
    if groups is None:
        pytest.skip("without control groups nothing tells a store's boxes")
    return sorted({path.name: str(path) for path in groups.named(f"box-{store}-")}.values())


# ── what a killed sica leaves ─────────────────────────────────────────────────────────────────────

VICTIM = """
import sys
from pathlib import Path
from sica.model import BoxSpec, Job, Limits
from sica.sandboxes import open_sandbox
name, store, runtime, marker = sys.argv[1:]
sandbox = open_sandbox(name, store=store, runtime=Path(runtime))
for _ in range(2):  # of this shape one box will wait
    sandbox.run(BoxSpec(limits=Limits(seconds=600)), Job(("true",), env={"PATH": "/usr/bin:/bin"}))
code = "import time; time.sleep(600)"
sandbox.run(BoxSpec(limits=Limits(seconds=600)), Job(("python3", "-c", code, marker), env={"PATH": "/usr/bin:/bin"}))
"""


def test_a_killed_sica_leaves_no_process_and_sweep_removes_the_rest(box: Sandbox, tmp_path: Path) -> None:
    store, inside = f"{STORE}k", f"left-{box.name}-{os.getpid()}"
    root = Path(__file__).parents[2]
    assert left_by(box, store) == []
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, box.name, store, str(tmp_path), inside], cwd=root
    )
    try:

        def running() -> list[str]:
            return [line for line in command_lines(inside) if "sica.model" not in line]

        assert until(running, 30), "the victim's box did not start"
        assert until(lambda: len(left_by(box, store)) == 2, 30), "the box at work and the one that waits"
        mine = open_sandbox(box.name, store=store, runtime=tmp_path)
        assert mine.sweep() == 0, "a living sica's box was swept"
        assert running()
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert until(lambda: not running()), "a box outlived its sica"
        other = open_sandbox(box.name, store=f"{STORE}other", runtime=tmp_path / "other")
        assert other.sweep() == 0
        other.close()
        if box.name == "docker":
            assert mine.sweep() == 2, "an engine removes nothing by itself"
        else:
            assert until(lambda: len(left_by(box, store)) <= 1), (
                "the launcher removes the groups it was told of"
            )
            mine.sweep()  # a waiting box may have had a group and no process yet
        assert mine.sweep() == 0
        mine.close()
        assert list(tmp_path.glob("box-*")) == []
        assert left_by(box, store) == []
    finally:
        victim.kill()
        victim.wait()


# ── refusing ──────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_sandbox_is_named_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="no sandbox called 'dokcer'; there are: auto, bubblewrap, docker"
    ) as error:
        open_sandbox("dokcer", store="x", runtime=tmp_path)
    assert error.value.hint == "did you mean 'docker'?"


def test_sica_s_own_python_serves_where_the_system_has_none(tmp_path: Path) -> None:
    """Its prefix may lie below a home directory that the box's user cannot walk."""
    prefix = Path(sys.base_prefix).resolve()
    if prefix.is_relative_to("/usr"):
        pytest.skip("this Python is the system's")
    sandbox = Bubblewrap(store=STORE, runtime=tmp_path, python=own_python())
    ended = sandbox.run(spec(), python("import sys, ctypes; print(sys.version_info[:3], sys.prefix)"))
    sandbox.close()
    assert ended.stdout == f"{sys.version_info[:3]} /usr/local\n".encode(), ended


def test_auto_opens_one_that_works(tmp_path: Path) -> None:
    sandbox = open_sandbox("auto", store=STORE, runtime=tmp_path)
    assert sandbox.run(spec(), Job(("true",), env=ENV)).exit_code == 0
    sandbox.close()
    assert list(tmp_path.iterdir()) == []


def test_parallel_boxes_of_one_sandbox_are_all_reported(tmp_path: Path) -> None:
    sandbox = open_sandbox("bubblewrap", store=STORE, runtime=tmp_path)
    codes: list[int | None] = []
    threads = [
        threading.Thread(target=lambda n=n: codes.append(sandbox.run(spec(), shell(f"exit {n}")).exit_code))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sandbox.close()
    assert sorted(code for code in codes if code is not None) == list(range(12))


def test_bubblewrap_refuses_images(tmp_path: Path) -> None:
    sandbox = open_sandbox("bubblewrap", store="x", runtime=tmp_path)
    with pytest.raises(SandboxUnavailable, match="has no images"):
        sandbox.run(BoxSpec(image="python:3"), Job(("true",)))


@pytest.mark.docker
def test_a_missing_image_says_how_to_get_it(tmp_path: Path) -> None:
    sandbox = Docker(store="x", runtime=tmp_path)
    engine_or_skip(sandbox)
    with pytest.raises(SandboxUnavailable, match="no Docker image nowhere/nothing:1"):
        sandbox.run(BoxSpec(image="nowhere/nothing:1"), Job(("true",)))
    sandbox.close()


@pytest.mark.docker
def test_a_foreign_image_runs_as_root_with_few_capabilities(tmp_path: Path) -> None:
    sandbox = Docker(store="x", runtime=tmp_path)
    engine_or_skip(sandbox)
    script = "id -u; touch /usr/x && chown 5 /usr/x && stat -c %u /usr/x; grep CapBnd /proc/self/status; echo f > /srv/f"
    box_spec = BoxSpec(image="sica-sandbox", profile="compat", writable=("/logs/agent",))
    ended = sandbox.run(box_spec, shell(script, collect=("/srv",)))
    sandbox.close()
    assert ended.stdout == b"0\n5\nCapBnd:\t00000000000004fb\n", ended
    assert ended.files == {"/srv/f": File(b"f\n")}


def test_an_engine_that_cannot_limit_is_refused() -> None:
    with pytest.raises(SandboxUnavailable, match="lacks PidsLimit"):
        require_limits({"MemoryLimit": True, "PidsLimit": False, "CpuCfsQuota": True})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Privileged", True),
        ("NetworkMode", "host"),
        ("CapAdd", ["SYS_ADMIN"]),
        ("PidsLimit", 0),
        ("PidMode", "host"),
    ],
)
def test_a_container_that_is_not_as_asked_is_refused(name: str, value: object) -> None:
    host = {"SecurityOpt": ["no-new-privileges:true"], "NetworkMode": "none", "PidsLimit": 5, "Mounts": []}
    asked = {"HostConfig": host, "User": "1000:1000"}
    assert_confined({"HostConfig": host, "Config": {"User": "1000:1000"}, "Mounts": []}, asked)
    made = {"HostConfig": {**host, name: value}, "Config": {"User": "1000:1000"}, "Mounts": []}
    with pytest.raises(SandboxError, match=name):
        assert_confined(made, asked)
