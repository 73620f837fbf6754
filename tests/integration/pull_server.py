"""A file server that misbehaves on demand, a forward proxy, and GGUF files to serve: for model_pull.py."""
import contextlib
import http.server
import random
import select
import socket
import ssl
import struct
import threading
import time
import urllib.parse

# ---- models ------------------------------------------------------------------------------------------------


def _string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(n_bytes, seed=1, shard=None):
    """A GGUF v3 file with one F32 tensor of about n_bytes random bytes; shard: (number from 0, count)."""
    keys = [_string("general.architecture") + struct.pack("<I", 8) + _string("llama")]
    if shard is not None:
        keys += [_string("split.no") + struct.pack("<IH", 2, shard[0]),
                 _string("split.count") + struct.pack("<IH", 2, shard[1]),
                 _string("split.tensors.count") + struct.pack("<Ii", 5, shard[1])]
    n = n_bytes // 4
    name = "weight" if shard is None else f"weight.{shard[0]}"
    tensor = _string(name) + struct.pack("<IQIQ", 1, n, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys)) + b"".join(keys) + tensor
    head += b"\0" * (-len(head) % 32)
    return head + random.Random(seed).randbytes(n * 4)


# ---- what a file does when it is asked for -------------------------------------------------------------------


class File:
    """Bytes with validators. plan: a dict for each request in turn (the last repeats), with any of
    cut     send so many bytes of the body, then end the connection       reset   ... by RST
    stall   (bytes, seconds): wait in the middle                          slow    bytes a second
    status, headers   answer so, without a body                           redirect  a Location, with 302
    data, etag        be another file from now on                         length  Content-Length to claim
    no_range          answer 200 to a range                               chunked   no length, in chunks
    part_of           bytes to take the range from, whatever If-Range says; part_etag with it
    close             HTTP/1.0: the end of the connection ends the body
    extra             further headers
    """

    def __init__(self, data=b"", plan=(), etag='"v1"', modified=None):
        self.data, self.etag, self.modified = data, etag, modified
        self.plan = list(plan) or [{}]
        self.n = 0

    def next_step(self):
        step = self.plan[min(self.n, len(self.plan) - 1)]
        self.n += 1
        self.data = step.get("data", self.data)
        self.etag = step.get("etag", self.etag)
        return step


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.split("?")[0]
        self.server.requests.append((self.path, dict(self.headers)))
        file = self.server.files.get(path)
        if file is None:
            self.plain(404)
            return
        with self.server.lock:
            step = file.next_step()
        if "redirect" in step:
            self.plain(302, {"Location": step["redirect"], **step.get("extra", {})})
        elif "status" in step:
            self.plain(step["status"], step.get("headers", {}))
        elif step.get("cut") == 0:
            self.end_connection(step)
        else:
            self.send(file, step)

    def plain(self, status, headers=None):
        body = b"a page for people\n"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def range_start(self, file, step):
        text = self.headers.get("Range", "")
        if step.get("no_range") or not text.startswith("bytes="):
            return None
        validator = self.headers.get("If-Range")
        if validator not in (None, file.etag, file.modified) and "part_of" not in step:
            return None
        return int(text[6:].split("-")[0])

    def send(self, file, step):
        start = self.range_start(file, step)
        data = step.get("part_of", file.data) if start is not None else file.data
        if start is not None and start >= len(data):
            self.plain(416, {"Content-Range": f"bytes */{len(data)}"})
            return
        body = data[start or 0:]
        if step.get("close"):
            self.protocol_version = "HTTP/1.0"
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if step.get("chunked"):
            self.send_header("Transfer-Encoding", "chunked")
        elif not step.get("close"):
            self.send_header("Content-Length", str(step.get("length", len(body))))
        etag = step.get("part_etag", file.etag) if start is not None else file.etag
        for name, value in (("ETag", etag), ("Last-Modified", file.modified)):
            if value is not None:
                self.send_header(name, value)
        for name, value in step.get("extra", {}).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.send_body(body, step)

    def send_body(self, body, step):
        end = min(len(body), step.get("cut", len(body)), step.get("length", len(body)))
        pause_at, pause_s = step.get("stall", (end + 1, 0))
        at, size = 0, 16384
        while at < end:
            if at >= pause_at:
                self.wfile.flush()
                time.sleep(pause_s)
                pause_at = end + 1
            n = min(size, end - at, max(pause_at - at, 1) if at < pause_at else end)
            piece = body[at:at + n]
            self.wfile.write(b"%x\r\n%s\r\n" % (n, piece) if step.get("chunked") else piece)
            if "slow" in step:
                time.sleep(n / step["slow"])
            at += n
        if "cut" in step or "length" in step:
            self.end_connection(step)
        elif step.get("chunked"):
            self.wfile.write(b"0\r\n\r\n")
        elif step.get("close"):
            self.close_connection = True

    def end_connection(self, step):
        self.close_connection = True
        self.wfile.flush()
        if step.get("reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # clients that go away are what is tested


class Server:
    """On a free loopback port; files: path -> File; requests: (path, headers) in order."""

    def __init__(self, files=None, handler=Handler, tls=None):
        self.http = Quiet(("127.0.0.1", 0), handler)
        self.files = self.http.files = dict(files or {})
        self.requests = self.http.requests = []
        self.http.lock = threading.Lock()
        self.port = self.http.server_address[1]
        self.scheme = "http"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
            self.scheme = "https"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def url(self, path, host="127.0.0.1"):
        return f"{self.scheme}://{host}:{self.port}{path}"

    def paths(self):
        return [path for path, _ in self.requests]


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    """Forwards absolute http URLs and CONNECT tunnels."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def connect_to(self, host, port):
        self.server.requests.append((self.path, dict(self.headers)))
        if self.server.files.get("refuse"):
            self.send_response(self.server.files["refuse"])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        return socket.create_connection((host, port))

    def do_CONNECT(self):
        host, port = self.path.rsplit(":", 1)
        there = self.connect_to(host.strip("[]"), int(port))
        if there is not None:
            self.send_response(200)
            self.end_headers()
            self.relay(there)

    def do_GET(self):
        parts = urllib.parse.urlsplit(self.path)
        there = self.connect_to(parts.hostname, parts.port or 80)
        if there is None:
            return
        lines = [f"GET {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1"]
        lines += [f"{k}: {v}" for k, v in self.headers.items() if not k.lower().startswith("proxy-")]
        there.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        self.relay(there)

    def relay(self, there):
        self.close_connection = True
        here = self.connection
        with there, contextlib.suppress(OSError):
            while True:
                for side in select.select([here, there], [], [])[0]:
                    data = side.recv(65536)
                    if not data:
                        return
                    (there if side is here else here).sendall(data)
