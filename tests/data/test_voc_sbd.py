"""The voc_sbd builder, on an archive of five images in the published layout."""

import functools
import http.server
import io
import sys
import tarfile
import threading

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from tensorflow_datasets.core.download import downloader
from tensorflow_datasets.core.download.checksums import compute_url_info

from taskfusion_jax.data import voc_sbd
from taskfusion_jax.data.tfds import Tfds
from taskfusion_jax.data.voc_sbd.__main__ import main

IDS = {"train": ["2008_000002", "2008_000003", "2008_000007"], "val": ["2009_1", "2009_2"]}
RNG = np.random.default_rng(0)
IMAGES = {i: RNG.integers(0, 256, (9, 7, 3), np.uint8) for s in IDS.values() for i in s}
MASKS = {i: RNG.integers(0, 21, (9, 7), np.uint8) for i in IMAGES}


def jpeg(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def mat(mask):
    stream = io.BytesIO()
    boundaries = np.empty((20, 1), object)
    boundaries[:] = [[np.eye(3)]] * 20
    savemat(stream, {"GTcls": {"Segmentation": mask, "Boundaries": boundaries}})
    return stream.getvalue()


@pytest.fixture
def manual_dir(tmp_path, monkeypatch):
    """A folder with a small benchmark.tgz, which the builder is made to expect."""
    folder = tmp_path / "by_hand"
    folder.mkdir()
    root = "benchmark_RELEASE/dataset"
    files = {f"{root}/{split}.txt": "\n".join(ids).encode() for split, ids in IDS.items()}
    files |= {f"{root}/cls/{i}.mat": mat(mask) for i, mask in MASKS.items()}
    files |= {f"{root}/img/{i}.jpg": jpeg(image) for i, image in IMAGES.items()}
    files |= {f"{root}/inst/x.mat": b"not needed", "benchmark_RELEASE/README": b"not needed"}
    with tarfile.open(folder / voc_sbd.FILE, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    expect(monkeypatch, voc_sbd.URL, folder)
    return folder


def expect(monkeypatch, url, folder):
    infos = {url: compute_url_info(folder / voc_sbd.FILE)}
    monkeypatch.setattr(voc_sbd.VocSbd, "url_infos", infos)


def check(data_dir):
    common = {"name": "voc_sbd", "data_dir": str(data_dir), "image_key": "image"}
    common |= {"mask_key": "segmentation_mask", "classes": 21, "mask_ids": ()}
    for split, ids in (("train", IDS["train"]), ("test", IDS["val"])):
        source = Tfds(split=split, **common)
        assert len(source) == len(ids)
        found = {
            item["mask"].tobytes(): item["image"]
            for item in map(source.__getitem__, range(len(ids)))
        }
        for i in ids:
            expected = np.asarray(Image.open(io.BytesIO(jpeg(IMAGES[i]))))
            np.testing.assert_array_equal(found[MASKS[i].tobytes()], expected)
    assert "tensorflow" not in sys.modules


def test_archive_given_by_hand(manual_dir, tmp_path, capsys):
    data_dir = tmp_path / "data"
    assert main([f"--data_dir={data_dir}", f"--manual_dir={manual_dir}"]) == 0
    assert f"config.data.tfds.data_dir={data_dir}" in capsys.readouterr().out
    check(data_dir)
    assert not list(tmp_path.rglob("inst"))
    assert main([f"--data_dir={data_dir}"]) == 0  # prepared already: nothing is fetched


def test_archive_from_the_network(manual_dir, tmp_path, monkeypatch):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(manual_dir))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{voc_sbd.FILE}"
        monkeypatch.setattr(voc_sbd, "URL", url)
        expect(monkeypatch, url, manual_dir)
        assert main([f"--data_dir={tmp_path / 'data'}"]) == 0
        server.shutdown()
    check(tmp_path / "data")


def test_unpacking_starts_over_after_an_interruption(manual_dir, tmp_path):
    part = tmp_path / "data/downloads/extracted/voc_sbd.incomplete"
    part.mkdir(parents=True)
    (part / "half").touch()
    assert main([f"--data_dir={tmp_path / 'data'}", f"--manual_dir={manual_dir}"]) == 0
    check(tmp_path / "data")


def test_errors(manual_dir, tmp_path, monkeypatch, capsys):
    def error(*words, manual=None):
        flags = [f"--data_dir={tmp_path / 'data'}"]
        assert main(flags + ([f"--manual_dir={manual}"] if manual else [])) == 2
        message = capsys.readouterr().err.strip().splitlines()[-1]
        assert message.startswith("error: ")
        for word in words:
            assert word in message, message

    error("benchmark.tgz does not exist", voc_sbd.URL, manual=tmp_path)
    (manual_dir / voc_sbd.FILE).write_bytes(b"<html>moved</html>")
    error("not the published file", "--manual_dir", manual=manual_dir)
    monkeypatch.setattr(downloader, "MAX_RETRIES", 0)
    closed = f"http://127.0.0.1:9/{voc_sbd.FILE}"
    monkeypatch.setattr(voc_sbd, "URL", closed)
    error("cannot be downloaded", closed, "--manual_dir")
    (tmp_path / "data").rename(tmp_path / "moved")
    (tmp_path / "data").write_text("a file in the way")
    error("cannot be written", "--data_dir")


def test_published_numbers():
    """The checksum and size are those of the one archive that the web names benchmark.tgz."""
    info = voc_sbd.VocSbd.url_infos[voc_sbd.URL]
    assert info.size == 1_419_539_633
    assert len(bytes.fromhex(info.checksum)) == 32
