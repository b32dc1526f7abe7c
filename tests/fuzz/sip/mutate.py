"""What becomes of a well-formed SIP message in the hands of somebody who means harm, or of a bad phone.

The Request-URI and each header field is taken in turn with each kind of harm, those of NAMED first; then whole messages are cut,
spliced and scrambled.  All chance comes from the random.Random that is handed in, so that a run repeats.
"""
import re

HUGE = (300, 1100, 2100, 8200, 40000)
NUMBERS = ("0", "-1", "65535", "65536", "4294967295", "4294967296", "18446744073709551616", "9" * 100, "0x10", "1e9", "", " ", "NaN",
           "00000000001", "1.5")
HOSTS = ("1.2.3.4:0", "1.2.3.4:65536", "0.0.0.0", "255.255.255.255", "224.0.0.1:5060", "[::1]:5060", "[::1", "::1", "[fe80::1%25lo]",
         "[1:2:3:4:5:6:7:8:9]", "[]", "a" * 300 + ".example", "-", "..", "a..b", "127.0.0.1.", "1.2.3", "256.256.256.256", "xn--", "%41", "",
         "localhost", "127.0.0.1:5060:5060", "host:port", "127.0.0.1:-5", "127.0.0.1: 5060")
URIS = ("sip:", "sips:x@east", "tel:+4930123", "mailto:x@y", "http://x/", "sip:@east", "sip:x@", "sip:x:y@east", "sip:%00@east", "sip:%@east",
        "sip:%0D%0AX-Evil:%20yes@east", "sip:a%3E%0D%0A%0D%0ABYE%20sip:x@east%20SIP/2.0@east", "sip:x@east;lr;lr=1;transport=",
        "sip:x@east;transport=sctp", "sip:x@east;transport=ws", "sip:x@east;maddr=255.255.255.255", "sip:x@east;ttl=999;maddr=224.2.0.1",
        "sip:x@east?To=y&Via=z", "sip:x@east;method=BYE", "sip:x@east:0", "sip:x@east:99999", "sip:overlay@east", "sip:%6fverlay@west",
        "sip:x@[::1]", "sip:x@[::1", "sip:+49;ext=5@east", "sip:x@east;comp=sigcomp", "sip:x@east;=", "sip:x@east;;;", "*", "<>", "sip:x@127.0.0.1;lr",
        "sip:x@east?" + "a=b&" * 400, "sip:" + "u" * 600 + "@east", "SIP:X@EAST", "sip: x@east", "urn:service:sos", "\"", "sip:x@east;user=phone;isub=" + "1" * 400)
PARAMETERS = (";maddr=1.2.3.4", ";maddr=255.255.255.255", ";maddr=224.0.0.1", ";maddr=", ";ttl=0", ";ttl=999", ";rport", ";rport=0", ";rport=70000",
              ";received=255.255.255.255", ";received=[::1]", ";received=x", ";branch=", ";branch=z9hG4bK", ";branch=x", ";branch=" + "z" * 3000, ";tag=", ";tag=" + "t" * 3000,
              ";tag=a;tag=b", ";expires=-1", ";expires=99999999999999999999", ";expires=x", ";q=2", ";q=-1", ";q=0.0000000001", ";q=1.", ";lr", ";comp=sigcomp",
              ";x" * 300, ";=", ";;;", ";a=\"", ";a=\"\\", ";alias", ";keep=1", ";ob", ";+sip.instance=\"<" + "i" * 300 + ">\"", ";reg-id=0;reg-id=99999999999",
              ";to-tag=a;from-tag=b", ";early-only", ";cause=99999", ";refresher=nobody", ";index=1.1.1.1.1.1", ";text=\"%0D%0A\"")
BYTES = (b"\0", b"\r", b"\n", b"\r\n ", b"\r\n\t", b"\x7f", b"\x85", b"\xc2\x9b31m", b"\xe2\x80\xae", b"\xff\xfe", b"\x1b[2J", b"%00", b"%0D%0A", b"\"", b"<", b">", b",", b";", b"\\", b"@",
         b"\r\n\r\n", b":", b"%s%n%x", b"../../", b"<script>", b"'")


def _pick(rng, values):
    return values[rng.randrange(len(values))]


# ---- harm to the value of one header field: value (bytes), chance -> value ---------------------------------------------------------

def empty(_value, _rng):
    return b""


def number(value, rng):
    """Each run of digits may become a number that is none, or too large."""
    wanted = _pick(rng, NUMBERS).encode()
    digits = [i for i in range(len(value)) if value[i:i + 1].isdigit() and (i == 0 or not value[i - 1:i].isdigit())]
    if not digits:
        return wanted
    begin = _pick(rng, digits)
    end = begin
    while end < len(value) and value[end:end + 1].isdigit():
        end += 1
    return value[:begin] + wanted + value[end:]


