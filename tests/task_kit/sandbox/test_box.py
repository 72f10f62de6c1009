from __future__ import annotations

import os
import signal
import socket
import stat
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from task_kit import sandbox
from task_kit.sandbox import Level, Limits, SandboxError, Spec
from task_kit.sandbox.launcher import SHARED
from task_kit.sandbox.probes import running

from .running import LEVELS, run

if TYPE_CHECKING:
    from collections.abc import Callable


def test_what_it_prints_and_how_it_ends_come_back(level: Level) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"

    outcome = run(code, level=level)

    assert (outcome.exit_code, outcome.signal, outcome.reason) == (3, None, None)
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")
    assert outcome.level is level
    assert not outcome.leftover


def test_a_signal_is_told_apart_from_an_exit(level: Level) -> None:
    outcome = run("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", level=level)

    assert (outcome.exit_code, outcome.signal) == (None, signal.SIGTERM)


def test_it_costs_what_it_took(level: Level) -> None:
    outcome = run(
        "import time; held = b'x' * (64 << 20)\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass",
        level=level,
    )

    assert outcome.peak_bytes > 64 << 20
    assert 0.2 <= outcome.cpu_s < 2
    assert outcome.wall_s >= 0.2


def test_nobody_in_it_is_root(level: Level) -> None:
    outcome = run("import os; print({0} & {*os.getresuid(), *os.getresgid(), *os.getgroups()})", level=level)

    assert outcome.stdout == b"set()\n"


def test_the_environment_is_what_was_given_and_no_more(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-secret")

    outcome = run("import os; print(sorted(set(os.environ) - {'LC_CTYPE', 'TMPDIR'}))", level=level, env={"GIVEN": "1"})

    assert outcome.stdout == b"['GIVEN']\n"


def test_standard_input_is_empty(level: Level) -> None:
    assert run("print(input())", level=level).stderr.endswith(b"EOFError: EOF when reading a line\n")


def test_what_lay_in_the_writable_folder_is_there_and_what_is_written_stays(level: Level, out: Path) -> None:
    (out / "given").mkdir()
    (out / "given" / "note").write_text("before", encoding="utf-8")
    code = """
from pathlib import Path
from typing import TYPE_CHECKING
print(Path("given/note").read_text())
Path("given/note").write_text("after")
Path("made").mkdir()
Path("made/file").write_text("new")
"""
    outcome = run(code, level=level, writable=out)

    assert (outcome.stdout, outcome.stderr) == (b"before\n", b"")
    assert (out / "given" / "note").read_text(encoding="utf-8") == "after"
    assert (out / "made" / "file").read_text(encoding="utf-8") == "new"


def test_what_it_removes_is_gone(level: Level, out: Path) -> None:
    (out / "note").write_text("before", encoding="utf-8")

    run("import os; os.remove('note')", level=level, writable=out)

    assert list(out.iterdir()) == []


def test_what_is_readable_cannot_be_written(level: Level, tmp_path: Path) -> None:
    if level is Level.PROCESS:
        pytest.skip("the level of processes does not claim it")
    note = tmp_path / "note"
    note.write_text("before", encoding="utf-8")
    note.chmod(0o666)

    outcome = run(f"print(open({str(note)!r}).read()); open({str(note)!r}, 'w')", level=level, readable=(tmp_path,))

    assert outcome.stdout == b"before\n"
    assert outcome.exit_code == 1
    assert note.read_text(encoding="utf-8") == "before"


def test_a_socket_that_is_readable_leads_to_who_listens_at_it(tmp_path: Path) -> None:
    if Level.NAMESPACES not in LEVELS:
        pytest.skip("only there a box has a view of its own, and may use sockets of files")
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    path = folder / "socket"
    code = f"import os, socket; s = socket.socket(socket.AF_UNIX); os.chdir({str(folder)!r}); s.connect('socket'); print(s.recv(9))"
    with socket.socket(socket.AF_UNIX) as listener, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        listener.bind(path.name)
        path.chmod(0o666)
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"outside")

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        outcome = run(code, level=Level.NAMESPACES, readable=(path,))

    assert outcome.stdout == b"b'outside'\n", outcome.stderr


def test_links_and_pipes_stay_what_they_are_and_are_not_followed(level: Level, out: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="utf-8")
    code = f"import os; os.symlink({str(secret)!r}, 'link'); os.symlink('/', 'top'); os.mkfifo('pipe')"

    assert run(code, level=level, writable=out).exit_code == 0

    kinds = {path.name: stat.S_IFMT(path.lstat().st_mode) for path in out.iterdir()}
    assert kinds == {"link": stat.S_IFLNK, "top": stat.S_IFLNK, "pipe": stat.S_IFIFO}


def test_closed_files_are_fetched_all_the_same(level: Level, out: Path) -> None:
    code = "import os; os.mkdir('closed'); open('closed/file', 'w').write('x'); os.chmod('closed/file', 0); os.chmod('closed', 0)"

    assert run(code, level=level, writable=out).exit_code == 0
    (out / "closed").chmod(0o700)
    (out / "closed" / "file").chmod(0o600)

    assert (out / "closed" / "file").read_text(encoding="utf-8") == "x"


def test_temporary_files_have_a_place_and_go_with_the_box(level: Level) -> None:
    code = "import tempfile; name = tempfile.mkdtemp(); open(name + '/file', 'w').write('x'); print(name)"

    outcome = run(code, level=level)

    assert outcome.exit_code == 0
    assert not Path(outcome.stdout.decode().strip()).exists()


