"""A file whose size is known beforehand: given its room on the disk at once, then filled anywhere by any thread."""

import errno
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

REFUSED = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)        # by file systems that can not give room at once


class Blank:
    """A new file, full of zeros. Use it as a context manager; an error inside removes the file."""

    def __init__(self, path: Path, size: int, is_hole: bool = False):
        """Raises OSError if the disk has no such room. is_hole: take none until something is written."""
        self.path = path
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        try:
            if is_hole:
                _allow_holes(self._file)
                os.ftruncate(self._file, size)
            else:
                _allocate(self._file, size)
        except BaseException:
            self._remove()
            raise

    def write(self, offset: int, data: Any) -> None:
        """Put data (bytes or an array) at that offset; safe from several threads."""
        view = memoryview(data).cast("B")
        if not hasattr(os, "pwrite"):
            with self._lock:
                os.lseek(self._file, offset, os.SEEK_SET)
                while view:
                    view = view[os.write(self._file, view):]
            return
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written

    def __enter__(self) -> "Blank":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind:
            self._remove()
        else:
            os.close(self._file)

    def _remove(self) -> None:
        os.close(self._file)
        self.path.unlink(missing_ok=True)


def _allocate(file: int, size: int) -> None:
    """Reserve the room where the system can; elsewhere the size is set, which Windows counts as room."""
    if hasattr(os, "posix_fallocate") and size:
        try:
            os.posix_fallocate(file, 0, size)
            return
        except OSError as error:
            if error.errno not in REFUSED:
                raise
    os.ftruncate(file, size)


def _allow_holes(file: int) -> None:
    """Windows keeps room for every byte of a file that is not marked as sparse."""
    if os.name == "nt":
        import ctypes
        import msvcrt
        FSCTL_SET_SPARSE, done = 0x900C4, ctypes.c_ulong()
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(file))    # type: ignore[attr-defined, unused-ignore]
        ctypes.windll.kernel32.DeviceIoControl(                 # type: ignore[attr-defined, unused-ignore]
            handle, FSCTL_SET_SPARSE, None, 0, None, 0, ctypes.byref(done), None)
