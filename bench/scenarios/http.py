"""The HTTP API: sending beside the same through pgbench, and thousands of requests that wait.

Rates are of 8 keep-alive connections of wrk, beside 8 clients of pgbench, in turns; before each
a checkpoint and a rest. Waiting requests are spread over queues; a message's way is timed
from just before it is sent, over HTTP, to the first byte of the answer that brings it.
"""

from __future__ import annotations

import json
import random
import re
import selectors
import socket
import time
from dataclasses import dataclass

from harness import cpu, pgbench, serve, stats
from harness.load import PAYLOAD
from harness.run import Run, Target
from harness.serve import ServeError, Serving
from systems import baton

CLIENTS = 8
POLLS = 5_000
QUEUES = 50
IDLE_SECONDS = 20.0
LEAST_RATIO, MOST_CPU, MOST_MIB, MOST_MS = 0.6, 2.0, 200.0, 10.0


# ---- sending ----

def wrk_script(run: Run) -> str:
    path = run.cluster.scratch / "send.lua"
    body = json.dumps({"payload": json.loads(PAYLOAD)})
    path.write_text(f"""wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = {json.dumps(body)}
""")
    path.chmod(0o644)
    return str(path)


def wrk_rate(run: Run, serving: Serving) -> float:
    seconds = max(1, round(run.options.seconds))
    done = run.cluster.call(
        ["wrk", "-t", 1, "-c", CLIENTS, "-d", f"{seconds}s", "-s", wrk_script(run),
         f"{serving.url}/v1/queues/bench/messages"], timeout=seconds + 60)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if rate is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise ServeError(f"wrk: {done.stdout} {done.stderr}"[:400])
    return float(rate.group(1))


def pgbench_rate(run: Run, database: str) -> float:
    done = pgbench.run(run.cluster, baton.SEND, database, run.options.seconds)
    if done.error:
        raise ServeError(f"pgbench: {done.error}")
    return done.rate


def rest(run: Run, database: str) -> None:
    run.cluster.sql(baton.EMPTY + "checkpoint;", database)
    cpu.wait_quiet(run.cluster.postmaster(), 15.0)


