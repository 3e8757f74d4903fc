"""The page of a run, made with Gradio: an image, what is to be done with it, what comes of it."""

import html
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from taskfusion_jax.demo.controls import controls, presets
from taskfusion_jax.demo.samples import Sample
from taskfusion_jax.demo.service import Answer, Service, uploaded
from taskfusion_jax.errors import UserError
from taskfusion_jax.inference.files import write_picture
from taskfusion_jax.inference.model import Model

KEPT_S = 3600
"""How long files of visitors are kept, in seconds, while the page is up."""
STYLE = """
.gradio-container { width: 100%; max-width: 1180px !important; margin: 0 auto !important; }
.gradio-container > main, .gradio-container main > div { width: 100%; }
#title h1 { margin: 0 0 2px; }
#input img { width: 100%; height: 100%; object-fit: contain; }
#samples { contain: inline-size; }  /* else its pictures would widen a phone's page */
#samples .gallery-container, #samples .grid-wrap { padding: 0; min-height: 0 !important; }
#samples .grid-container { display: flex; overflow-x: auto; padding: 0 0 6px; }
#samples .gallery-item { flex: 0 0 84px; }
#samples .caption-label { font-size: 11px; padding: 1px 5px; max-width: 100%; }
#presets { gap: 6px; flex-wrap: wrap; }
#presets button { flex: 0 0 auto; min-width: 0; }
#line p { margin: 0; padding: 10px 14px; border-radius: 8px; font-size: 14px;
  font-variant-numeric: tabular-nums; background: var(--background-fill-secondary);
  overflow-wrap: anywhere; }
#line p.failed { background: var(--error-background-fill); color: var(--error-text-color);
  border: 1px solid var(--error-border-color); }
"""
# One visitor at a time, and raw values: `Service` reads files and numbers and tells what is wrong.
_ALONE = {
    "preprocess": False,
    "concurrency_limit": 1,
    "concurrency_id": "network",
    "api_visibility": "private",
    "show_progress": "minimal",
    "trigger_mode": "always_last",  # what was wished for last is done, however fast the clicks
}
_BLENDS = """Every task has a **slot** of the task vector **c**. A slider is the number in its slot:
0 leaves the task out, 1 asks for all of it, and several tasks are done in one pass of the network.
With all sliders at 0 the image comes back as it went in."""
_COMBINES = "Every task has parameters of its own. Several are done one after another in one pass."
_APART = "Every task has parameters of its own, so the network does one at a time."


def look() -> Mapping[str, Any]:
    """Theme and style for `launch`; the fonts are the visitor's own, so none is fetched."""
    font, mono = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")
    return {"theme": gr.themes.Default(primary_hue="teal", font=font, font_mono=mono), "css": STYLE}


