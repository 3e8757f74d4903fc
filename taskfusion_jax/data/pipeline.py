"""From a source to batches, with grain: a pure function of (seed, index), sharded by process."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import grain
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from taskfusion_jax.data.augment import Augment
from taskfusion_jax.data.mixup import Mixup
from taskfusion_jax.errors import UserError
from taskfusion_jax.tasks.base import Task

Example = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Crop(grain.transforms.RandomMap):
    """A square of `size` pixels: random place, scale and flip in training, the centre otherwise.

    Attributes:
      size: side of the result in pixels.
      scale: smallest share of the shorter side that a random crop covers; 1 = all of it.
      random: whether place, scale and flip are drawn at random.
      flip: whether half of the random crops are mirrored.
    """

    size: int
    scale: float
    random: bool
    flip: bool = True

    def random_map(self, element: Example, rng: np.random.Generator) -> Example:
        """Crops image [H, W, 3] and, where there is one, mask [H, W] alike."""
        height, width = element["image"].shape[:2]
        share = rng.uniform(self.scale, 1) if self.random else 1
        side = max(self.size, round(share * min(height, width)))
        top, left = (height - side) // 2, (width - side) // 2
        if self.random:
            top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
        flip = self.random and self.flip and rng.random() < 0.5

        def cut(x, resample):
            x = x[top : top + side, left : left + side]
            if side != self.size:
                x = np.asarray(Image.fromarray(x).resize((self.size, self.size), resample))
            return x[:, ::-1] if flip else x

        out = {**element, "image": cut(element["image"], Image.Resampling.LANCZOS)}
        if "mask" in element:
            out["mask"] = cut(element["mask"], Image.Resampling.NEAREST)
        return out


@dataclasses.dataclass(frozen=True)
class Corrupt(grain.transforms.RandomMap):
    """Makes `{input, clean, mask, label, share}` of the task whose turn it is; mask: 0, 1 = object,
    255 = void, or class ids and 255 for a task that keeps them; label: twice the image's own, 0
    where it has none, and the share of the first, 1.

    Attributes:
      turns: the task of each row of a group.
      foreground: class ids that count as objects; empty = all but 0.
    """

    turns: tuple[Task, ...]
    foreground: tuple[int, ...]

    def random_map(self, element: tuple[int, Example], rng: np.random.Generator) -> Example:
        """element: (index, {image [H, W, 3], mask [H, W] or none, label or none})."""
        index, example = element
        clean = np.ascontiguousarray(example["image"])
        ids = example.get("mask", np.zeros(clean.shape[:2], np.uint8))
        task = self.turns[index % len(self.turns)]
        objects = np.isin(ids, self.foreground) if self.foreground else ids > 0
        mask = ids if task.keeps_classes else np.where(ids == 255, 255, objects).astype(np.uint8)
        images = {"input": task.corrupt(rng, clean), "clean": clean, "mask": mask}
        label = np.full(2, example.get("label", 0), np.int32)
        return {**images, "label": label, "share": np.float32(1)}


def check_masks(source: Sequence, tasks: Sequence[Task]) -> None:
    """Raises UserError if a task needs masks that the source does not have."""
    blind = [task.name for task in tasks if task.needs_mask and not source.has_masks]
    if blind:
        raise UserError(
            f"{source!r} has no masks, which {', '.join(blind)} needs: set these tasks' rows to 0 "
            "(--config.stages.STAGE.rows.TASK=0) or use a source with masks, such as voc_folder"
        )
    for task in tasks:
        if task.keeps_classes and task.classes != source.classes:
            raise UserError(
                f"config.tasks.{task.name}.classes={task.classes}, but {source!r} has "
                f"{source.classes} classes: set it to that, or give the task other data "
                f"(config.data_of.{task.name})"
            )


def check_labels(source: Sequence, tasks: Sequence[Task]) -> None:
    """Raises UserError if a task needs labels that the source does not have, or another number."""
    for task in tasks:
        if not task.labels:
            continue
        way_out = f"give the task other data (config.data_of.{task.name})"
        if not source.labels:
            raise UserError(
                f"{source!r} has no labels, which {task.name} needs: {way_out}, such as digits or "
                "image_folder with labels"
            )
        if task.labels != len(source.labels):
            raise UserError(
                f"config.tasks.{task.name}.labels={task.labels}, but {source!r} has "
                f"{len(source.labels)} classes: set it to that, choose among them with keep, or "
                f"{way_out}"
            )


def _check_labelled(source: Sequence, data) -> None:
    """RandAugment and mixup know nothing of masks."""
    for field in ("augment", "mixup"):
        if data[field] and not source.labels:
            raise UserError(
                f"config.data.{field}={data[field]} is for labelled images, but {source!r} has no "
                "labels: set it to 0 or use a source with labels"
            )


class _Located(Sequence):
    """A source that says of every item where it is from."""

    def __init__(self, source: Sequence):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        return {**self.source[index], "where": f"example {index} of {self.source!r}"}

    def __repr__(self) -> str:
        return repr(self.source)


def _checked(index: int, example: Example, turns: tuple[Task, ...]) -> Example:
    turns[index % len(turns)].check_clean(example["image"], example.pop("where"))
    return example


_EPOCHS = 10**9
"""As good as endless; truly endless, batches of one row would be too many to count."""


def _examples(source: Sequence, turns: Sequence[Task], data, train: bool, seed: int):
    check_masks(source, turns)
    check_labels(source, turns)
    dataset = grain.MapDataset.source(_Located(source)).seed(seed)
    if train:
        dataset = dataset.shuffle().repeat(_EPOCHS)
    dataset = dataset.map_with_index(functools.partial(_checked, turns=tuple(turns)))
    dataset = dataset.random_map(Crop(data.size, data.scale, train, data.flip))
    if train and data.augment:
        dataset = dataset.random_map(Augment(data.augment, data.augment_strength))
    dataset = dataset.map_with_index(lambda i, example: (i, example))
    return dataset.random_map(Corrupt(tuple(turns), tuple(data.foreground)))


def _iterate(dataset: grain.MapDataset, data, workers: int) -> Iterator[Example]:
    options = grain.ReadOptions(num_threads=data.threads, prefetch_buffer_size=data.prefetch)
    iterable = dataset.to_iter_dataset(options)
    if workers:
        iterable = iterable.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return iter(iterable)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of a group that come from one source.

    Attributes:
      source: see `data/sources.py`.
      turns: the task of each row.
      data: the source's section of the config.
    """

    source: Sequence
    turns: tuple[Task, ...]
    data: ConfigDict


