"""Results as data: one JSON object a line, written as soon as it is known."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import IO


def clean(value: object) -> object:
    """JSON has no NaN."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    if isinstance(value, dict):
        return {key: clean(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(each) for each in value]
    return value


class Recorder:
    def __init__(self, path: Path):
        self.path = path
        self.file: IO[str] = open(path, "w", encoding="utf-8")

    def write(self, kind: str, **fields: object) -> None:
        for name, value in fields.items():
            if dataclasses.is_dataclass(value) and not isinstance(value, type):
                fields[name] = dataclasses.asdict(value)
        record = {"kind": kind} | {key: clean(value) for key, value in fields.items()}
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()