def test_a_temporary_folder_goes_however_deep_and_closed_it_is() -> None:
    code = """
import os, tempfile
os.chdir(tempfile.mkdtemp())
for _ in range(300):
    os.mkdir("d"); os.chdir("d")
open("file", "w").close()
os.chmod("../../d", 0o500)
"""
    assert run(code, level=Level.PROCESS).exit_code == 0  # that nothing is left is checked after every test


def test_a_tree_is_cut_where_nobody_could_remove_it(level: Level, out: Path) -> None:
    code = "import os\nfor _ in range(100):\n    os.mkdir('d'); os.chdir('d')\n"

    outcome = run(code, level=level, writable=out)

    assert outcome.reason == "disk"
    assert sum(1 for _ in os.walk(out)) < 100


def test_a_daemon_does_not_outlive_its_box(level: Level, token: str) -> None:
    code = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", {token!r}])
    os._exit(0)
os.wait()
"""
    outcome = run(code, level=level)

    assert outcome.exit_code == 0
    assert outcome.leftover


def test_helpers_of_an_honest_program_are_nothing_left_over(level: Level) -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(0.02)'])"

    assert not run(code, level=level).leftover


def test_many_boxes_at_once_do_not_disturb_each_other(level: Level, tmp_path: Path) -> None:
    outcomes: dict[int, bytes] = {}

    def one(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        run(f"open('file', 'w').write('{number}'); print({number})", level=level, writable=folder)
        outcomes[number] = (folder / "file").read_bytes()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == {number: str(number).encode() for number in range(6)}


def test_a_program_that_is_not_there_is_the_callers_fault(level: Level, tmp_path: Path) -> None:
    spec = Spec(argv=(str(tmp_path / "none"),), env={}, cwd=tmp_path, readable=(tmp_path,), writable=None)

    with pytest.raises(SandboxError, match=f"level {level.label}: cannot .*none"):
        sandbox.run(spec, level=level)


def test_the_process_that_boxes_are_forked_from_is_replaced_when_it_is_gone(level: Level) -> None:
    run("", level=level)
    launcher = SHARED.get()
    launcher.process.kill()
    launcher.process.wait()

    assert run("print(1)", level=level).stdout == b"1\n"


def test_a_box_ends_with_its_caller(level: Level, token: str) -> None:
    """Whoever waits for the box is killed; the fixture of the token sees whether the box went on."""
    caller = os.fork()
    if not caller:
        program = f"[sys.executable, '-c', 'import time; time.sleep(60)', {token!r}]"
        run(f"import os, sys; os.execv(sys.executable, {program})", level=level, limits=Limits(wall_s=60))
        os._exit(0)
    until(lambda: bool(running(token)))
    os.kill(caller, signal.SIGKILL)
    os.waitpid(caller, 0)
    until(lambda: not running(token) and not any(Path(tempfile.gettempdir()).iterdir()))


def until(holds: Callable[[], bool]) -> None:
    """Nobody tells us when somebody else's process starts or ends, so it is asked for, and not for ever."""
    deadline = time.monotonic() + 15
    while not holds() and time.monotonic() < deadline:
        pass


LATE = """
import os, sys, time
for name in ("early", "moved"):
    open(name, "w").write("early")
main = os.getpid()
if os.fork() == 0:
    while os.getppid() == main:
        time.sleep(0.001)
    begun = time.monotonic()
    while time.monotonic() - begun < 0.3:  # at work, so that it has its moment, and long enough for a busy machine to see the end
        pass
    open("late", "w").write("late")
    os.rename("moved", "target")
    os._exit(0)
"""


def test_what_is_written_after_the_end_does_not_count(level: Level, out: Path) -> None:
    """Nor what is moved to its place: the end is the end, though helpers have a moment to come to theirs."""
    outcome = run(LATE, level=level, writable=out)

    assert (outcome.exit_code, outcome.leftover) == (0, False)
    assert sorted(path.name for path in out.iterdir()) == ["early"]


LOCKS = """
import fcntl, os, sys, time
with open(os.__file__) as file:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    time.sleep(1.5)
"""


def test_two_boxes_share_no_file_that_could_be_locked() -> None:
    """A lock on a file of the library, which both may read, would be a way to talk."""
    if Level.NAMESPACES not in LEVELS:
        pytest.skip("only boxes with a view of their own have files of their own")

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: run(LOCKS, level=Level.NAMESPACES), range(2)))

    assert [(outcome.exit_code, outcome.stderr) for outcome in outcomes] == [(0, b"")] * 2


def test_the_account_has_the_name_that_the_environment_says() -> None:
    if Level.NAMESPACES not in LEVELS:
        pytest.skip("only boxes with a view of their own have accounts of their own")
    code = "import pwd, os; print(pwd.getpwuid(os.getuid()).pw_name)"

    assert run(code, level=Level.NAMESPACES, env={"USER": "ines"}).stdout == b"ines\n"


def test_the_room_that_was_kept_is_given_back_for_what_was_written(level: Level, out: Path, tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.write_bytes(b"kept")
    spec = Spec(
        argv=(*sandbox.PYTHON, "-c", "open('written', 'w').write('x')"),
        env={},
        cwd=out,
        readable=sandbox.python_paths(),
        writable=out,
        room=room,
    )

    assert sandbox.run(spec, level=level).exit_code == 0
    assert not room.exists()
    assert (out / "written").read_text() == "x"
