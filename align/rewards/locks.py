"""Take from this process, for good, what code that nobody has read must not have. Linux, by system calls alone.

Three locks, none of which needs root or a namespace, so they hold in a plain container too:
* no capabilities, and no new privileges;
* Landlock: files are read below given folders, written below one, run nowhere;
* seccomp: no network, no other processes, no signals to them, no changing of owners, modes or limits.

Stands alone (standard library only): it is imported by an interpreter that is about to be locked.
Sources: kernel documentation, userspace-api/landlock and userspace-api/seccomp_filter.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Sequence

LIBC = ctypes.CDLL(None, use_errno=True)
SET_NO_NEW_PRIVS, SET_SECCOMP, SET_PDEATHSIG, CAPBSET_DROP = 38, 22, 1, 24  # of prctl
CAPSET = {"x86_64": 126, "aarch64": 91}

# Landlock: the same numbers on every architecture
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE_FILE, REMOVE_FILE, MAKE_REG, TRUNCATE = 1 << 1, 1 << 5, 1 << 8, 1 << 14
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # version -> how many rights on files it knows
TCP, SIGNALS_AND_SOCKETS = 0b11, 0b11  # from versions 4 and 6

# seccomp: arch -> name -> number; the calls that reach out of the process
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
DENIED = {
    "x86_64": {
        "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "accept4": 288,
        "sendto": 44, "sendmsg": 46, "sendmmsg": 307,
        "fork": 57, "vfork": 58, "execve": 59, "execveat": 322,
        "kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297,
        "pidfd_open": 434, "pidfd_send_signal": 424, "pidfd_getfd": 438, "process_madvise": 440,
        "process_mrelease": 448,
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
        "chmod": 90, "fchmod": 91, "fchmodat": 268, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260,
        "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280, "truncate": 76, "mknod": 133, "mknodat": 259,
        "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
        "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
        "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308,
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
        "mount_setattr": 442, "open_by_handle_at": 304, "openat2": 437,
        "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "seccomp": 317,
        "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
        "add_key": 248, "request_key": 249, "keyctl": 250, "memfd_create": 319, "memfd_secret": 447,
        "shmget": 29, "shmat": 30, "semget": 64, "msgget": 68, "mq_open": 240,
        "prctl": 157, "prlimit64": 302, "setrlimit": 160, "setpriority": 141, "ioprio_set": 251,
        "sched_setaffinity": 203, "sched_setparam": 142, "sched_setscheduler": 144, "sched_setattr": 314,
        "migrate_pages": 256, "move_pages": 279, "personality": 135, "fanotify_init": 300, "quotactl": 179,
        "syslog": 103, "reboot": 169, "clone3": 435,
    },
    "aarch64": {
        "socket": 198, "connect": 203, "accept": 202, "bind": 200, "listen": 201, "accept4": 242,
        "sendto": 206, "sendmsg": 211, "sendmmsg": 269,
        "execve": 221, "execveat": 281,
        "kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240,
        "pidfd_open": 434, "pidfd_send_signal": 424, "pidfd_getfd": 438, "process_madvise": 440,
        "process_mrelease": 448,
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
        "fchmod": 52, "fchmodat": 53, "fchown": 55, "fchownat": 54,
        "utimensat": 88, "truncate": 45, "mknodat": 33,
        "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
        "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268,
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
        "mount_setattr": 442, "open_by_handle_at": 265, "openat2": 437,
        "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "seccomp": 277,
        "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
        "add_key": 217, "request_key": 218, "keyctl": 219, "memfd_create": 279, "memfd_secret": 447,
        "shmget": 194, "shmat": 196, "semget": 190, "msgget": 186, "mq_open": 180,
        "prctl": 167, "prlimit64": 261, "setrlimit": 164, "setpriority": 140, "ioprio_set": 30,
        "sched_setaffinity": 122, "sched_setparam": 118, "sched_setscheduler": 119, "sched_setattr": 274,
        "migrate_pages": 238, "move_pages": 239, "personality": 92, "fanotify_init": 262, "quotactl": 60,
        "syslog": 116, "reboot": 142, "clone3": 435,
    },
}  # fmt: skip
NEWEST = 450  # calls that came later are unknown here, and denied
CLONE_THREAD, O_TRUNC, ACCESS, F_SETOWN, F_SETOWN_EX = 0x10000, 0o1000, 0o3, 8, 15
# call, argument, mask, value: denied where argument & mask is the value
ARGUMENTS = {
    "x86_64": [(56, 0, CLONE_THREAD, 0), (2, 1, O_TRUNC | ACCESS, O_TRUNC), (257, 2, O_TRUNC | ACCESS, O_TRUNC),
               (72, 1, 0xFFFFFFFF, F_SETOWN), (72, 1, 0xFFFFFFFF, F_SETOWN_EX)],
    "aarch64": [(220, 0, CLONE_THREAD, 0), (56, 2, O_TRUNC | ACCESS, O_TRUNC),
                (25, 1, 0xFFFFFFFF, F_SETOWN), (25, 1, 0xFFFFFFFF, F_SETOWN_EX)],
}  # fmt: skip
EPERM, ENOSYS = 1, 38


def missing() -> str:
    """Return why this platform cannot lock a process down, or an empty string."""
    if platform.system() != "Linux" or platform.machine() not in ARCH:
        return f"it needs Linux on {' or '.join(ARCH)}; this is {platform.system()} on {platform.machine()}"
    if _landlock_version() < 1:
        return "the kernel has no Landlock: Linux 5.13 or newer, with landlock among the modules of lsm="
    return ""


def lock(readable: Sequence[str], writable: str) -> None:
    """Lock this process, which must have one thread, until it ends. Raises OSError where the kernel refuses."""
    _called(LIBC.prctl(SET_PDEATHSIG, 9, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")  # it dies with what started it
    _drop_capabilities()
    _called(LIBC.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
    _restrict_files(readable, writable)
    _filter_calls()


def _landlock_version() -> int:
    return int(LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def _drop_capabilities() -> None:
    for capability in range(64):
        LIBC.prctl(CAPBSET_DROP, capability, 0, 0, 0)  # refused where there are none to drop
    header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
    _called(LIBC.syscall(CAPSET[platform.machine()], header, none), "capset")


def _restrict_files(readable: Sequence[str], writable: str) -> None:
    version = _called(_landlock_version(), "landlock_create_ruleset")
    handled = (1 << FILE_RIGHTS[min(version, 5)]) - 1
    words = [handled, *([TCP] if version >= 4 else []), *([SIGNALS_AND_SOCKETS] if version >= 6 else [])]
    about = struct.pack(f"{len(words)}Q", *words)
    ruleset = _called(LIBC.syscall(CREATE_RULESET, about, ctypes.c_size_t(len(about)), 0), "landlock_create_ruleset")
    read, write = READ_FILE | READ_DIR, WRITE_FILE | REMOVE_FILE | MAKE_REG | TRUNCATE
    for folder, rights in [*((folder, read) for folder in readable), (writable, read | write)]:
        place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", rights & handled, place)
        _called(LIBC.syscall(ADD_RULE, ruleset, 1, rule, 0), "landlock_add_rule")
        os.close(place)
    _called(LIBC.syscall(RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _filter_calls() -> None:
    code = program(platform.machine())
    kept = ctypes.create_string_buffer(code, len(code))
    about = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(kept))
    _called(LIBC.prctl(SET_SECCOMP, 2, about, 0, 0), "prctl(PR_SET_SECCOMP)")


def program(machine: str) -> bytes:
    """Return the filter in classic BPF: struct sock_filter of 8 bytes each."""
    load, equal, at_least, and_, give = 0x20, 0x15, 0x35, 0x54, 0x06
    kill, allow, refuse, unknown = 0x80000000, 0x7FFF0000, 0x50000 | EPERM, 0x50000 | ENOSYS
    made = [(load, 0, 0, 4), (equal, 1, 0, ARCH[machine]), (give, 0, 0, kill)]  # seccomp_data.arch
    made += [(load, 0, 0, 0), (at_least, 0, 1, NEWEST + 1), (give, 0, 0, unknown)]  # .nr; x32's are larger, too
    for name, number in DENIED[machine].items():
        made += [(equal, 0, 1, number), (give, 0, 0, unknown if name == "clone3" else refuse)]  # libc falls back
    for number, argument, mask, value in ARGUMENTS[machine]:
        made += [(equal, 0, 4, number), (load, 0, 0, 16 + 8 * argument), (and_, 0, 0, mask), (equal, 0, 1, value),
                 (give, 0, 0, refuse), (load, 0, 0, 0)]  # fmt: skip
    return b"".join(struct.pack("HBBI", *one) for one in [*made, (give, 0, 0, allow)])


def _called(result: int, name: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result
