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

    table = Table("", "parameters", "% of all", box=None)
    rows = {k: counts[k] for k in ("total", "shared", "trainable")}
    rows |= {f"for {name} alone": n for name, n in counts["per_task"].items()}
    for name, n in rows.items():
        table.add_row(name, f"{n:,}", f"{100 * n / counts['total']:.3f}")
    table.columns[1].justify = table.columns[2].justify = "right"
    console = Console()
    console.print(table)
    if counts["mask_bits_per_task"]:
        bits = f"{counts['mask_bits_per_task']:,}"
        console.print(f"Beside them a mask of {bits} bits for each task but the base's.")
    if any(counts["bytes_per_task"].values()):
        kept = ", ".join(f"{n} {b / 2**20:.3g}" for n, b in counts["bytes_per_task"].items() if b)
        console.print(f"To keep for each task, MiB: {kept}.")
    if heads := counts["percent_of_heads"]:
        added = ", ".join(
            f"{name} {percent:.3g} ({percent - heads[name]:.3g} without its output layer)"
            for name, percent in counts["percent_per_task"].items()
        )
        console.print(f"That is, in % of what is shared: {added}.")
    size = f"{counts['bytes'] / 2**20:.1f} MiB as float32"
    console.print(size + (", masks as bits." if counts["mask_bits_per_task"] else "."))
    if counts["critic"]:
        console.print(f"Training adds a discriminator of {counts['critic']:,} parameters.")


if __name__ == "__main__":
    cli.run(main)
