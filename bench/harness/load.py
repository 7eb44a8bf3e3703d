"""The vocabulary of the tables in systems/: a System, and a Load, one thing it can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .tools import Tools

PAYLOAD = ('{"order": 4711, "customer": "c-0815", "items": [3, 14, 15], "total": "92.65", '
           '"note": "ring twice"}')
RESULT = '{"success": true}'
BATCH = 100


def array_literal(element: str, count: int) -> str:
    """A PostgreSQL array literal of the same element again and again."""
    quoted = '"' + element.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "{" + ",".join([quoted] * count) + "}"


# Variables of every pgbench script. r: receipts held; n: how many; have: whether any yet.
VARIABLES = {
    "payload": PAYLOAD,
    "result": RESULT,
    "payloads": array_literal(PAYLOAD, BATCH),
    "results": array_literal(RESULT, BATCH),
    "r": "{}",
    "n": "0",
    "have": "0",
}


@dataclass(frozen=True)
class Load:
    """What is measured in a slice: a pgbench script, and how to get ready for it."""
    key: str
    label: str
    script: str
    per_transaction: int = 1  # messages in one run of the script
    clients: int = 8
    empty: str = ""  # SQL: throw away what an earlier slice left
    fill: Callable[[int], str] | None = None  # SQL: a backlog of so many; None: needs none
    ready: str = ""  # SQL: after filling, such as VACUUM
    counter: str = ""  # SQL: messages done so far; empty: count runs of the script
    first_guess: int = 0  # messages a second, to size the first backlog


@dataclass(frozen=True)
class System:
    key: str
    label: str
    setup: str  # SQL, once in each database
    loads: dict[str, Load] = field(default_factory=dict)
    log_tables: str = "false"  # SQL condition on pg_stat_user_tables: its tables
    missing: Callable[[Tools], str] = lambda tools: ""  # why it can't run here; empty: it can
    daemon: bool = False  # needs pgqd beside the server
