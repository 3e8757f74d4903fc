"""How a config lists runs to compare: a base, and for each run what differs from it."""

from ml_collections import ConfigDict


def comparison(
    base: ConfigDict, runs: dict, tables: dict, options: set[str], published: dict | None = None
) -> ConfigDict:
    """The config of `taskfusion_jax.compare`, or that of one run alone.

    Args:
      base: a config as `main` takes it.
      runs: name -> fields that differ from the base, nested as in it.
      tables: title -> names of the runs beside each other in that table.
      options: words after the config's colon; a run's name among them asks for that run alone.
      published: title -> run -> key -> number printed elsewhere, shown apart.

    Raises:
      ValueError: the options name several runs.
    """
    if chosen := options & set(runs):
        return _alone(base, runs, chosen)
    return ConfigDict(
        {
            "name": base.name,
            "seeds": (0,),
            "base": base,
            "runs": runs,
            "tables": tables,
            "published": published or {},
        }
    )


def _alone(base: ConfigDict, runs: dict, chosen: set[str]) -> ConfigDict:
    if len(chosen) > 1:
        raise ValueError(f"choose one of {', '.join(sorted(chosen))}, or none to compare all")
    (name,) = chosen
    base.update(runs[name])
    base.name = f"{base.name}_{name}"
    return base