def host(value, rng):
    """Another host and port after the first blank, @ or <sip:."""
    wanted = _pick(rng, HOSTS).encode()
    for mark in (b"@", b"UDP ", b"TCP ", b"sip:"):
        at = value.find(mark)
        if at >= 0:
            begin = at + len(mark)
            end = begin
            while end < len(value) and value[end:end + 1] not in (b";", b">", b",", b"?", b" "):
                end += 1
            return value[:begin] + wanted + value[end:]
    return wanted


def uri(value, rng):
    wanted = _pick(rng, URIS).encode()
    begin, end = value.find(b"<"), value.find(b">")
    return value[:begin + 1] + wanted + value[end:] if 0 <= begin < end else wanted


def parameter(value, rng):
    return value + _pick(rng, PARAMETERS).encode()


def no_parameters(value, _rng):
    return value.split(b";")[0]


def huge(value, rng):
    return value + _pick(rng, (b"x", b"\"", b" ", b"%41", b"\xc3\xa4", b",a", b";b=c")) * (_pick(rng, HUGE) // 3)


def insert(value, rng):
    at = rng.randrange(len(value) + 1)
    return value[:at] + _pick(rng, BYTES) + value[at:]


def cut(value, rng):
    return value[:rng.randrange(len(value) + 1)]


def many(value, rng):
    return b", ".join([value] * _pick(rng, (2, 9, 33, 300)))


def other_case(value, _rng):
    return value.swapcase()


def display_name(value, rng):
    return _pick(rng, (b"\"\\\"", b"\"x\\", b"\"a\r\nX-Evil: yes\" ", b"\"" + b"n" * 3000 + b"\" ", b"a b c d ", b"=?utf-8?q?=00?= ", b"\"\" ")) + value


HARMS = (empty, number, number, host, host, uri, uri, parameter, parameter, no_parameters, huge, insert, insert, cut, many, other_case, display_name)


# ---- harm that each header field gets for certain -----------------------------------------------------------------------------------

# The host of a URI or a Via, and its port.
HOST = re.compile(rb"(sips?:(?:[^@;>\s]*@)?|@|SIP/2\.0/\w+ )(\[[^\]]*\]|[^\s:;>,?\[]+)(?::\d+)?")


def _with_host(value, host_of):
    """@host_of tells host and port from the host; a value without one becomes a URI."""
    found = HOST.search(value)
    if not found:
        return b"<sip:x@" + host_of(b"127.0.0.1") + b">"
    return value[:found.start()] + found.group(1) + host_of(found.group(2)) + value[found.end():]


def port_0(value, _rng):
    return _with_host(value, lambda host: host + b":0")


def port_65536(value, _rng):
    return _with_host(value, lambda host: host + b":65536")


def ipv6(value, rng):
    return _with_host(value, lambda _: _pick(rng, (b"[::1]:5060", b"[2001:db8::9:1]", b"[::ffff:127.0.0.1]:5060")))


def maddr(value, rng):
    """In the URI where there is one, else behind the value."""
    wanted = b";maddr=" + _pick(rng, (b"1.2.3.4", b"255.255.255.255", b"224.0.0.1", b"127.0.0.1", b"[::1]", b"x", b""))
    end = value.find(b">")
    return value + wanted if end < 0 else value[:end] + wanted + value[end:]


def line_end(value, _rng):
    """%0D%0A where a user's name begins, else in the middle."""
    found = re.search(rb"sips?:", value)
    at = found.end() if found else len(value) // 2
    return value[:at] + b"a%0D%0AX-Evil:%20yes" + value[at:]


def negative(value, _rng):
    """The last run of digits: a number where the value is one, else one in it."""
    found = list(re.finditer(rb"\d+", value))
    return value[:found[-1].start()] + b"-1" + value[found[-1].end():] if found else b"-1"


def repeated(value, _rng):
    return value + b", " + value


NAMED = (port_0, port_65536, huge, negative, empty, repeated, line_end, maddr, ipv6)

# ---- harm to the message: [start line, (name, value), ...], body -------------------------------------------------------------------

def _remove(start, fields, body, at, _rng):
    return start, fields[:at] + fields[at + 1:], body


def _repeat(start, fields, body, at, rng):
    return start, fields[:at] + [fields[at]] * _pick(rng, (2, 3, 70)) + fields[at + 1:], body


def _rename(start, fields, body, at, rng):
    names = [name for name, _ in fields] + [b"X" * 3000, b"", b"Via ", b" To", b"v", b"l", b"Content-Encoding", b"Max-Forwards"]
    return start, fields[:at] + [(_pick(rng, names), fields[at][1])] + fields[at + 1:], body


def _start_line(start, fields, body, _at, rng):
    method, target, version = (start.split(b" ", 2) + [b"", b""])[:3]
    kind = rng.randrange(8)
    if kind == 0:
        method = _pick(rng, (b"invite", b"INVITE" * 200, b"B%AD", b"!#$", b"", b"ACK", b"CANCEL", b"BYE", b"PRACK", b"SIP/2.0", b"NOTIFY", b"\0", b"RE GISTER"))
    elif kind == 1:
        version = _pick(rng, (b"SIP/3.0", b"SIP/1.0", b"SIP/2", b"sip/2.0", b"SIP/2.00000", b"SIP/99999999999.0", b"HTTP/1.1", b"", b"SIP/2.0 x", b"SIP/2.0" + b"0" * 5000))
    elif kind < 5:
        target = _pick(rng, URIS).encode()
    elif kind == 5:
        target = host(target, rng)
    elif kind == 6:
        target = insert(target, rng)
    else:
        return insert(start, rng), fields, body
    return b" ".join((method, target, version)), fields, body


def _length(start, fields, body, _at, rng):
    """A Content-Length that lies."""
    value = _pick(rng, NUMBERS + (str(len(body) + 1), str(max(0, len(body) - 1)), "65535", "10000000")).encode()
    return start, fields + [(_pick(rng, (b"Content-Length", b"l")), value)], body


def _shuffle(start, fields, body, _at, rng):
    fields = fields[:]
    rng.shuffle(fields)
    return start, fields, body


def _body(start, fields, body, _at, rng):
    return start, fields, _pick(rng, (b"", b"\0" * 100, body * 3, body[:20], bytes(rng.randrange(256) for _ in range(200)), b"v=0\r\n" * 4000, b"x" * 60000))


MESSAGE_HARMS = (_remove, _repeat, _rename, _start_line, _start_line, _length, _shuffle, _body)


KINDS = len(NAMED) + len(HARMS) + len(MESSAGE_HARMS)


def turns_of_named(message):
    """How many turns it takes until each header field has had each harm of NAMED."""
    count = len(NAMED) * (len(split(message)[1]) + 1)
    return count + count // 12 + 2


def split(message):
    head, _, body = message.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    fields = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines[1:])]
    return lines[0], fields, body


