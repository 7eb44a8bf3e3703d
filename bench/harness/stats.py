"""Medians, quartiles, and when a figure can be told from its target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MET, MISSED, UNCLEAR, NOT_RUN = "met", "missed", "not distinguishable", "not measured"


def quantile(values: Sequence[float], fraction: float) -> float:
    """Linear interpolation between the closest ranks."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    place = fraction * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True)
class Summary:
    median: float
    q1: float
    q3: float
    count: int

    @property
    def spread(self) -> float:
        """How far the quartiles of a ratio lie from 1: the noise, when it is an A/A ratio."""
        return max(abs(self.q1 - 1), abs(self.q3 - 1))


def summarize(values: Sequence[float]) -> Summary:
    return Summary(quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75),
                   len(values))


def at_least(figure: float, target: float, noise: float) -> str:
    """Verdict on figure >= target, where figure may be off by the relative noise."""
    if math.isnan(figure):
        return NOT_RUN
    if figure * (1 - noise) >= target:
        return MET
    if figure * (1 + noise) < target:
        return MISSED
    return UNCLEAR


def at_most(figure: float, target: float, noise: float) -> str:
    """Verdict on figure <= target, where figure may be off by the absolute noise."""
    if math.isnan(figure):
        return NOT_RUN
    if figure + noise <= target:
        return MET
    if figure - noise > target:
        return MISSED
    return UNCLEAR
