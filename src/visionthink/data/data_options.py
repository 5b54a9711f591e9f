r"""The options of a data set, as in a YAML file: place, layout, columns.

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
    """The names of the columns.

    `image` None: `image` or `images`, in a folder `file_name` or `file_names`. A row without an id
    has its number as id.
    """

    image: str | None = None
    question: str = "question"
    answer: str = "answer"
    id: str = "id"


class DataOptions(BaseModel, extra="forbid", frozen=True):
    """One data set.

    Attributes:
        path: file, folder or hub id; `mini` or None: the embedded world.
        format: the layout; None: guessed from the path. A hub id is never guessed.
        split: which one, of a data set with several; of the embedded world train or test.
        prompt_suffix: added to every question as it is, with a line break if it needs one.
        kind: of rows without a kind of their own.
        limit: how many usable rows to read.
        skip_bad: leave bad rows out instead of refusing the data set.
        drop_image_marks: take marks of images, such as `<image>`, out of questions.
        allow_outside: accept image paths out of the folder of the file that names them.
        where: keep only rows whose column has this value, or one of these; checked first.
        families: of the embedded world: a list, or a weight for each family.
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
    drop_image_marks: bool = False
    allow_outside: bool = False
    where: dict[str, str | list[str]] = {}
    families: list[str] | dict[str, float] = list(FAMILIES)
    size: int = Field(default=1000, ge=1)
    seed: int = 0
