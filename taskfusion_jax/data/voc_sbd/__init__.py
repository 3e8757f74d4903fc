"""`voc_sbd`, a TFDS data set: PASCAL VOC images with the masks of Hariharan et al. (SBD).

Semantic Contours from Inverse Detectors, ICCV 2011: 11,355 images of VOC with a class mask each,
8,498 in `train.txt` (split "train") and 2,857 in `val.txt` (split "test"). The archive carries the
VOC images themselves, so VOC's own 2 GB archive is not needed.

This is SBD's own division, not VOC's: some images of "train" are in the val set of VOC 2012, so a
network trained on it must not be scored on VOC 2012 val. Ids are those of VOC (0 background,
1 aeroplane .. 20 tvmonitor); unlike VOC's masks, SBD's have no void rim around objects.

`python -m taskfusion_jax.data.voc_sbd --data_dir=DIR` prepares it, without TensorFlow.
"""

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import requests
import tensorflow_datasets as tfds
from PIL import Image
from scipy.io import loadmat
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tqdm import tqdm

from taskfusion_jax.errors import UserError

FILE = "benchmark.tgz"
URL = (
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/" + FILE
)
SPLITS = {"train": "train.txt", "test": "val.txt"}
_IN_ARCHIVE = PurePosixPath("benchmark_RELEASE/dataset")


class VocSbd(tfds.core.GeneratorBasedBuilder):
    """Features `image` (JPEG), `segmentation_mask` (PNG of class ids), `file_name` (VOC's ID)."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = {  # noqa: RUF012 - TFDS's own name for the checksums
        URL: UrlInfo(
            size=1_419_539_633,
            checksum="6a5a2918d5c73ce032fdeba876574d150d9d04113ab87540a1304cbcc715be53",
            filename=FILE,
        )
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            homepage="http://home.bharathh.info/pubs/codes/SBD/download.html",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "segmentation_mask": tfds.features.Image(
                        shape=(None, None, 1), encoding_format="png", use_colormap=True
                    ),
                    "file_name": tfds.features.Text(),
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        archive = Path(dl_manager.download(URL))
        root = _unpack(archive, Path(dl_manager.download_dir) / "extracted" / self.name)
        return {split: self._generate_examples(root, file) for split, file in SPLITS.items()}

    def _generate_examples(self, root: Path, split_file: str) -> Iterator[tuple[str, dict]]:
        for image_id in (root / split_file).read_text().split():
            yield (
                image_id,
                {
                    "image": (root / "img" / f"{image_id}.jpg").read_bytes(),
                    "segmentation_mask": _mask_png(root / "cls" / f"{image_id}.mat"),
                    "file_name": image_id,
                },
            )


def prepare(data_dir: str, manual_dir: str = "") -> None:
    """Downloads the archive (or takes `manual_dir/benchmark.tgz`) and writes the data set.

    Raises:
      UserError: the archive is not there, cannot be downloaded, or is not the published file; or
        the disk refuses.
    """
    if manual_dir and not (Path(manual_dir) / FILE).is_file():
        raise UserError(f"{Path(manual_dir) / FILE} does not exist: download {URL} to there")
    config = tfds.download.DownloadConfig(manual_dir=manual_dir or None, try_download_gcs=False)
    by_hand = f"download {URL} by hand into a folder and give it as --manual_dir"
    try:
        builder = VocSbd(data_dir=data_dir, file_format="array_record")
        builder.download_and_prepare(download_config=config)
    except NonMatchingChecksumError as error:
        size = VocSbd.url_infos[URL].size
        raise UserError(
            f"{FILE} is not the published file of {size:,} bytes (damaged, or a web page in its "
            f"place): remove it and {by_hand}"
        ) from error
    except (tfds.download.DownloadError, requests.RequestException) as error:
        raise UserError(f"{URL} cannot be downloaded ({error}): {by_hand}") from error
    except OSError as error:
        raise UserError(
            f"{data_dir} cannot be written ({error}): change --data_dir or make room"
        ) from error


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpacks images, class masks and split files, once; returns the folder that holds them."""
    if not folder.exists():
        part = folder.with_name(folder.name + ".incomplete")
        shutil.rmtree(part, ignore_errors=True)
        wanted = {_IN_ARCHIVE / name for name in ("img", "cls", *SPLITS.values())}
        with tarfile.open(archive) as tar:
            for member in tqdm(tar, desc=f"Unpacking {FILE}", unit=" files"):
                path = PurePosixPath(member.name)
                if path in wanted or path.parent in wanted:
                    tar.extract(member, part, filter="data")
        part.rename(folder)
    return folder / _IN_ARCHIVE


def _mask_png(mat_file: Path) -> bytes:
    mask = loadmat(mat_file, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    png = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(png, "PNG")
    return png.getvalue()
