"""Finds the programs and files a run needs, and says which are missing."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

DEBIAN_BINDIR = Path("/usr/lib/postgresql/15/bin")


class Missing(Exception):
    """Something the run can't do without; the text says what and where it comes from."""


@dataclass(frozen=True)
class Tools:
    bindir: Path
    pgbench: Path
    cc: str
    libpq_flags: list[str]
    account: str | None  # the ordinary user to run as; None: already one
    pgq_missing: str  # why PgQ can't run; empty: it can

    def owner(self) -> dict[str, object]:
        """Arguments for subprocess that drop root; none needed for an ordinary user."""
        if self.account is None:
            return {}
        entry = pwd.getpwnam(self.account)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def pg_config_path() -> str:
    named = os.environ.get("PG_CONFIG")
    if named:
        return named
    usual = DEBIAN_BINDIR / "pg_config"
    return str(usual) if usual.exists() else "pg_config"


def ask_pg_config(path: str, *what: str) -> list[Path]:
    try:
        answer = subprocess.run([path, *what], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing(f"pg_config ({path}): {error}; package postgresql-server-dev-15") from error
    return [Path(line) for line in answer.stdout.splitlines()]


def libpq_flags(include: Path, libdir: Path) -> list[str] | None:
    for folder in (include, Path("/usr/include/postgresql")):
        if (folder / "libpq-fe.h").exists():
            return [f"-I{folder}", f"-L{libdir}", "-lpq"]
    return None


def pgq_missing(sharedir: Path) -> str:
    if not (sharedir / "extension" / "pgq.control").exists():
        return f"no pgq.control under {sharedir} (package postgresql-15-pgq3)"
    if shutil.which("pgqd") is None:
        return "pgqd is not installed (package pgqd)"
    return ""


def baton_problems(sharedir: Path, pkglibdir: Path) -> list[str]:
    control, library = sharedir / "extension" / "baton.control", pkglibdir / "baton.so"
    problems = [f"{part}: install the extension there, or set PG_CONFIG"
                for part in (control, library) if not part.exists()]
    if library.exists() and b"baton_test_point" in library.read_bytes():
        problems.append(f"{library}: a release build; this one has test points")
    return problems


def find_pgbench(bindir: Path) -> Path | None:
    for candidate in (bindir / "pgbench", DEBIAN_BINDIR / "pgbench"):
        if candidate.exists():
            return candidate
    return None


def unprivileged_account() -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam("postgres")
    except KeyError as error:
        raise Missing("user postgres, to run the server as (package postgresql-15)") from error
    return "postgres"


def readable_by(tools: Tools, bindir: Path) -> bool:
    """Can the account that will run the server start programs from there?"""
    try:
        ran = subprocess.run([bindir / "postgres", "--version"], capture_output=True,
                             cwd="/", **tools.owner())
    except OSError:
        return False
    return ran.returncode == 0


def find() -> Tools:
    """Everything at once, so that one run names all that is missing."""
    bindir, sharedir, pkglibdir, include, libdir = ask_pg_config(
        pg_config_path(), "--bindir", "--sharedir", "--pkglibdir", "--includedir", "--libdir")
    problems = [f"{bindir / name} (package postgresql-15)"
                for name in ("initdb", "pg_ctl", "postgres", "psql")
                if not (bindir / name).exists()]
    pgbench = find_pgbench(bindir)
    if pgbench is None:
        problems.append("pgbench (package postgresql-15)")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        problems.append("a C compiler (package gcc)")
    flags = libpq_flags(include, libdir)
    if flags is None:
        problems.append("libpq-fe.h (package libpq-dev)")
    problems += baton_problems(sharedir, pkglibdir)
    if problems:
        raise Missing("\n  ".join(problems))
    assert pgbench is not None and compiler is not None and flags is not None
    tools = Tools(bindir, pgbench, compiler, flags, unprivileged_account(),
                  pgq_missing(sharedir))
    if not readable_by(tools, bindir):
        raise Missing(f"user {tools.account} can't run {bindir}/postgres: "
                      "put the tree where every user may read it")
    return tools
