"""A seccomp filter: system calls that no honest code in a box needs are answered with an error.

It lists what is refused, not what is allowed: Python, its libraries and future versions of libc use many calls, and
honest work would be the first to fail. Refused is what reaches other processes, the network or the kernel's internals,
or uses memory that no limit counts.
"""

from __future__ import annotations

import ctypes
import errno

from task_kit.sandbox import kernel

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
COLUMN = {"x86_64": 0, "aarch64": 1}
X32 = 0x40000000
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000
NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW flag
AF_UNIX = 1
TIOCSTI, TIOCLINUX = 0x5412, 0x541C

REFUSED = {  # name: (number on x86_64, on aarch64); None where there is none
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    # the tree of files and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    # the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "personality": (135, 92),
    "vhangup": (153, 58),
    # memory and messages that outlive their maker, or that no limit counts
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
CLONE, CLONE3 = (56, 220), (435, 435)
SOCKET, SOCKETPAIR, IOCTL = (41, 198), (53, 199), (16, 29)
SETSOCKOPT, SOL_SOCKET, SO_SNDBUF, SO_SNDBUFFORCE = (54, 208), 1, 7, 32
SIGNALS = {  # refused where Landlock cannot keep signals inside the box
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "tgkill": (234, 131),
}
PATHS = {"truncate": (76, 45)}  # refused where Landlock cannot
PRETENDED = {  # Landlock does not know them: where files and processes of others are in reach, answered with success and
    # not done
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "utimensat": (280, 88),
    "fchmod": (91, 52),
    "fchown": (93, 55),
    "fsetxattr": (190, 7),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "setpriority": (141, 140),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
PRLIMIT = (302, 261)  # on itself a process may read limits with it; on another one of the same user it could kill that

LOAD, EQUAL, ANY_BIT, GREATER_EQUAL, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
NR_OFFSET, ARCH_OFFSET = 0, 4

PR_SET_SECCOMP, MODE_FILTER = 22, 2


class Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction)))


Step = tuple[int, int, int, int]


def argument(index: int) -> int:
    """The offset of an argument's lower half; both architectures are little-endian."""
    return 16 + 8 * index


def when(number: int | None, *steps: Step) -> list[Step]:
    """Steps for one call only. The accumulator holds the call's number before and after."""
    return [] if number is None else [(EQUAL, 0, len(steps), number), *steps]


def failing(code: int) -> Step:
    return (RETURN, 0, 0, FAIL | code)


def when_argument(number: int, index: int, *, test: int, value: int, then: Step, otherwise: Step) -> list[Step]:
    return when(number, (LOAD, 0, 0, argument(index)), (test, 0, 1, value), then, otherwise)


def larger_buffers() -> list[Step]:
    """Pretend success without doing it.

    What waits in a socket is memory that no process limit counts, so no socket may hold more than by default.
    """
    return [
        (LOAD, 0, 0, argument(1)),
        (EQUAL, 0, 4, SOL_SOCKET),
        (LOAD, 0, 0, argument(2)),
        (EQUAL, 1, 0, SO_SNDBUF),
        (EQUAL, 0, 1, SO_SNDBUFFORCE),
        failing(0),
        (LOAD, 0, 0, NR_OFFSET),
    ]


def program(arch: str, *, unix_sockets: bool, scoped: bool, truncation: bool, same_user: bool) -> list[Step]:
    """The filter.

    `scoped` and `truncation`: Landlock handles signals and truncate. `same_user`: other files and processes belong to
    the same user, so they are within reach.
    """
    column = COLUMN[arch]
    go, refused = (RETURN, 0, 0, ALLOW), failing(errno.EPERM)
    steps: list[Step] = [(LOAD, 0, 0, ARCH_OFFSET), (EQUAL, 1, 0, ARCHITECTURES[arch]), (RETURN, 0, 0, KILL)]
    steps.append((LOAD, 0, 0, NR_OFFSET))
    if arch == "x86_64":
        steps += [(GREATER_EQUAL, 0, 1, X32), (RETURN, 0, 0, KILL)]
    names = {**REFUSED, **({} if scoped else SIGNALS), **({} if truncation else PATHS)}
    for numbers in names.values():
        steps += when(numbers[column], refused)
    for numbers in PRETENDED.values() if same_user else ():
        steps += when(numbers[column], failing(0))
    if same_user:
        steps += when_argument(PRLIMIT[column], 0, test=EQUAL, value=0, then=go, otherwise=refused)
    # its flags are in memory, which a filter cannot read; libc then falls back to clone
    steps += when(CLONE3[column], failing(errno.ENOSYS))
    steps += when_argument(CLONE[column], 0, test=ANY_BIT, value=NEW_NAMESPACES, then=refused, otherwise=go)
    steps += when_argument(SOCKETPAIR[column], 0, test=EQUAL, value=AF_UNIX, then=go, otherwise=refused)
    unix = go if unix_sockets else refused
    steps += when_argument(SOCKET[column], 0, test=EQUAL, value=AF_UNIX, then=unix, otherwise=refused)
    steps += when(SETSOCKOPT[column], *larger_buffers())
    steps += when_argument(
        IOCTL[column], 1, test=EQUAL, value=TIOCLINUX, then=refused, otherwise=(LOAD, 0, 0, NR_OFFSET)
    )
    steps += when_argument(IOCTL[column], 1, test=EQUAL, value=TIOCSTI, then=refused, otherwise=go)
    return [*steps, go]


def install(steps: list[Step]) -> None:
    """For good, for this process and everything it starts. Needs no_new_privs."""
    instructions = (Instruction * len(steps))(*(Instruction(*step) for step in steps))
    filled = Program(len(steps), ctypes.cast(instructions, ctypes.POINTER(Instruction)))
    result = kernel.LIBC.prctl(PR_SET_SECCOMP, ctypes.c_ulong(MODE_FILTER), ctypes.byref(filled), 0, 0)
    kernel.checked(result, "seccomp")


def restrict(*, unix_sockets: bool, scoped: bool, truncation: bool, same_user: bool) -> None:
    arch = kernel.machine()
    if arch not in ARCHITECTURES:
        raise OSError(f"no list of system calls for {arch!r}; there is one for {', '.join(ARCHITECTURES)}")
    flags = {"scoped": scoped, "truncation": truncation, "same_user": same_user}
    install(program(arch, unix_sockets=unix_sockets, **flags))
