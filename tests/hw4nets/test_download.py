"""The official archive from a server of the test's own: downloaded once, verified, decoded."""

import functools
import hashlib
import http.server
import threading

import pytest

from cifar_files import pack, write_pickle
from hw4nets.data import fingerprint, load
from hw4nets.errors import DataError
from hw4nets.torchvision_import import torchvision_datasets


@pytest.fixture
def server(tmp_path):
    """A web server of one folder."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *words):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """Early disconnects are not reported on stderr, which a test checks."""

    with Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as running:
        threading.Thread(
            target=running.serve_forever, args=(0.01,), daemon=True
        ).start()  # seconds between two looks for the shutdown
        try:
            yield folder, f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()


@pytest.fixture
def offered(server, tmp_path, parts, monkeypatch):
    """The official archive, made here and offered by a server."""
    folder, address = server
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    write_pickle(batches, parts)
    pack(batches, folder / "cifar-10-python.tar.gz")
    official = torchvision_datasets().CIFAR10
    monkeypatch.setattr(official, "url", f"{address}/cifar-10-python.tar.gz")
    monkeypatch.setattr(official, "tgz_md5", hashlib.md5((folder / "cifar-10-python.tar.gz").read_bytes()).hexdigest())
    return folder / "cifar-10-python.tar.gz"


def test_the_official_archive_is_downloaded_and_decoded_once(offered, parts, cache, capsys):
    assert load("official").sha256 == fingerprint(*parts)
    offered.unlink()
    assert load("official").sha256 == fingerprint(*parts)
    assert [path.name for path in cache.iterdir()] == ["cifar10-official.npz"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["half", "other", "absent", "no network"])
def test_a_download_that_fails_is_a_sentence(offered, cache, monkeypatch, kind):
    if kind == "half":
        offered.write_bytes(offered.read_bytes()[:1000])
    elif kind == "other":
        offered.write_bytes(b"something else")
    elif kind == "absent":
        offered.unlink()
    else:
        monkeypatch.setattr(torchvision_datasets().CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(DataError, match=r"could not be downloaded whole .*give as `source` the path"):
        load("official")
    assert list(cache.iterdir()) == []


def test_torchvision_imports_beside_a_torch_it_was_not_built_for():
    datasets = torchvision_datasets()
    assert datasets.CIFAR10.tgz_md5 == "c58f30108f718f92721af3b95e74349a"
    assert datasets is torchvision_datasets()
