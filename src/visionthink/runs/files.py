"""Files that survive crashes: one writer at a time, whole files or none, whole lines or none.

Nothing here follows a symbolic link that stands where a file is to be written.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import secrets
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from visionthink.core.errors import RunError

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there
    fcntl = None

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
"""What file systems say that cannot lock: better an unlocked run than none."""


class Lock:
    """Keeps other processes from writing until `release`, or until this process ends.

    The operating system drops the lock with its process, so a killed owner never blocks. A second
    lock of the same file in this process takes over from the first.

    Args:
        path: the lock file; made if missing, removed on release.
        what: what it protects, for the error.

    Raises:
        RunError: another process holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, what: str) -> None:
        path = path.parent.resolve() / path.name
        if (older := _HELD.pop(path, None)) is not None:
            older.release()
        file = _locked(path, what)
        self._release = weakref.finalize(self, _unlock, path, file, os.getpid())
        _HELD[path] = self

    @property
    def held(self) -> bool:
        return self._release.alive

    def release(self) -> None:
        self._release()


_HELD: weakref.WeakValueDictionary[Path, Lock] = weakref.WeakValueDictionary()
"""The locks of this process, by their files."""


def _locked(path: Path, what: str) -> int:
    """The descriptor of the lock file, once this process holds it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | _NOFOLLOW, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here = os.stat(path, follow_symlinks=False)
        except BlockingIOError as error:
            owner = os.read(file, 20).decode("ascii", "replace").strip()
            os.close(file)
            by = f"process {owner}" if owner else "another process"
            raise RunError(
                f"{what} is in use: {by} is writing to it; wait until it ends, or stop it"
            ) from error
        except FileNotFoundError:  # its owner released it since
            os.close(file)
            continue
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(file)
                raise
            here = os.fstat(file)
        if os.path.samestat(here, os.fstat(file)):
            break
        os.close(file)  # of a file that its owner has removed
    with suppress(OSError):  # a full disk: only the name of the owner is lost
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
    return file


def _unlock(path: Path, file: int, owner: int) -> None:
    if os.getpid() == owner:  # not in a child that was forked
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        os.close(file)


def _forget_locks() -> None:
    """In a forked child: it must not keep the lock of a parent that dies."""
    for lock in list(_HELD.values()):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


@contextmanager
def run_errors(doing: str) -> Iterator[None]:
    """Raise a RunError that begins with `doing` in place of an OSError."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{doing}: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when the block ends without an error.

    A reader, or a crash, finds the old file or the new one whole. A link at `path` is replaced.

    Raises:
        OSError: it cannot be written.
    """
    part = part_of(path)
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o666)
    try:
        with open(file, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink()


def part_of(path: Path) -> Path:
    """An unused name in the folder of `path`, for a file that will replace it."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.part")


def remove_parts(folder: Path) -> None:
    """Remove what killed writers left. The caller must hold the lock of the folder."""
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            part.unlink()


def append_line(path: Path, line: bytes) -> None:
    """Append a line, whole: after a full disk, or Ctrl-C, the file ends where it ended before.

    Raises:
        OSError: it cannot be written, or `path` is a link.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NOFOLLOW, 0o666)
    try:
        before, left = os.fstat(file).st_size, memoryview(line)
        try:
            while left:
                left = left[os.write(file, left) :]
        except BaseException:
            with suppress(OSError):  # a pipe or a device has no length
                os.ftruncate(file, before)
            raise
    finally:
        os.close(file)


def mend_lines(path: Path) -> None:
    """Cut off what a crash left at the end of a file of JSON lines.

    That is a last line without its end, and lines with NUL bytes or bytes that are not UTF-8,
    which a power cut leaves. A whole last line that lacks only its newline gets it.

    Raises:
        OSError: it cannot be read or written, or `path` is a link.
    """
    try:
        file = os.open(path, os.O_RDWR | _NOFOLLOW)
    except FileNotFoundError:
        return
    with open(file, "r+b") as lines:
        size = end = os.fstat(file).st_size
        if not size:
            return
        with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as held:
            while end:
                start = held.rfind(b"\n", 0, end - 1) + 1
                if not _is_damaged(held[start:end]):
                    break
                end = start
            whole = not end or held[end - 1 : end] == b"\n"
        if end < size:
            lines.truncate(end)
        if not whole:
            lines.seek(end)
            lines.write(b"\n")


def _is_damaged(line: bytes) -> bool:
    if line_record(line) is not None or not line.strip():
        return False
    if not line.endswith(b"\n") or b"\0" in line:
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False  # text that is not JSON: somebody wrote it, and readers name the line


def line_record(line: bytes) -> dict[str, Any] | None:
    """The JSON object on a line; None if there is none."""
    try:
        found = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], found) if isinstance(found, dict) else None
