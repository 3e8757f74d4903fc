"""How a visitor says what is to be done: sliders where tasks blend, boxes where they only combine,
a choice where they do neither. `gradio` is imported here and in `page.py` alone."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from taskfusion_jax.inference.model import Model, Strengths


@dataclasses.dataclass(frozen=True)
class Controls:
    """What is on the page, and what it means.

    Attributes:
      components: of Gradio, in the order of their values.
      read: their values -> task -> strength.
      write: strengths -> their values.
      triggers: what happens when a visitor, not the page, has changed one.
    """

    components: Sequence[gr.components.Component]
    read: Callable[..., dict[str, Any]]
    write: Callable[[Strengths], list[Any]]
    triggers: Sequence[Callable]


def controls(model: Model, first: Strengths) -> Controls:
    """Those that fit the run's method. first: what they say at first."""
    if model.method.blends:
        return _sliders(model, first)
    return _boxes(model, first) if model.method.combines else _choice(model, first)


def presets(model: Model) -> dict[str, Strengths]:
    """Buttons: the tasks that were learnt together, then each alone; none where tasks are chosen
    one by one anyway."""
    if not model.method.combines:
        return {}
    named = {" + ".join(parts): parts for parts in model.combinations.values()}
    named |= {name: (name,) for name in model.tasks}
    return {title: dict.fromkeys(parts, 1.0) for title, parts in named.items()}


def _sliders(model: Model, first: Strengths) -> Controls:
    # A task without a slot is what all sliders at 0 ask for.
    names = [name for name, task in model.tasks.items() if task.active]
    sliders = [
        gr.Slider(0, 1, first.get(name, 0), step=0.01, label=name, buttons=[], min_width=200)
        for name in names
    ]
    return Controls(
        sliders,
        lambda *values: dict(zip(names, values, strict=True)),
        lambda strengths: [strengths.get(name, 0) for name in names],
        [slider.input for slider in sliders],
    )


def _boxes(model: Model, first: Strengths) -> Controls:
    boxes = gr.CheckboxGroup(list(model.tasks), value=list(first), label="tasks")
    return Controls([boxes], _named, lambda strengths: [list(strengths)], [boxes.input])


def _choice(model: Model, first: Strengths) -> Controls:
    choice = gr.Radio(list(model.tasks), value=next(iter(first)), label="task")
    return Controls(
        [choice], lambda value: _named([value]), lambda names: list(names)[:1], [choice.input]
    )


def _named(names: Any) -> dict[str, float]:
    """Each at full strength. names: as a browser sends them, whatever they are."""
    return {str(name): 1.0 for name in names if name} if isinstance(names, list) else {}
