"""`python -m taskfusion_jax.data.voc_sbd --data_dir=DIR [--manual_dir=DIR]`: prepares `voc_sbd`."""

import argparse
import sys

from taskfusion_jax.data import voc_sbd
from taskfusion_jax.errors import UserError


def main(argv: list[str]) -> int:
    """Prepares the data set; returns the exit code, 0 or 2."""
    parser = argparse.ArgumentParser(
        prog="python -m taskfusion_jax.data.voc_sbd",
        description="Downloads (1.4 GB) and prepares VOC with SBD masks, 11,355 images.",
    )
    parser.add_argument("--data_dir", required=True, help="folder of TFDS data sets to write to")
    parser.add_argument(
        "--manual_dir",
        default="",
        help=f"folder with {voc_sbd.FILE}, downloaded by hand from {voc_sbd.URL}",
    )
    flags = parser.parse_args(argv)
    try:
        voc_sbd.prepare(flags.data_dir, flags.manual_dir)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"ready: config.data.tfds.name=voc_sbd config.data.tfds.data_dir={flags.data_dir}")
    print(f"{flags.data_dir}/downloads is no longer needed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
