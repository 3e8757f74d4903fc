"""The twin of `tasks.objective.Objective`: the loss of a whole batch."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from taskfusion_jax.benchmark.twins.judges import gram
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.combined import Combined
from taskfusion_jax.tasks.losses import CONTENT_LAYER, PERCEPTUAL
from taskfusion_jax.tasks.objective import Judged
from taskfusion_jax.tasks.segmentation import VOID


@dataclasses.dataclass
class _Rows:
    """See `tasks.losses.Rows`; images are [B, 3, H, W], masks [B, 1, H, W]."""

    task: Task
    output: torch.Tensor
    clean: torch.Tensor
    target: torch.Tensor
    mask: torch.Tensor
    features: dict[str, torch.Tensor] | None = None
    clean_features: dict[str, torch.Tensor] | None = None
    painting_grams: dict[str, torch.Tensor] | None = None
    critic: torch.Tensor | None = None


def _l2(rows: _Rows) -> torch.Tensor:
    error = ((rows.output - rows.target) ** 2).mean(1, keepdim=True)
    if not rows.task.needs_mask:
        return error.mean()
    valid = (rows.mask != VOID).float()
    return ((error * valid).sum((1, 2, 3)) / valid.sum((1, 2, 3)).clamp(min=1)).mean()


def _content(rows: _Rows) -> torch.Tensor:
    made, wanted = rows.features[CONTENT_LAYER], rows.clean_features[CONTENT_LAYER]
    return ((made - wanted) ** 2).mean(dtype=torch.float32)


def _style(rows: _Rows) -> torch.Tensor:
    return sum(
        ((gram(rows.features[layer]) - wanted) ** 2).sum((1, 2)).mean()
        for layer, wanted in rows.painting_grams.items()
    )


def _adversarial(rows: _Rows) -> torch.Tensor:
    return ((rows.critic - 1) ** 2).mean()


def _smooth(rows: _Rows) -> torch.Tensor:
    y = rows.output
    down, right = y[:, :, 1:] - y[:, :, :-1], y[..., 1:] - y[..., :-1]
    return (down**2).mean() + (right**2).mean()


TERMS = {
    "l2": _l2,
    "content": _content,
    "style": _style,
    "adversarial": _adversarial,
    "smooth": _smooth,
}


class Objective(nn.Module):
    """`objective(input, clean, mask)` -> loss, on the same rows as ours."""

    def __init__(
        self,
        net: nn.Module,
        entries: Sequence[Judged],
        vectors: np.ndarray,
        grams: dict[str, dict[str, np.ndarray]],
    ):
        """The networks that judge are set afterwards, where there are any.

        Args:
          net: the network.
          entries: what the rows of a group are judged as.
          vectors: the task vector of each of these rows, [rows, slots].
          grams: the paintings' Gram matrices by task and layer.
        """
        super().__init__()
        self.net, self.entries = net, entries
        self.teacher = self.critic = self.vgg = self.average = None
        self.register_buffer("vectors", torch.from_numpy(vectors))
        for task in [part for entry in entries for part in _parts(entry.task)]:
            self.register_buffer(f"vector:{task.name}", torch.from_numpy(task.vector))
        self._grams = {}
        for task, layers in grams.items():
            for layer, array in layers.items():
                name = f"gram:{task}:{layer}"
                self.register_buffer(name, torch.from_numpy(np.array(array, np.float32)))
                self._grams.setdefault(task, {})[layer] = name

    def forward(
        self, damaged: torch.Tensor, clean: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """damaged, clean: uint8 [B, 3, H, W]; mask: uint8 [B, 1, H, W] -> scalar."""
        groups = len(damaged) // len(self.vectors)
        outputs = self.net(_to_float(damaged), self.vectors.repeat(groups, 1))
        views = [self._rows(entry, outputs, clean, mask, groups) for entry in self.entries]
        self._add_features(views)
        loss = self._add_critic(views)
        for view in views:
            for term, weight in view.task.loss.items():
                loss = loss + weight * TERMS[term](view)
        return loss

    def _rows(self, entry: Judged, outputs, clean, mask, groups: int) -> _Rows:
        def take(x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(0, (groups, -1))[:, entry.first : entry.last].flatten(0, 1)

        clean, mask = _to_float(take(clean)), take(mask)
        target = self._target(entry.task, clean, mask)
        return _Rows(entry.task, take(outputs), clean, target, mask)

    def _target(self, task: Task, clean: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if isinstance(task, Combined):
            by_cut = sorted(task.parts, key=lambda part: part.cuts)
            for part in by_cut if task.by == "mask" else task.parts:
                clean = self._target(part, clean, mask)
            return clean
        if task.cuts:
            fill = clean.new_tensor(task.fill)[:, None, None]
            return torch.where(mask == 0, fill, clean)
        if not task.has_target:
            teacher = self.net if self.teacher is None else self.teacher
            with torch.no_grad():
                return teacher(clean, self._vector(task, len(clean)))
        return clean

    def _vector(self, task: Task, rows: int) -> torch.Tensor:
        return self.get_buffer(f"vector:{task.name}").expand(rows, -1)

    def _add_features(self, views: list[_Rows]) -> None:
        chosen = [view for view in views if PERCEPTUAL & set(view.task.loss)]
        if not chosen:
            return
        made = self._features([view.output for view in chosen])
        with torch.no_grad():
            wanted = self._features([view.clean for view in chosen])
        for view, features, clean_features in zip(chosen, made, wanted, strict=True):
            view.features, view.clean_features = features, clean_features
            names = self._grams[view.task.name]
            view.painting_grams = {k: self.get_buffer(name) for k, name in names.items()}

    def _features(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        counts = [len(x) for x in images]
        split = {k: x.split(counts) for k, x in self.vgg(torch.cat(images)).items()}
        return [{k: parts[i] for k, parts in split.items()} for i in range(len(images))]

    def _add_critic(self, views: list[_Rows]) -> torch.Tensor:
        """Judges all adversarial rows at once; returns the discriminator's own loss."""
        chosen = [view for view in views if "adversarial" in view.task.loss]
        if not chosen:
            return self.vectors.new_zeros(())
        made = [
            torch.where(view.mask == VOID, view.target, view.output)
            if view.task.needs_mask
            else view.output
            for view in chosen
        ]
        fake, real = torch.cat(made), torch.cat([view.target for view in chosen])
        c = torch.cat([self._vector(view.task, len(view.output)) for view in chosen])
        frozen = {name: p.detach() for name, p in self.critic.named_parameters()}
        verdict = functional_call(self.critic, frozen, (fake, c))
        for view, part in zip(chosen, verdict.split([len(x) for x in made]), strict=True):
            view.critic = part
        on_real, on_fake = self.critic(real, c), self.critic(fake.detach(), c)
        return ((on_real - 1) ** 2).mean() + (on_fake**2).mean()


def _parts(task: Task) -> tuple[Task, ...]:
    """The task and what it is made of."""
    return (task, *getattr(task, "parts", ()))


def _to_float(x: torch.Tensor) -> torch.Tensor:
    return x.float() / 255