def train_batches(
    rows: Sequence[Rows],
    *,
    groups: int,
    seed: int,
    start: int,
    process: int = 0,
    processes: int = 1,
) -> Iterator[Example]:
    """Endless training batches of this process, from batch number `start` on.

    A group has the rows in their order. As each batch is a function of its number alone, an
    iterator is restored by its number, whatever the number of workers.

    Args:
      rows: whose images are of one size; the first says how they are read and by how many workers.
      groups: groups per global batch; a multiple of `processes`.
      seed: seed of shuffling, cropping and corruption.
      start: number of batches drawn before.
      process: number of this process.
      processes: how many there are; each takes its groups of a batch.

    Yields:
      input, clean: uint8 [groups / processes, rows, size, size, 3]; mask: uint8 without the 3;
      label: int32 [groups / processes, rows, 2] and share: float32 [groups / processes, rows], the
      share that the first of two mixed images has (1: not mixed).

    Raises:
      UserError: a source does not have what a task or its section asks of it.
    """
    parts = [_groups(part, seed + 10**6 * i) for i, part in enumerate(rows)]
    dataset = parts[0]
    if len(parts) > 1:
        end = min(map(len, parts))
        dataset = grain.experimental.ZipMapDataset([part[:end] for part in parts]).map(_joined)
    # Each process takes consecutive groups, so that all together are the batch of a single one.
    dataset = dataset.batch(groups // processes)[process::processes]
    return _iterate(dataset[start:], rows[0].data, rows[0].data.workers)


def _groups(rows: Rows, seed: int) -> grain.MapDataset:
    """The rows of group 0, 1, ..."""
    data = rows.data
    _check_labelled(rows.source, data)
    dataset = _examples(rows.source, rows.turns, data, train=True, seed=seed)
    dataset = dataset.batch(len(rows.turns))
    if data.mixup:
        dataset = dataset.random_map(Mixup(tuple(task.name for task in rows.turns), data.mixup))
    return dataset


def _joined(parts: Sequence[Example]) -> Example:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def test_batches(
    source: Sequence, task: Task, data, *, count: int, batch: int, seed: int
) -> Iterator[Mapping[str, np.ndarray]]:
    """The first `count` test images as one task sees them; the same images for every task.

    Read by threads alone: an evaluation asks dozens of times, and processes start in seconds.

    Yields:
      input, clean: uint8 [batch, size, size, 3]; mask: uint8 [batch, size, size]; label: int32
      [batch, 2]; share: float32 [batch]; the last batch may be smaller.
    """
    dataset = _examples(source, [task], data, train=False, seed=seed)[:count]
    return _iterate(dataset.batch(batch), data, workers=0)
