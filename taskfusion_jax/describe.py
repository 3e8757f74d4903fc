"""Prints how many parameters a config has, in all and per task; needs no data.

python -m taskfusion_jax.describe --config=configs/film_voc.py [--json]
"""

import json

from absl import flags

from taskfusion_jax import cli

_CONFIG = cli.define_config()
_JSON = flags.DEFINE_bool("json", False, "Print JSON for machines instead of a table.")


def main() -> None:
    """Prints the counts."""
    config = cli.required(_CONFIG)
    from taskfusion_jax.counts import count  # slow to import

    counts = count(config)
    if _JSON.value:
        print(json.dumps(counts))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        *("", "parameters", "% of all", "% of shared", "less head", "MiB"),
        box=None,
    )
    for name in ("total", "shared", "trainable"):
        n = counts[name]
        table.add_row(name, f"{n:,}", f"{100 * n / counts['total']:.3f}")
    heads = counts["percent_of_heads"]
    for name, n in counts["per_task"].items():
        kept, percent = counts["bytes_per_task"][name], counts["percent_per_task"][name]
        cells = [f"  {name}", f"{n:,}", f"{100 * n / counts['total']:.3f}"]
        if kept:
            bare = f"{percent - heads[name]:.3g}" if name in heads else ""
            cells += [f"{percent:.3g}", bare, f"{kept / 2**20:.3g}"]
        table.add_row(*cells)
    for column in table.columns[1:]:
        column.justify = "right"
    console = Console()
    console.print(table)
    if counts["mask_bits_per_task"]:
        bits = f"{counts['mask_bits_per_task']:,}"
        console.print(f"Beside them a mask of {bits} bits for each task but the base's.")
    size = f"{counts['bytes'] / 2**20:.1f} MiB as float32"
    console.print(size + (", masks as bits." if counts["mask_bits_per_task"] else "."))
    if counts["critic"]:
        console.print(f"Training adds a discriminator of {counts['critic']:,} parameters.")


if __name__ == "__main__":
    cli.run(main)
