"""Classes of labelled images: their names, parts of them for a task, and how they are split."""

import itertools
import json
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean

_FIELD = "config.data"


class Kept(Sequence):
    """The images of some classes of a labelled source, renumbered 0.. in the order asked for.

    No image is read to find the classes: the source tells all of them as `label_ids`. Which images
    `per_class` chooses depends on the seed and the class alone, and more are the same and others.

    Attributes:
      labels: names of the classes kept.
      label_ids: int [N], the new class of each item.
    """

    has_masks = False
    classes = 0

    def __init__(self, source: Sequence, keep: Sequence[int | str], per_class: int, seed: int):
        """source: labelled; keep: classes by id or name, none = all; per_class: at most so many
        images of each, 0 = all; seed: of their choice.

        Raises:
          UserError: the source has no labels, a class is unknown or named twice, or nothing is
            left.
        """
        if not source.labels:
            asked = f"keep={tuple(keep)}" if keep else f"per_class={per_class}"
            raise UserError(
                f"{_FIELD}.{asked} chooses among labelled images, but {source!r} has no labels: "
                "leave it out or use a source with labels"
            )
        ids = _class_ids(keep, source) if keep else list(range(len(source.labels)))
        self.source, self.per_class = source, per_class
        self.labels = tuple(source.labels[i] for i in ids)
        new = np.full(len(source.labels), -1)
        new[ids] = np.arange(len(ids))
        places = [_chosen(source.label_ids, i, per_class, seed) for i in ids]
        self.places = np.sort(np.concatenate(places))
        self.label_ids = new[source.label_ids[self.places]]
        if not len(self.places):
            raise UserError(
                f"{source!r} has no image of {', '.join(self.labels)}: change {_FIELD}.keep"
            )

    def __len__(self) -> int:
        """How many images are left."""
        return len(self.places)

    def __getitem__(self, index: int) -> dict:
        """The item in the chosen place, with its new label."""
        item = self.source[int(self.places[index])]
        return {**item, "label": int(self.label_ids[index])}

    def __repr__(self) -> str:
        """What they were chosen from."""
        few = f"at most {self.per_class} of each of " if self.per_class else ""
        return f"{few}classes {', '.join(self.labels)} of {self.source!r}"


def _class_ids(keep: Sequence[int | str], source: Sequence) -> list[int]:
    ids = []
    for wanted in keep:
        if isinstance(wanted, str) and wanted in source.labels:
            ids.append(source.labels.index(wanted))
        elif isinstance(wanted, int) and 0 <= wanted < len(source.labels):
            ids.append(wanted)
        else:
            known = source.labels
            hint = did_you_mean(wanted, known) if isinstance(wanted, str) else ""
            raise UserError(
                f"{_FIELD}.keep: no class {wanted!r}{hint} in {source!r}, which has "
                f"{len(known)}: use their names, or 0..{len(known) - 1}"
            )
        if ids[-1] in ids[:-1]:
            raise UserError(
                f"{_FIELD}.keep={tuple(keep)} has class {ids[-1]}, "
                f"'{source.labels[ids[-1]]}', twice: name it once"
            )
    return ids


def _chosen(label_ids: np.ndarray, id: int, per_class: int, seed: int) -> np.ndarray:
    """The places of one class's images; the first of them in a random order where few are asked."""
    places = np.flatnonzero(label_ids == id)
    if not per_class:
        return places
    return np.random.default_rng((seed, id)).permutation(places)[:per_class]


def names_of(label_ids: np.ndarray, names: Sequence[str], where: str, field: str) -> tuple:
    """Returns the names, or where there are none, the numbers up to the highest label.

    Raises:
      UserError: a label has no name, or two have the same. `where` is what holds the labels, and
        `field` the names.
    """
    names = tuple(map(str, names)) or tuple(map(str, range(int(label_ids.max()) + 1)))
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise UserError(f"{field}: two classes are named '{twice}': give each a name of its own")
    wrong = label_ids[(label_ids < 0) | (label_ids >= len(names))]
    if len(wrong):
        raise UserError(
            f"{where} holds label {wrong[0]}, but there are {len(names)} classes, 0.."
            f"{len(names) - 1}: correct it or set {field}"
        )
    return names


def spread(label_ids: np.ndarray, fraction: float) -> np.ndarray:
    """Returns bool [N], whether an image is for testing: of each class one in 1 / fraction.

    So a file in any order gives both splits all of its classes, on every machine alike.
    """
    test = np.zeros(len(label_ids), bool)
    for id in np.unique(label_ids):
        places = np.flatnonzero(label_ids == id)
        share = np.floor(np.arange(len(places) + 1) * fraction)
        test[places] = np.diff(share) > 0
    return test


def check_disjoint(sections: Mapping[str, ConfigDict]) -> None:
    """Raises UserError where two tasks have a class of one data set in common.

    Args:
      sections: task -> its section of data. Two are of one data set where the source and the
        options of that source are the same.
    """
    for (one, first), (other, second) in itertools.combinations(sections.items(), 2):
        if data_set(first) != data_set(second):
            continue
        fields = f"{_FIELD}_of.{one}.keep and {_FIELD}_of.{other}.keep"
        # Only the data could tell which number a name has, and it may not be at hand yet.
        if len({type(wanted) for wanted in (*first.keep, *second.keep)}) > 1:
            raise UserError(
                f"{fields} choose classes of the same data by name and by number: "
                "use names or numbers in both"
            )
        if not first.keep or not second.keep:
            raise UserError(
                f"{fields} have classes of the same data in common, as an empty one keeps all: "
                "give each class to one task"
            )
        common = [wanted for wanted in first.keep if wanted in second.keep]
        if common:
            raise UserError(
                f"{fields} have class {common[0]!r} of the same data in common: "
                "give each class to one task"
            )


def data_set(section: ConfigDict) -> str:
    """Where the images of a section are from, whichever classes it keeps of them."""
    options = json.loads(section.to_json()).get(section.source, {})
    return json.dumps([section.source, options], sort_keys=True)
