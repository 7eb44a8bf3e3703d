"""The scenarios, in the order in which they run. Each module has run(run: Run)."""

from collections.abc import Callable

from harness.run import Run

from . import (batch_consume, batch_send, cleanup, consume, deep, http, kill, latency, outage,
               restart, rotation, scrape, send, snapshot, soak)

ALL: dict[str, Callable[[Run], None]] = {
    "send": send.run,
    "consume": consume.run,
    "batch_send": batch_send.run,
    "batch_consume": batch_consume.run,
    "snapshot": snapshot.run,
    "latency": latency.run,
    "kill": kill.run,
    "http": http.run,
    "scrape": scrape.run,
    "deep": deep.run,
    "restart": restart.run,
    "cleanup": cleanup.run,
    "rotation": rotation.run,
    "outage": outage.run,
    "soak": soak.run,
}
