"""Rounds: each load in turn, in changing order, so that drift hits all of them alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import slices, stats
from .load import Load
from .run import Run, Target
from .slices import Backlogs, Slice

TRIES = 3  # slices for one load in one round, when its backlog ran dry


@dataclass(frozen=True)
class Comparison:
    load: str
    reference: str
    target: float | None = None  # load must reach at least target times the reference
    what: str = ""  # the target in words


@dataclass
class Table:
    """rates[load][round]; a failed slice leaves NaN."""
    slices: dict[str, list[Slice]] = field(default_factory=dict)

    def rates(self, key: str) -> list[float]:
        return [math.nan if each.error else each.rate for each in self.slices.get(key, [])]

    def ratios(self, key: str, reference: str) -> list[float]:
        """Per round, so that only slices of the same minute are compared."""
        pairs = zip(self.rates(key), self.rates(reference))
        return [mine / other for mine, other in pairs
                if not math.isnan(mine) and not math.isnan(other) and other > 0]

    def good(self, key: str) -> list[Slice]:
        return [each for each in self.slices.get(key, []) if not each.error]


def order(count: int, round_number: int) -> list[int]:
    """Starts one further each round, and runs backwards every other time."""
    turned = [(round_number + place) % count for place in range(count)]
    return turned[::-1] if round_number % 2 else turned


def one_slice(run: Run, scenario: str, load: Load, database: str, round_number: int,
              backlogs: Backlogs) -> Slice:
    """A slice that ran dry fails; then it is tried again over a larger backlog."""
    for _ in range(TRIES):
        done = slices.run(run.cluster, load, database, run.options.seconds, backlogs)
        run.recorder.write("slice", scenario=scenario, round=round_number, slice=done)
        result = done.error or f"{done.rate:.0f}/s"
        run.say(f"{scenario} round {round_number + 1}: {load.label}: {result}"
                + ("" if done.quiet or done.error else " (the server was not at rest before)"))
        if done.error != "ran dry":
            break
    return done


def play(run: Run, scenario: str, loads: Sequence[Load], database: str,
         backlogs: Backlogs) -> Table:
    """All rounds. Loads are told apart by place, so that one may stand there twice."""
    places: list[list[Slice]] = [[] for _ in loads]
    for round_number in range(run.options.rounds):
        for place in order(len(loads), round_number):
            places[place].append(
                one_slice(run, scenario, loads[place], database, round_number, backlogs))
    table = Table()
    for place, load in enumerate(loads):
        name = load.key if load.key not in table.slices else f"{load.key} again"
        table.slices[name] = places[place]
    return table


def same_against_same(run: Run, scenario: str, reference: Load, database: str,
                      backlogs: Backlogs) -> stats.Summary:
    """The A/A run: what ratio comes out when nothing differs."""
    table = play(run, f"{scenario} A/A", [reference, reference], database, backlogs)
    summary = stats.summarize(table.ratios(reference.key, f"{reference.key} again"))
    run.recorder.write("same", scenario=scenario, load=reference.key, ratio=summary)
    return summary


def compare(run: Run, scenario: str, loads: Sequence[Load],
            comparisons: Sequence[Comparison], database: str) -> None:
    """A whole scenario: A/A of each reference, the rounds, the table, the targets."""
    present = {load.key: load for load in loads}
    wanted = [each for each in comparisons
              if each.load in present and each.reference in present]
    backlogs = Backlogs()
    for load in loads:  # once unmeasured: fills caches, and finds the size of the backlog
        done = one_slice(run, f"{scenario} warm-up", load, database, 0, backlogs)
        if done.error:
            run.note(f"{scenario}: {load.label} failed in the warm-up: {done.error}")
    same = {key: same_against_same(run, scenario, present[key], database, backlogs)
            for key in dict.fromkeys(each.reference for each in wanted)}
    table = play(run, scenario, loads, database, backlogs)
    run.sections.append(section(run, scenario, loads, wanted, same, table))
    for each in wanted:
        judge(run, scenario, each, present, same[each.reference], table)


def judge(run: Run, scenario: str, each: Comparison, present: dict[str, Load],
          same: stats.Summary, table: Table) -> None:
    ratio = stats.summarize(table.ratios(each.load, each.reference))
    run.recorder.write("ratio", scenario=scenario, comparison=each, ratio=ratio, same=same)
    if each.target is None:
        return
    noise = 0.0 if math.isnan(same.spread) else same.spread
    run.aim(Target(
        scenario, each.what or f"{present[each.load].label} / {present[each.reference].label}",
        f"≥ {each.target:g}", show_ratio(ratio), show_same(same),
        stats.at_least(ratio.median, each.target, noise)))


def show_ratio(ratio: stats.Summary) -> str:
    if ratio.count == 0:
        return "-"
    return f"{ratio.median:.3f} ({ratio.q1:.3f} to {ratio.q3:.3f})"


def show_same(same: stats.Summary) -> str:
    return "-" if same.count == 0 else f"{same.median:.3f} ({same.q1:.3f} to {same.q3:.3f})"


def section(run: Run, scenario: str, loads: Sequence[Load], wanted: Sequence[Comparison],
            same: dict[str, stats.Summary], table: Table) -> str:
    """The scenario's tables in Markdown: rates first, then ratios."""
    labels = {load.key: load.label for load in loads}
    lines = [f"## {scenario}", "",
             "| system | messages/s | quartiles | backend CPU µs/message | other CPU µs | rounds |",
             "|---|---:|---|---:|---:|---:|"]
    for load in loads:
        good = table.good(load.key)
        rate = stats.summarize([each.rate for each in good])
        backend = stats.summarize([each.cpu_us for each in good])
        other = stats.summarize([each.standing_cpu_us for each in good])
        lines.append(
            f"| {load.label} | {rate.median:.0f} | {rate.q1:.0f} to {rate.q3:.0f} "
            f"| {backend.median:.1f} | {other.median:.1f} | {len(good)}/{run.options.rounds} |"
            if good else f"| {load.label} | failed | | | | 0/{run.options.rounds} |")
    lines += ["", "| ratio, per round | median (quartiles) | A/A of the reference |",
              "|---|---|---|"]
    for each in wanted:
        ratio = stats.summarize(table.ratios(each.load, each.reference))
        lines.append(f"| {labels[each.load]} / {labels[each.reference]} "
                     f"| {show_ratio(ratio)} | {show_same(same[each.reference])} |")
    return "\n".join(lines) + "\n"
