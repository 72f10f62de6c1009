"""Tries to get out of a box: runs inside, and says of each way whether it was stopped, and by what.

The command line says as JSON where the bait is. The output is JSON: name -> [stopped, what it said]. Uses only the
standard library. Attempts that leave traces outside are judged by those, not by what this script says.

It also runs where nothing stops it, even as root: each attempt goes just far enough to prove that it would succeed, and
changes nothing but the bait.
"""

import fcntl

HELD = []  # what was open before this script opened anything: libffi, behind ctypes, keeps a file of its own open
for number in range(3, 256):
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        continue
    HELD.append(number)

# ruff: noqa: E402 (the modules below open files)
import ctypes
import errno
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
NUMBERS = {
    "x86_64": {"shmget": 29, "mq_open": 240, "add_key": 248, "perf_event_open": 298, "bpf": 321, "userfaultfd": 323},
    "aarch64": {"shmget": 194, "mq_open": 180, "add_key": 217, "perf_event_open": 241, "bpf": 280, "userfaultfd": 282},
}[os.uname().machine]
PTRACE_SEIZE, CLONE_NEWUSER, CLONE_NEWNS, IPC_CREAT = 0x4206, 0x10000000, 0x20000, 0o1000
SHARED_MEMORY = "/dev/shm"  # noqa: S108 -- that others see it is the point
PR_GET_NO_NEW_PRIVS, IO_URING_SETUP, PROCESS_KEYRING = 39, 425, -2

BAIT = json.loads(sys.argv[1])
ATTEMPTS: dict[str, Callable[[], object]] = {}


class Stopped(Exception):
    pass


def attempt(function: Callable[[], object]) -> Callable[[], object]:
    ATTEMPTS[function.__name__] = function
    return function


def checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def syscall(name: str, *words: object) -> int:
    return checked(LIBC.syscall(ctypes.c_long(NUMBERS[name]), *words))


def in_a_child(function: Callable[[], object]) -> str:
    """Run in a child what would change this process. If the child is killed, the attempt was stopped."""
    pid = os.fork()
    if not pid:
        try:
            function()
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if status:
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        raise Stopped(os.strerror(code) if code else f"killed by signal {os.WTERMSIG(status)}")
    return "it worked"


@attempt
def read_secret() -> object:
    with open(BAIT["secret"], encoding="utf-8") as file:
        return file.read()


@attempt
def read_shadow() -> object:
    with open("/etc/shadow", encoding="utf-8") as file:
        return file.readline()


@attempt
def see_name() -> object:
    return os.stat(BAIT["secret"])


@attempt
def list_folder() -> object:
    return os.listdir(BAIT["folder"])


@attempt
def parent_environment() -> object:
    with open(f"/proc/{BAIT['pid']}/environ", "rb") as file:
        return len(file.read())


@attempt
def parent_memory() -> object:
    found = ctypes.create_string_buffer(BAIT["size"])

    class Vector(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))

    ours, theirs = Vector(ctypes.addressof(found), BAIT["size"]), Vector(BAIT["address"], BAIT["size"])
    checked(LIBC.process_vm_readv(BAIT["pid"], ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0))
    return found.raw


@attempt
def parent_memory_file() -> object:
    with open(f"/proc/{BAIT['pid']}/mem", "rb", buffering=0) as file:
        file.seek(BAIT["address"])
        return file.read(BAIT["size"])


@attempt
def trace_parent() -> object:
    return checked(LIBC.ptrace(PTRACE_SEIZE, BAIT["pid"], None, None))


@attempt
def signal_parent() -> object:
    os.kill(BAIT["pid"], signal.SIGURG)
    return "it worked"


@attempt
def limit_parent() -> object:
    """Reading the limits needs the same rights as setting them, which could kill the caller."""
    return resource.prlimit(BAIT["pid"], resource.RLIMIT_CPU)


@attempt
def see_processes() -> object:
    if str(BAIT["pid"]) not in os.listdir("/proc"):
        raise Stopped("the caller is not in sight")
    return "the caller is in sight"


@attempt
def write_beside() -> object:
    with open(f"{BAIT['folder']}/written", "w", encoding="utf-8") as file:
        return file.write("here")


@attempt
def truncate_secret() -> object:
    os.truncate(BAIT["short"], 0)
    return "it worked"


@attempt
def change_mode() -> object:
    os.chmod(BAIT["short"], 0o600)
    return "it worked"


@attempt
def loopback() -> object:
    with socket.create_connection(("127.0.0.1", BAIT["port"]), timeout=1) as connected:
        return connected.getpeername()


