"""The daemons' control sockets, asked directly: HTTP/1.1 over a Unix socket."""
import http.client
import json
import socket
import time
import urllib.parse


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout=2.0):
        super().__init__("ringway", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, what, body=None, timeout=2.0):
    """The parsed answer to GET (with a body: POST), None where it is refused or nobody answers."""
    connection = Connection(path, timeout)
    try:
        connection.request("POST" if body is not None else "GET", what,
                           json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        text = answer.read()
        return json.loads(text) if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Resolver:
    """Asks one node for a URI again and again, past its cache; never waits.

    A question that is not answered is not waited for: another goes out every @every_s beside it.
    """

    MOST = 8  # under way

    def __init__(self, path, uri, every_s=0.004):
        self.path, self.every_s = path, every_s
        what = f"/v1/resolve?uri={urllib.parse.quote(uri)}&cache=no&hops=no"
        self.request = f"GET {what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        self.open, self.next_s = {}, 0.0
        self.asked = 0

    def sockets(self):
        return list(self.open)

    def turn(self):
        """Ask if it is time; the contacts of each answer that is complete."""
        now = time.monotonic()
        if now >= self.next_s and len(self.open) < self.MOST:
            self.next_s = now + self.every_s
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.path)
            s.sendall(self.request)
            s.setblocking(False)
            self.open[s] = b""
            self.asked += 1
        found = []
        for s in list(self.open):
            try:
                data = s.recv(65536)
            except BlockingIOError:
                continue
            self.open[s] += data
            if not data:
                text = self.open.pop(s)
                s.close()
                if text.startswith(b"HTTP/1.1 200"):
                    found.append(json.loads(text.partition(b"\r\n\r\n")[2])["contacts"])
        return found

    def close(self):
        for s in self.open:
            s.close()
        self.open = {}
