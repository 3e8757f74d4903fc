"""How a config lists runs to compare: a base, and for each run what differs from it."""

from ml_collections import ConfigDict


def comparison(base: ConfigDict, runs: dict, tables: dict, published: dict) -> ConfigDict:
    """The config of `taskfusion_jax.compare`.

    Args:
      base: a config as `main` takes it.
      runs: name -> fields that differ from the base, nested as in it.
      tables: title -> names of the runs beside each other in that table.
      published: title -> run -> key -> number printed elsewhere, shown apart.
    """
    return ConfigDict(
        {
            "name": base.name,
            "seeds": (0,),
            "base": base,
            "runs": runs,
            "tables": tables,
            "published": published,
        }
    )


def alone(base: ConfigDict, runs: dict, chosen: set[str]) -> ConfigDict:
    """The config of one run. Raises ValueError where several are chosen."""
    if len(chosen) > 1:
        raise ValueError(f"choose one of {', '.join(sorted(chosen))}, or none to compare all")
    (name,) = chosen
    base.update(runs[name])
    base.name = f"{base.name}_{name}"
    return base
