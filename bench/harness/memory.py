"""Memory of the server's processes, from /proc."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from pathlib import Path

MAPPING = re.compile(r"^([0-9a-f]+-[0-9a-f]+) .*/dev/zero", re.MULTILINE)
PAGE = mmap.PAGESIZE


def main_segment(postmaster: int) -> Path:
    """The server's main shared memory, as a file that root may open."""
    found = MAPPING.search(Path(f"/proc/{postmaster}/maps").read_text(encoding="latin-1"))
    if found is None:
        raise OSError(f"process {postmaster} has no shared memory")
    return Path(f"/proc/{postmaster}/map_files/{found.group(1)}")


def resident(postmaster: int, offset: int, size: int) -> int:
    """How much of a part of the main shared memory is in memory, whoever touched it; bytes.
    Raises OSError where that isn't allowed."""
    begin = offset // PAGE * PAGE
    length = offset + size - begin
    libc = ctypes.CDLL(None, use_errno=True)
    flags = (ctypes.c_ubyte * (-(-length // PAGE)))()
    with open(main_segment(postmaster), "r+b", buffering=0) as file:
        with mmap.mmap(file.fileno(), length, offset=begin) as part:
            start = ctypes.c_char.from_buffer(part)
            try:
                failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)),
                                      ctypes.c_size_t(length), flags)
            finally:
                del start
    if failed:
        raise OSError(ctypes.get_errno(), "mincore")
    return sum(flag & 1 for flag in flags) * PAGE


def whole_resident(postmaster: int) -> int:
    """The same of all of it."""
    return os.stat(main_segment(postmaster)).st_blocks * 512


def own(pid: int) -> int:
    """Memory of a process that it shares with nobody; bytes, 0: it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="latin-1")
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found.group(1)) * 1024 if found else 0