@attempt
def network() -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connected:
        connected.connect(("192.0.2.1", 9))  # an address for documentation; nothing is sent
        return connected.getsockname()


@attempt
def abstract_socket() -> object:
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect("\0" + BAIT["token"])
    return "it worked"


@attempt
def unix_socket() -> object:
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(BAIT["socket"])
    return "it worked"


@attempt
def kernel_settings() -> object:
    with open("/proc/sys/kernel/core_pattern", "r+b", buffering=0) as file:
        return file.read()


@attempt
def become_root() -> object:
    if os.getuid() == 0:
        return "it is root"
    return in_a_child(lambda: os.setuid(0))


@attempt
def gain_by_programs() -> object:
    if LIBC.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1:
        raise Stopped("no_new_privs is set")
    return "no_new_privs is not set"


@attempt
def user_namespace() -> object:
    return in_a_child(lambda: checked(LIBC.unshare(CLONE_NEWUSER)))


@attempt
def mount() -> object:
    """The kernel checks the right to mount before the kind of file system, so an unknown kind mounts nothing."""
    try:
        checked(LIBC.mount(b"none", b"/", b"no-such-kind", 0, None))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
    return "it may"


@attempt
def change_root() -> object:
    return in_a_child(lambda: os.chroot("/"))


@attempt
def raw_device() -> object:
    os.mknod(f"{BAIT['folder']}/device", 0o660 | 0o060000, os.makedev(254, 0))
    return "it worked"


@attempt
def shared_memory() -> object:
    return syscall("shmget", ctypes.c_int(BAIT["key"]), ctypes.c_size_t(4096), ctypes.c_int(IPC_CREAT | 0o666))


@attempt
def message_queue() -> object:
    flags = os.O_CREAT | os.O_RDWR
    return syscall("mq_open", BAIT["token"].encode(), ctypes.c_int(flags), ctypes.c_uint(0o666), None)


@attempt
def memory_file() -> object:
    with open(f"{SHARED_MEMORY}/{BAIT['token']}", "w", encoding="utf-8") as file:
        return file.write("here")


@attempt
def keyring() -> object:
    words = (b"user", BAIT["token"].encode(), b"x", ctypes.c_size_t(1), ctypes.c_int(PROCESS_KEYRING))
    return syscall("add_key", *words)


@attempt
def rings() -> object:
    parameters = ctypes.create_string_buffer(120)
    return checked(LIBC.syscall(ctypes.c_long(IO_URING_SETUP), ctypes.c_uint(1), parameters))


@attempt
def watch_performance() -> object:
    attributes = ctypes.create_string_buffer(b"\1\0\0\0\x80", 128)
    return syscall(
        "perf_event_open", attributes, ctypes.c_int(0), ctypes.c_int(-1), ctypes.c_int(-1), ctypes.c_ulong(0)
    )


@attempt
def load_programs() -> object:
    return syscall(
        "bpf", ctypes.c_int(0), ctypes.create_string_buffer(b"\2\0\0\0\4\0\0\0\4\0\0\0\1", 128), ctypes.c_uint(128)
    )


@attempt
def page_faults() -> object:
    return syscall("userfaultfd", ctypes.c_int(1))


@attempt
def terminal() -> object:
    """Whoever can open the caller's terminal could type a command into it."""
    with open("/dev/tty", "rb", buffering=0) as tty:
        return tty.fileno()


@attempt
def environment() -> object:
    if BAIT["token"] in str(dict(os.environ)) or set(os.environ) - {"TMPDIR", "LC_CTYPE"}:
        return sorted(os.environ)
    raise Stopped("nothing of the caller's is there")


@attempt
def descriptors() -> object:
    if HELD:
        return HELD
    raise Stopped("nothing but the three standard ones is open")


@attempt
def daemon() -> object:
    """Live on: a process in a session of its own, without a parent, whose name is searched for afterwards."""
    if not os.fork():
        live_on()
    os.wait()
    return "it was let go"


def live_on() -> None:
    os.setsid()
    if os.fork():
        os._exit(0)
    for fd in range(3):
        os.close(fd)
    sleep = "import time\nwhile True: time.sleep(1)"
    os.execv(sys.executable, [sys.executable, "-c", sleep, BAIT["token"]])  # noqa: S606 -- no shell is wanted


def tried(name: str) -> tuple[bool, str]:
    try:
        return False, str(ATTEMPTS[name]())
    except Exception as error:  # noqa: BLE001 -- whatever stopped it, it was stopped
        return True, str(error) or type(error).__name__


if __name__ == "__main__":
    print(json.dumps({name: tried(name) for name in BAIT["attempts"]}))
