"""The server: authorisation, refused requests, and shutdown."""

import http.client
import json
import re
import signal
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest

websockets = pytest.importorskip("websockets", reason="the extra `explore` is not installed")

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

GIVEN = ["--gamma", "80", "--reg", "ridge=0.1"]
RUN = "import sys; from hw4cli.opt.app import main; sys.exit(main(sys.argv[1:]))"


def get(url, path=None, **headers):
    """The response to a GET, and its body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    connection.request("GET", parts.path if path is None else path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response, body


def socket(url, origin=None, **options):
    parts = urlsplit(url)
    own = f"http://{parts.netloc}" if origin is None else origin
    return connect(f"ws://{parts.netloc}{parts.path}socket", origin=own or None, open_timeout=20, **options)


def next_of(connection, kind):
    while (message := json.loads(connection.recv(timeout=30)))["kind"] != kind:
        pass
    return message


def ask(connection, settings, id=1):
    connection.send(json.dumps({"kind": "fit", "id": id, "settings": settings, "data": None}))
    return next_of(connection, "fit")


def test_the_page_asks_no_other_host_and_runs_no_other_script(served):
    response, body = get(served(*GIVEN).url)
    assert response.status == 200 and response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    names = re.findall(r"https?://[^\s\"'<>)]+", body)
    assert {urlsplit(name).netloc for name in names} == {"www.w3.org"}, "names of XML, which nobody asks for"
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', body)[1]
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy
    assert re.search(r"script-src 'sha256-[^']+' 'sha256-[^']+';", policy)


@pytest.mark.parametrize("path", ["/", "/wrong/", "/../", "/{token}x/", "/{token}/else", "/favicon.ico"])
def test_a_wrong_token_is_refused(served, path):
    url = served(*GIVEN).url
    response, body = get(url, path.format(token=urlsplit(url).path.strip("/")))
    assert response.status == (404 if "else" in path else 403)
    assert "<html" not in body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "10.0.0.7", ""])
def test_the_name_of_another_host_is_refused(served, host):
    """DNS rebinding: a name of the attacker's points at this machine, and the browser sends that name."""
    url = served(*GIVEN).url
    response, body = get(url, Host=host.format(port=urlsplit(url).port))
    assert response.status == 403 and "Host" in body


def test_localhost_is_this_host(served):
    url = served(*GIVEN).url
    assert get(url, Host=f"localhost:{urlsplit(url).port}")[0].status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1:{port}", ""])
def test_a_socket_of_another_page_is_refused(served, origin):
    url = served(*GIVEN).url
    with pytest.raises(InvalidStatus) as refused:
        socket(url, origin.format(port=urlsplit(url).port))
    assert refused.value.response.status_code == 403


def test_a_socket_without_the_token_is_refused(served):
    parts = urlsplit(served(*GIVEN).url)
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{parts.netloc}/guess/socket", origin=f"http://{parts.netloc}")
    assert refused.value.response.status_code == 403


def test_a_socket_fits_and_takes_nonsense(served):
    with socket(served(*GIVEN).url) as connection:
        assert next_of(connection, "data")["data"]["source"] == "the built-in step data"
        for nonsense in ("", "{", b"\xff\x00", json.dumps({"kind": "nothing"})):
            connection.send(nonsense)
            assert next_of(connection, "fault")["sentence"]
        assert ask(connection, {"gamma": 50})["certified"]


def test_a_message_above_the_limit_closes_the_socket_alone(served):
    explorer = served(*GIVEN)
    with socket(explorer.url) as connection, pytest.raises(ConnectionClosed):
        connection.send("x" * 6_000_000)
        while True:
            connection.recv(timeout=30)
    with socket(explorer.url) as connection:
        assert ask(connection, {"gamma": 50})["certified"]


def test_the_state_of_a_page_survives_a_server_that_is_started_again(served):
    first = served(*GIVEN, token="the-same")
    port = urlsplit(first.url).port
    with socket(first.url) as connection:
        before = ask(connection, {"gamma": 50})
    first.close()
    with socket(served(*GIVEN, token="the-same", port=port).url) as connection:
        assert ask(connection, {"gamma": 50})["objective"] == before["objective"]


def test_windows_leave_no_thread_behind(served):
    explorer = served(*GIVEN)
    before = threading.active_count()
    for _ in range(3):
        with socket(explorer.url) as connection:
            ask(connection, {"gamma": 50})
    deadline = time.monotonic() + 30
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)


def test_the_command_prints_its_address_and_ctrl_c_is_130(start):
    running = start(RUN, "explore", "--no-browser", *GIVEN)
    url = running.stdout.readline().decode().strip()
    with socket(url) as connection:
        assert ask(connection, {"gamma": 50})["certified"]
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130 and out == b"" and b"Traceback" not in err
    assert time.monotonic() - began < 10


def test_the_json_holds_the_address(start):
    running = start(RUN, "explore", "--no-browser", "--json", "-", "--quiet", *GIVEN)
    record = json.loads(running.stdout.readline())
    assert {"version", "command", "seed", "platform", "data_sha256", "url"} <= {*record}
    assert get(record["url"])[0].status == 200
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=60)[0] == b"" and running.returncode == 130


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--port", "99999"], "--port"),
        (["--host", "no.such.host.invalid"], "cannot be served"),
        (["missing.csv"], "there is no file"),
        (["--loss", "hubert"], "huber"),
        (["--max-upload", "much"], "--max-upload"),
        (["--exposure", "x"], "--exposure x"),
    ],
)
def test_wrong_words_are_a_sentence(hw4opt, words, part):
    done = hw4opt("explore", "--no-browser", *words)
    assert done.status == 2 and done.out == "" and part in done.err and done.err.count("\n") == 1


def test_several_x_are_refused(hw4opt, dose):
    done = hw4opt("explore", "--no-browser", dose, "--y", "response", *GIVEN)
    assert done.status == 2 and "--x" in done.err and "dose, age" in done.err


def test_without_the_extra_a_sentence_names_it(hw4opt, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "websockets"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "hw4cli.opt.explorer.server", raising=False)
    monkeypatch.setitem(sys.modules, "websockets", None)
    done = hw4opt("explore", "--no-browser", *GIVEN)
    assert done.status == 2 and "hw4opt[explore]" in done.err
