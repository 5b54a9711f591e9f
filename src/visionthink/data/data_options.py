r"""What a data set is called in a YAML file: where it is, how it is laid out, what its columns are.

```yaml
path: charts/train.jsonl
columns: {question: query, answer: label}
prompt_suffix: "\nAnswer with a single word."
kind: strong
```
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from visionthink.mini.world import FAMILIES

Format = Literal["jsonl", "parquet", "folder", "disk", "hub", "released", "mini"]
Kind = Literal["weak", "strong", "lucky"]


class Columns(BaseModel, extra="forbid", frozen=True):
    """Which columns hold what.

    `image` left out means `image` or `images`, in a folder `file_name` or `file_names`. Rows
    without an id are called by their number.
    """

    image: str | None = None
    question: str = "question"
    answer: str = "answer"
    id: str = "id"


class DataOptions(BaseModel, extra="forbid", frozen=True):
    """One data set.

    Attributes:
        path: file, folder or hub id; `mini` (or none) is the embedded world.
        format: how it is laid out; None: guessed from the path. A hub id is never guessed.
        split: of a data set that has several; of the embedded world, train or test.
        prompt_suffix: put behind every question as it is, with its line break if it needs one.
        kind: of the rows that do not say it themselves.
        limit: how many usable rows to read.
        skip_bad: leave bad rows out instead of refusing the data set.
        allow_outside: let image paths lead out of the folder of the file that names them.
        where: keep only rows whose column has this value, or one of these; before anything else
            of a row is checked.
        families: of the embedded world: a list, or how often each one comes (weights).
        size, seed: of the embedded world: how many rows, and which.
    """

    path: str | None = None
    format: Format | None = None
    columns: Columns = Columns()
    split: str | None = None
    prompt_suffix: str = ""
    kind: Kind | None = None
    limit: int | None = Field(default=None, ge=1)
    skip_bad: bool = False
    allow_outside: bool = False
    where: dict[str, str | list[str]] = {}
    families: list[str] | dict[str, float] = list(FAMILIES)
    size: int = Field(default=1000, ge=1)
    seed: int = 0