def sending(run: Run, database: str, serving: Serving) -> None:
    """Each round: pgbench, wrk, pgbench again, in changing order; the two of pgbench are the A/A."""
    ways = {"pgbench": lambda: pgbench_rate(run, database),
            "http": lambda: wrk_rate(run, serving),
            "again": lambda: pgbench_rate(run, database)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(run.options.rounds):
        names = list(ways) if round_number % 2 == 0 else list(ways)[::-1]
        for name in names:
            rest(run, database)
            rates[name].append(ways[name]())
            run.recorder.write("http", way=name, round=round_number, rate=rates[name][-1])
        run.say(f"http round {round_number + 1}: " + ", ".join(
            f"{name} {values[-1]:.0f}/s" for name, values in rates.items()))
    ratio = stats.summarize([h / p for h, p in zip(rates["http"], rates["pgbench"])])
    same = stats.summarize([a / p for a, p in zip(rates["again"], rates["pgbench"])])
    medians = {name: stats.summarize(values).median for name, values in rates.items()}
    run.sections.append(
        f"## http: sending\n\n| 8 clients, one message a request | messages/s |\n|---|---:|\n"
        f"| pgbench | {medians['pgbench']:.0f} |\n| wrk, over HTTP | {medians['http']:.0f} |\n")
    run.aim(Target("http", "send over HTTP / through pgbench, 8 clients", f"≥ {LEAST_RATIO:g}",
                   f"{ratio.median:.3f} ({ratio.q1:.3f} to {ratio.q3:.3f})",
                   f"{same.median:.3f} ({same.q1:.3f} to {same.q3:.3f})",
                   stats.at_least(ratio.median, LEAST_RATIO, same.spread)))


# ---- waiting ----

@dataclass
class Waiter:
    connection: socket.socket
    queue: int

    def ask(self) -> None:
        self.connection.sendall(
            f"POST /v1/queues/poll{self.queue}/receive?wait=60 HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Length: 0\r\n\r\n".encode())


class Waiters:
    """Requests that wait; one that is answered is asked again at once."""

    def __init__(self, serving: Serving, count: int):
        self.serving = serving
        self.selector = selectors.EpollSelector()
        self.all = [self.open(number % QUEUES) for number in range(count)]

    def open(self, queue: int) -> Waiter:
        waiter = Waiter(socket.create_connection((self.serving.host, self.serving.port)), queue)
        waiter.ask()
        self.selector.register(waiter.connection, selectors.EVENT_READ, waiter)
        return waiter

    def answer(self, seconds: float) -> bool:
        """Takes what comes within the time; true: it brought a message."""
        for key, _ in self.selector.select(seconds):
            text = key.data.connection.recv(65536)
            if not text:
                raise ServeError("a waiting request was cut off")
            key.data.ask()
            if b'"receipt"' in text:
                return True
        return False

    def close(self) -> None:
        for waiter in self.all:
            waiter.connection.close()
        self.selector.close()


def one_way(waiters: Waiters, sender: socket.socket) -> float:
    """Milliseconds of one message."""
    body = json.dumps({"payload": 1})
    path = f"/v1/queues/poll{random.randrange(QUEUES)}/messages"
    request = (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
    begin = time.perf_counter()
    sender.sendall(request)
    while not waiters.answer(5.0):
        if time.perf_counter() > begin + 30:
            raise ServeError("a message did not arrive")
    took = (time.perf_counter() - begin) * 1000
    sender.recv(65536)
    return took


def waiting(run: Run, serving: Serving, database: str, count: int) -> None:
    run.cluster.sql("select baton.create_queue(format('poll%s', i)) "
                    f"from generate_series(0, {QUEUES - 1}) i", database)
    waiters = Waiters(serving, count)
    try:
        time.sleep(2)
        before = serving.cpu_seconds(run.cluster)
        time.sleep(IDLE_SECONDS if run.options.samples > 200 else 2)
        busy = serving.cpu_seconds(run.cluster) - before
        percent = 100 * busy / (IDLE_SECONDS if run.options.samples > 200 else 2)
        mib = serving.rss_mib()
        run.say(f"http: {count} wait: {percent:.2f} % of a core, {mib:.0f} MiB")
        sender = socket.create_connection((serving.host, serving.port))
        took = [one_way(waiters, sender) for _ in range(run.options.samples)]
        sender.close()
    finally:
        waiters.close()
    p50, p99 = stats.quantile(took, 0.5), stats.quantile(took, 0.99)
    run.recorder.write("http", way="waiting", count=count, cpu=percent, mib=mib, milliseconds=took)
    run.sections.append(
        f"## http: waiting\n\n| {count} requests wait for {QUEUES} queues | |\n|---|---:|\n"
        f"| CPU of the program and of PostgreSQL, of one core | {percent:.2f} % |\n"
        f"| memory of the program | {mib:.0f} MiB |\n"
        f"| a message on its way to one of them, p50 | {p50:.2f} ms |\n| p99 | {p99:.2f} ms |\n")
    run.aim(Target("http", f"{count} requests that wait: CPU, PostgreSQL's too", f"< {MOST_CPU:g} %",
                   f"{percent:.2f} %", "", stats.at_most(percent, MOST_CPU, 0.0)))
    run.aim(Target("http", f"{count} requests that wait: memory", f"< {MOST_MIB:g} MiB",
                   f"{mib:.0f} MiB", "", stats.at_most(mib, MOST_MIB, 0.0)))
    run.aim(Target("http", f"{count} requests that wait: p99 of a message to one of them",
                   f"≤ {MOST_MS:g} ms", f"{p99:.2f} ms ({len(took)} messages)", "",
                   stats.at_most(p99, MOST_MS, 0.0)))


def run(run: Run) -> None:
    why = serve.missing()
    if why:
        run.fail("http", why)
        return
    count = POLLS if serve.raise_file_limit(POLLS + 200) else 500
    with run.database("bench_http", [baton.SYSTEM]) as database:
        run.cluster.sql(baton.EMPTY, database)
        try:
            with serve.running(run.cluster, run.source, database) as serving:
                sending(run, database, serving)
                waiting(run, serving, database, count)
        except ServeError as error:
            run.fail("http", str(error))
