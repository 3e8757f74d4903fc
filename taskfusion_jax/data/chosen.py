"""Parts of a source: items by their places, evenly spaced, or drawn once at random."""

from collections.abc import Sequence

import numpy as np


class Chosen(Sequence):
    """Some items of a source, by their places."""

    def __init__(self, source: Sequence, places: np.ndarray):
        """places: int [N]."""
        self.source, self.has_masks, self.places = source, source.has_masks, places
        self.classes, self.labels = source.classes, source.labels

    def __len__(self) -> int:
        """How many items are chosen."""
        return len(self.places)

    def __getitem__(self, index: int) -> dict:
        """The item in the chosen place."""
        return self.source[int(self.places[index])]

    def __repr__(self) -> str:
        """What they were chosen from."""
        return f"{len(self)} of {self.source!r}"


class Spaced(Chosen):
    """At most `count` items of a source, evenly spaced: neighbours are often frames of one film."""

    def __init__(self, source: Sequence, count: int):
        """count: at least 1."""
        count = min(count, len(source))
        super().__init__(source, np.linspace(0, len(source) - 1, count).round().astype(int))

    def __repr__(self) -> str:
        """What they were chosen from."""
        return f"evenly spaced of {self.source!r}"


class Drawn(Chosen):
    """At most `count` items of a source, drawn once at random: a replay buffer's."""

    def __init__(self, source: Sequence, count: int, seed: int):
        """count: at least 1; seed: of the choice, which is the same in every run and stage."""
        drawn = np.random.default_rng(seed).permutation(len(source))[:count]
        super().__init__(source, np.sort(drawn))

    def __repr__(self) -> str:
        """What they were drawn from."""
        return f"{len(self)} drawn of {self.source!r}"
