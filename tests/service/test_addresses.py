"""URLs of servers: validated at the start, and reached through a proxy only if that is configured."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_examples import ANSWER, service

from erniekit_adapter.errors import UsageError
from erniekit_adapter.service import ErnieVLMService, ServiceSettings
from erniekit_adapter.service.addresses import checked_url, is_loopback

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:8000/v1", "https://models.example/v1", "http://[::1]:8000/v1", "http://localhost/v1"),
        *("http://bücher.example/v1", "http://xn--bcher-kva.example:443/v1", "http://model_1.internal./v1"),
        *("http://h:1/v1", "http://h:65535/v1", "http://[fe80::1%25eth0]/v1", "http://10.0.0.7"),
    ],
)
def test_accepts_valid_urls(url: str) -> None:
    assert checked_url(f"{url}/") == url


@pytest.mark.parametrize(
    "url",
    [
        *("http://h:0/v1", "http://h:65536/v1", "http://h:70000/v1", "http://h:-1/v1", "http://h:x/v1", "http://h:/v1"),
        *("http://a b/v1", "http://a\tb/v1", "http://h/v1\n", "http://h/v 1", "http://h\u00a0/v1", "http://h\\x/v1"),
        *("http://@h/v1", "http://me@h/v1", "http://me:pw@h/v1", "http://h/v1?a=b", "http://h/v1?", "http://h/v1#a"),
        *("http://[::1/v1", "http://[::zz]/v1", "http://::1/v1", "http://h..x/v1", "http://-h/v1", "http://.h/v1"),
        *("http:///v1", "http://", "h:8000/v1", "//h/v1", "ftp://h/v1", "file:///v1", "http://300.1.1.1/v1"),
        *(
            f"http://{'a' * 64}/v1",
            f"http://{'a.' * 130}b/v1",
            "http://h%2fx/v1",
            "http://h\x7f/v1",
            "http://h\u200b/v1",
        ),
    ],
)
def test_rejects_invalid_urls(url: str) -> None:
    with pytest.raises(UsageError, match=r"ernie_vl\.vllm_server_url"):
        ServiceSettings.read({"ernie_vl": {"vllm_server_url": url, "model_name": "m"}}, {})


@given(st.text(max_size=30) | st.text(alphabet="htp:/[]@.%0123:ab", max_size=20).map(lambda text: f"http://{text}"))
def test_checks_any_text(url: str) -> None:
    try:
        taken = checked_url(url)
    except ValueError:
        return
    assert taken.startswith(("http://", "https://"))
    is_loopback(taken)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        *((f"http://{host}/v1", True) for host in ("127.0.0.1", "127.8.8.8:80", "localhost", "LOCALHOST.", "[::1]")),
        *((f"http://{host}/v1", True) for host in ("api.localhost", "[::ffff:127.0.0.1]", "0.0.0.0:8000")),
        *(
            (f"http://{host}/v1", False)
            for host in ("10.0.0.1", "localhost.example", "[fe80::1]", "127.0.0.1.nip.example")
        ),
    ],
)
def test_detects_loopback_addresses(url: str, *, expected: bool) -> None:
    assert is_loopback(url) is expected


class Recorder(BaseHTTPRequestHandler):
    """A server or a proxy that records the requested paths."""

    paths: list[str]

    def do_POST(self) -> None:
        self.paths.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"message": {"content": ANSWER}, "finish_reason": "stop"}
        content = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A server that all proxy variables of the environment name."""
    paths: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Recorder,), {"paths": paths}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    for name in VARIABLES:
        monkeypatch.setenv(name, url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    yield url, paths
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("proxy", ["no", "environment"])
def test_uses_no_proxy_for_this_machine(proxy: str, recorder: tuple[str, list[str]]) -> None:
    url, paths = recorder
    given = {"vllm_server_url": f"{url}/v1", "model_name": "m", "max_attempts": 1, "proxy": proxy}
    with ErnieVLMService({"ernie_vl": given}) as vlm:
        assert vlm.parse("Total 119.00").status == "success"
    assert paths == ["/v1/chat/completions"], "a request to a proxy has a whole URL"


@pytest.mark.parametrize("proxy", ["no", "environment"])
def test_uses_a_proxy_only_if_configured(proxy: str, recorder: tuple[str, list[str]]) -> None:
    _, paths = recorder
    given = {"vllm_server_url": "http://model.invalid/v1", "model_name": "m", "max_attempts": 1, "proxy": proxy}
    with ErnieVLMService({"ernie_vl": given}) as vlm:
        result = vlm.parse("Total 119.00")
    if proxy == "no":
        assert (result.reason, paths) == ("unreachable", [])
    else:
        assert (result.status, paths) == ("success", ["http://model.invalid/v1/chat/completions"])


@pytest.mark.parametrize(
    ("variable", "value", "proxy"),
    [
        ("SSL_CERT_FILE", "/nowhere/certificates.pem", "no"),
        ("SSL_CERT_FILE", __file__, "no"),
        ("HTTPS_PROXY", "ftp://me:hunter2-hunter2@proxy.example", "environment"),
        ("HTTPS_PROXY", "http://[me:hunter2-hunter2", "environment"),
        ("NO_PROXY", "[::1", "environment"),
    ],
)
def test_rejects_unusable_certificates_and_proxies(
    variable: str, value: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, value)
    before = threading.active_count()
    with pytest.raises(UsageError, match=variable) as raised:
        ErnieVLMService({"ernie_vl": {"vllm_server_url": "http://h/v1", "model_name": "m", "proxy": proxy}})
    assert "hunter2" not in f"{raised.value} {raised.value.__cause__!r} {raised.value.__context__!r}"
    assert threading.active_count() == before


def test_hides_the_password_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with echoing_proxy() as url:
        monkeypatch.setenv("HTTP_PROXY", url.replace("http://", "http://me:hunter2-hunter2@"))
        given = {"vllm_server_url": "http://h.example/v1", "model_name": "m", "proxy": "environment", "timeout": 5}
        with ErnieVLMService({"ernie_vl": given | {"max_attempts": 1}}) as vlm:
            result = vlm.parse({"lines": ["Total 119.00"]})
    assert result.detail.endswith("status 407: (hidden: the text contained the service's key)")


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br"])
def test_rejects_a_compressed_reply(encoding: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return httpx.Response(200, headers={"Content-Encoding": encoding}, stream=httpx.ByteStream(b"\0" * 99))

    with service(handler) as vlm:
        result = vlm.parse({"lines": ["Total 119.00"]})
    assert (result.reason, result.attempts) == ("bad_answer", 1)
    assert "switch off compression" in result.detail


@contextmanager
def echoing_proxy() -> Iterator[str]:
    """A proxy that rejects the user and sends the request's headers back."""

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = str(self.headers).encode()
            self.send_response(407)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