def build(service: Service, found: Sequence[Sample], folder: Path) -> gr.Blocks:
    """The page, ready to be launched.

    Args:
      service: answers what visitors ask.
      found: samples to take, at least one.
      folder: for files; what the page makes goes to `folder/cache`, which must be Gradio's own
        (`GRADIO_TEMP_DIR`), and is removed after `KEPT_S`.
    """
    model = service.model
    paths = [_write_sample(folder, i, sample) for i, sample in enumerate(found)]
    ready = presets(model)
    first = next(iter(ready.values()), {next(iter(model.tasks)): 1.0})
    with gr.Blocks(
        title=f"{model.config.name}: task fusion",
        analytics_enabled=False,
        delete_cache=(KEPT_S // 6, KEPT_S),
    ) as page:
        gr.Markdown(_heading(model), elem_id="title")
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                drop, gallery = _input(paths, [sample.name for sample in found])
                with gr.Row(elem_id="presets"):
                    buttons = {title: gr.Button(title, size="sm") for title in ready}
                with gr.Row(elem_id="controls"):
                    asked = controls(model, first)
            with gr.Column(scale=6, min_width=320):
                shown = _Shown(model)
                gr.Markdown(_explained(model), elem_id="explained")

        results = folder / "cache"

        def answer(payload: Any, strengths: Mapping[str, Any]) -> list[Any]:
            given = service.answer(uploaded(payload, results), strengths)
            return shown.values(given, results)

        def run(payload: Any, *values: Any) -> list[Any]:
            return answer(payload, asked.read(*values))

        def take(event: gr.SelectData) -> str:
            known = event.index in range(len(paths))  # whatever a browser says
            return paths[int(event.index) if known else 0]

        alone = {**_ALONE, "show_progress_on": shown.components[:2]}
        call = {"fn": run, "inputs": [drop, *asked.components], "outputs": shown.components}
        gr.on([page.load, drop.change], **call, **alone)
        gr.on(list(asked.triggers), **call, **alone)
        gallery.select(take, None, drop, api_visibility="private", show_progress="hidden")
        for title, strengths in ready.items():
            buttons[title].click(
                lambda payload, wanted=strengths: [*asked.write(wanted), *answer(payload, wanted)],
                drop,
                [*asked.components, *shown.components],
                **alone,
            )
    return page.queue(max_size=64, api_open=False)


def _input(paths: Sequence[str], names: Sequence[str]) -> tuple[gr.Image, gr.Gallery]:
    """Where an image is dropped, and samples."""
    drop = gr.Image(
        value=paths[0],
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        label="Input: drop an image",
        buttons=[],
        height=260,
        elem_id="input",
    )
    gallery = gr.Gallery(
        list(zip(paths, names, strict=True)),
        label="Samples",
        show_label=False,
        container=False,
        columns=len(paths),
        height="auto",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="samples",
    )
    return drop, gallery


class _Shown:
    """What shows an answer.

    Attributes:
      components: a slider between input and result, labels, a button to download, a line.
    """

    def __init__(self, model: Model):
        labels = [task.labels > 0 for task in model.tasks.values()]
        pictures = gr.ImageSlider(
            label="Input | result",
            format="png",
            buttons=["fullscreen"],
            interactive=False,
            height=420,
            max_height=420,
            visible=not all(labels),
            elem_id="result",
        )
        likely = gr.Label(label="Likeliest classes", visible=all(labels), elem_id="labels")
        line = gr.HTML("", elem_id="line")
        download = gr.DownloadButton(
            "Download the result (PNG, full size)", visible=False, size="sm", elem_id="download"
        )
        self.components = [pictures, likely, download, line]

    def values(self, answer: Answer, folder: Path) -> list[Any]:
        """New values of the components; a result is written into `folder`, under a name that no
        other visitor can guess."""
        download = gr.update(value=None, visible=False)
        if answer.result is not None:
            target = folder / f"result_{secrets.token_hex(16)}.png"
            try:
                write_picture(target, answer.result, answer.given)
                download = gr.update(value=target, visible=True)
            except (UserError, OSError) as error:
                answer = Answer(f"the result cannot be kept here ({error})", failed=True)
        kind = "failed" if answer.failed else "told"
        line = f'<p class="{kind}" role="status">{html.escape(answer.message)}</p>'
        pictures, likely = gr.update(value=answer.shown), gr.update(value=answer.labels)
        if answer.labels is not None:
            pictures, likely = gr.update(value=None, visible=False), gr.update(visible=True)
            likely["value"] = answer.labels
        if answer.shown is not None:
            pictures, likely = gr.update(visible=True), gr.update(value=None, visible=False)
            pictures["value"] = answer.shown
        return [pictures, likely, download, line]


def _write_sample(folder: Path, index: int, sample: Sample) -> str:
    target = folder / "samples" / f"{index}.png"
    write_picture(target, sample.image / 255, None)
    return str(target)


def _heading(model: Model) -> str:
    count = len(model.tasks)
    return f"# One network, {'one task' if count == 1 else f'{count} tasks'}\n{_told(model)}"


def _told(model: Model) -> str:
    run = f"Run `{model.config.name.replace('`', '')}`"
    if model.method.blends:
        return f"{run}: each task at any strength, alone or together."
    return f"{run}: {'tasks alone or together' if model.method.combines else 'one task at a time'}."


def _explained(model: Model) -> str:
    if not model.method.blends:
        return _COMBINES if model.method.combines else _APART
    named = {task.slot: name for name, task in model.tasks.items() if task.active}
    slots = ", ".join(named.get(slot, "0") for slot in range(max(named, default=0) + 1))
    return f"{_BLENDS}\n\n**c** = `[{slots.replace('`', '')}]`"
