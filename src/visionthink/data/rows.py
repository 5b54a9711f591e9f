"""Rows: questions about images that are not opened yet.

A row takes a few hundred bytes, however large its images, and can be pickled, so that data loaders
and other processes can share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from visionthink.core.errors import ImageError
from visionthink.core.images import DEFAULT_LIMITS, Limits
from visionthink.core.types import Example
from visionthink.data.image_refs import ImageRef


@dataclass(frozen=True, slots=True)
class Row:
    """One question with its ground truth.

    Attributes:
        id: unique in its data set.
        images: handles, at least one.
        question: with the data set's prompt suffix, if it has one.
        answer: the ground truth; if several are accepted, the first.
        metadata: "answers" if several are accepted, "family" and "kind" ("weak", "strong", "lucky")
            where known, and the source's other columns if they are small.
    """

    id: str
    images: tuple[ImageRef, ...]
    question: str
    answer: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def answers(self) -> tuple[str, ...]:
        """Every accepted answer; the first is `answer`."""
        return tuple(self.metadata.get("answers", (self.answer,)))

    @property
    def kind(self) -> str | None:
        return self.metadata.get("kind")

    def open(self, limits: Limits = DEFAULT_LIMITS) -> Example:
        """Read and decode the images.

        Raises:
            ImageError: an image is missing, broken or beyond `limits`; the message names the row.
        """
        try:
            pictures = tuple(image.open(limits) for image in self.images)
        except ImageError as error:
            raise ImageError(f"row {self.id!r}: {error}") from error
        return Example(pictures, self.question, self.answer, self.id, self.metadata)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    `number` is that of the line in a text file, from 1, or of the row in a table, from 0.
    """

    number: int
    reason: str


class Rows(Sequence[Row]):
    """The usable rows of one data set; a sequence, of which slices are `Rows` again.

    Attributes:
        source: what they were read from, for messages.
        bad: the rows that were skipped, in order.
        repeated: the number of each row whose id is that of an earlier one, and that id; the row
            has another id now.
        notes: what is odd about the others, one line each.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        source: str,
        bad: Sequence[BadRow] = (),
        repeated: Sequence[tuple[int, str]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self._rows = rows
        self.source = source
        self.bad = list(bad)
        self.repeated = list(repeated)
        self.notes = list(notes)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> Row | Rows:
        if isinstance(index, slice):
            return self.like(self._rows[index])
        return self._rows[index]

    def like(self, rows: Sequence[Row]) -> Rows:
        """Other rows of the same data set."""
        return Rows(rows, self.source, self.bad, self.repeated, self.notes)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {self.source}, {len(self.bad)} bad>"
