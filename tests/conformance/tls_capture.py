"""A capture of a TLS link without a network: both ends in memory, the packets written by hand.

It needs no right to capture, and puts frame borders where they hurt: several frames in a record,
frames over several records, records over several segments.
"""

import ssl
import struct

CLIENT, SERVER = bytes([127, 1, 0, 1]), bytes([127, 1, 0, 2])
CLIENT_PORT = 40000
SEGMENT_BYTES = 700
RECORD_BYTES = 1900
LINKTYPE_RAW = 101


class Capture:
    """A pcap file of one TCP connection."""

    def __init__(self, path, port):
        self.out = open(path, "wb")  # pylint: disable=consider-using-with
        self.out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, LINKTYPE_RAW))
        self.port = port
        self.sequence = {True: 1000, False: 5000}
        self.time_us = 0
        self.segment(True, b"", 0x02)
        self.segment(False, b"", 0x12)
        self.segment(True, b"", 0x10)

    def segment(self, from_client, payload, flags=0x18):
        """One TCP segment in one IPv4 packet; checksums are left out (zero), as offload leaves them."""
        ports = (CLIENT_PORT, self.port) if from_client else (self.port, CLIENT_PORT)
        addresses = (CLIENT, SERVER) if from_client else (SERVER, CLIENT)
        acknowledged = 0 if flags == 0x02 else self.sequence[not from_client]
        tcp = struct.pack(">HHIIBBHHH", *ports, self.sequence[from_client], acknowledged, 0x50, flags,
                          65535, 0, 0)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(payload), 0, 0, 64, 6, 0, *addresses)
        packet = ip + tcp + payload
        self.time_us += 100
        self.out.write(struct.pack("<IIII", 1, self.time_us, len(packet), len(packet)) + packet)
        self.sequence[from_client] += len(payload) + (1 if flags & 0x02 else 0)

    def stream(self, from_client, payload):
        for at in range(0, len(payload), SEGMENT_BYTES):
            self.segment(from_client, payload[at:at + SEGMENT_BYTES])

    def close(self):
        self.out.close()


class Ends:
    """Both ends of a TLS connection, joined by memory; what passes is captured."""

    def __init__(self, capture, keylog):
        self.capture = capture
        self.buffers = {True: ssl.MemoryBIO(), False: ssl.MemoryBIO()}  # what each end receives
        self.outgoing = {True: ssl.MemoryBIO(), False: ssl.MemoryBIO()}
        self.ends = {}
        for is_client in (True, False):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if is_client else ssl.PROTOCOL_TLS_SERVER)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            # Anonymous, so that no certificate is needed: it is the framing that is looked at.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers("AECDH-AES128-SHA:@SECLEVEL=0")
            if is_client:
                context.keylog_filename = keylog
            self.ends[is_client] = context.wrap_bio(self.buffers[is_client], self.outgoing[is_client],
                                                    server_side=not is_client)

    def pump(self):
        """Carry what each end has to say to the other."""
        for is_client in (True, False):
            payload = self.outgoing[is_client].read()
            if payload:
                self.capture.stream(is_client, payload)
                self.buffers[not is_client].write(payload)

    def handshake(self):
        done = set()
        while len(done) < 2:
            for is_client, end in self.ends.items():
                try:
                    end.do_handshake()
                    done.add(is_client)
                except ssl.SSLWantReadError:
                    pass
                self.pump()

    def send(self, from_client, payload):
        for at in range(0, len(payload), RECORD_BYTES):
            self.ends[from_client].write(payload[at:at + RECORD_BYTES])
            self.pump()


def write(path, keylog, port, messages):
    """@messages from the client in data frames, an acknowledgement of each from the server."""
    capture = Capture(path, port)
    ends = Ends(capture, keylog)
    ends.handshake()
    frames = b"".join(struct.pack(">BI", 128, n) + len(m).to_bytes(3, "big") + m
                      for n, m in enumerate(messages))
    ends.send(True, frames)
    ends.send(False, b"".join(struct.pack(">BII", 129, n, 0) for n in range(len(messages))))
    capture.close()