def join(start, fields, body):
    has_length = any(name.strip().lower() in (b"content-length", b"l") for name, _ in fields)
    fields = fields if has_length else fields + [(b"Content-Length", str(len(body)).encode())]
    return b"\r\n".join([start] + [name + b": " + value for name, value in fields]) + b"\r\n\r\n" + body


def mutate(message, turn, rng):
    """One message with harm done to it; @turn goes through the Request-URI, the header fields and the kinds of harm, one after the
    other.  Each in thirteen is only scrambled, between two turns."""
    start, fields, body = split(message)
    if turn % 13 == 0 or not fields:
        return scramble(message, rng)
    turn -= turn // 13 + 1
    at = turn % (len(fields) + 1) - 1
    kind = turn // (len(fields) + 1) % KINDS
    if kind >= len(NAMED + HARMS):
        start, fields, body = MESSAGE_HARMS[kind - len(NAMED + HARMS)](start, fields, body, max(at, 0), rng)
    elif at < 0:
        method, target, version = (start.split(b" ", 2) + [b"", b""])[:3]
        start = b" ".join((method, (NAMED + HARMS)[kind](target, rng), version))
    else:
        fields = fields[:at] + [(fields[at][0], (NAMED + HARMS)[kind](fields[at][1], rng))] + fields[at + 1:]
    if kind >= len(NAMED) and rng.randrange(4) == 0 and fields:  # a second one on top
        at = rng.randrange(len(fields))
        fields = fields[:at] + [(fields[at][0], _pick(rng, HARMS)(fields[at][1], rng))] + fields[at + 1:]
    return join(start, fields, body)


def scramble(message, rng):
    """Bytes of a message changed, cut out, doubled."""
    data = bytearray(message)
    for _ in range(1 + rng.randrange(6)):
        if not data:
            break
        at, kind = rng.randrange(len(data)), rng.randrange(5)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at:at + 1 + rng.randrange(30)]
        elif kind == 2:
            data[at:at] = data[at:at + rng.randrange(200)]
        elif kind == 3:
            data[at:at] = _pick(rng, BYTES)
        else:
            del data[at:]
    return bytes(data)
