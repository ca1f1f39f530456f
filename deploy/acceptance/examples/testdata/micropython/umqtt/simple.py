# A publisher with the interface of umqtt.simple: a socket that blocks, and a publish that returns after the PUBACK.
import socket
import struct


class MQTTClient:
    def __init__(self, client_id, server, port=1883, keepalive=0):
        self.client_id, self.address, self.keepalive = client_id, (server, port), keepalive
        self.sock = None
        self.pid = 0

    def connect(self, clean_session=True, timeout=None):
        if self.sock:
            self.sock.close()
        self.sock = socket.socket()
        self.sock.settimeout(timeout)
        self.sock.connect(socket.getaddrinfo(*self.address)[0][-1])
        head = struct.pack("!H4sBBH", 4, b"MQTT", 4, clean_session << 1, self.keepalive)
        self._send(0x10, head + self._text(self.client_id))
        return self._receive(0x20)[0] & 1

    def publish(self, topic, msg, retain=False, qos=0):
        assert qos == 1
        self.pid += 1
        self._send(0x32 | retain, self._text(topic) + struct.pack("!H", self.pid) + msg.encode())
        while struct.unpack("!H", self._receive(0x40))[0] != self.pid:
            pass

    def _text(self, s):
        return struct.pack("!H", len(s)) + s.encode()

    def _send(self, kind, body):
        n = len(body)
        size = bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])
        self.sock.write(bytes([kind]) + size + body)

    def _receive(self, kind):
        head = self.sock.read(2)
        if not head:
            raise OSError(-1)
        assert head[0] == kind, head
        return self.sock.read(head[1])
