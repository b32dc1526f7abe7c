"""Well-formed SIP messages of a phone, as templates: what the fuzzer begins with.

{uri} whom it is for, {aor} whose phone it is, {me} IP:PORT of the phone, {transport} UDP or TCP, {branch} {tag} {id} {n} are new for
each message; {remote} {local} {routes} {target} {call} stand for a dialog's own.
"""
import os

SDP = ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
       "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n")
HEAD = """Via: SIP/2.0/{transport} {me};branch={branch};rport
Max-Forwards: 70
From: <{aor}>;tag={tag}
To: <{uri}>
Call-ID: {id}
"""
DIALOG = """Via: SIP/2.0/{transport} {me};branch={branch};rport
Max-Forwards: 70
{routes}From: {local}
To: {remote}
Call-ID: {call}
"""
CONTACT = "Contact: <sip:{user}@{me};transport={transport}>\n"
SDP_TYPE = "Content-Type: application/sdp\n"
LONG_ROUTE = "".join(f"Record-Route: <sip:p{i}.example.net;lr;x={'y' * 150}>\n" for i in range(6))


def _request(method, head=HEAD, extra="", body="", uri="{uri}", contact=True):
    return (f"{method} {uri} SIP/2.0\n{head}CSeq: {{n}} {method}\n{CONTACT if contact else ''}{extra}", body)


def _invite(extra="", body=SDP):
    return _request("INVITE", extra=extra + (SDP_TYPE if body else ""), body=body)


# Requests outside of dialogs: (head, body) by name.
REQUESTS = {
    "invite": _invite("Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK\nSupported: 100rel, replaces, timer\n"),
    "invite-late-offer": _invite(body=""),
    "invite-timer": _invite("Supported: timer\nSession-Expires: 1800;refresher=uac\nMin-SE: 90\n"),
    "invite-100rel": _invite("Require: 100rel\nSupported: 100rel\n"),
    "invite-replaces": _invite("Replaces: 12345@192.0.2.1;to-tag=a;from-tag=b;early-only\n"),
    "invite-join": _invite("Join: 12345@192.0.2.1;to-tag=a;from-tag=b\nRequire: join\n"),
    "invite-target-dialog": _invite("Target-Dialog: 12345@192.0.2.1;local-tag=a;remote-tag=b\n"),
    "invite-routes": _invite("Route: <sip:192.0.2.9;lr>, <sip:192.0.2.10;lr>\n" + LONG_ROUTE),
    "invite-identity": _invite("P-Asserted-Identity: \"A\" <{aor}>, <tel:+4930>\nRemote-Party-ID: <{aor}>;party=calling\n"
                               "P-Preferred-Identity: <{aor}>\nPrivacy: id\n"),
    "invite-ours": _invite("Overlay-ID: <sip:overlay@east>\nNode-ID: <{aor}>\nGateway-Term: 7\n"),
    "invite-features": _invite("Expires: 120\nSubject: a subject\nPriority: urgent\nOrganization: =?utf-8?q?x?=\n"
                               "Accept: application/sdp, multipart/mixed;q=0.5\nAccept-Language: de, en;q=0.3\n"
                               "Accept-Contact: *;audio;require\nReject-Contact: *;mobility=\"mobile\"\n"
                               "History-Info: <sip:x@east?Reason=SIP%3Bcause%3D302>;index=1\nDiversion: <sip:y@east>;reason=no-answer\n"
                               "Alert-Info: <http://192.0.2.1/ring>\nCall-Info: <sip:x@192.0.2.1>;purpose=icon\nUser-Agent: x/1 (y)\n"
                               "Date: Sat, 13 Nov 2010 23:29:00 GMT\nTimestamp: 54.3 0.1\nIn-Reply-To: a@b, c@d\nMIME-Version: 1.0\n"),
    "invite-authorization": _invite("Proxy-Authorization: Digest username=\"a\", realm=\"east\", nonce=\"84\", uri=\"{uri}\", "
                                    "response=\"00000000000000000000000000000000\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"x\"\n"
                                    "Authorization: Basic YTpi\n"),
    "invite-require": _invite("Require: nothing-supports-this\nProxy-Require: nor-this\n"),
    "invite-multipart": _invite("", "--b\r\nContent-Type: application/sdp\r\n\r\n" + SDP + "\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"),
    "register": ("REGISTER sip:{domain} SIP/2.0\n" + HEAD.replace("{uri}", "{aor}") + "CSeq: {n} REGISTER\n" + CONTACT +
                 "Expires: 300\n", ""),
    "register-star": ("REGISTER sip:{domain} SIP/2.0\n" + HEAD.replace("{uri}", "{aor}") +
                      "CSeq: {n} REGISTER\nContact: *\nExpires: 0\n", ""),
    "register-push": ("REGISTER sip:{domain} SIP/2.0\n" + HEAD.replace("{uri}", "{aor}") + "CSeq: {n} REGISTER\n"
                      "Contact: <sip:{user}@{me};pn-provider=fcm;pn-param=" + "p" * 100 + ";pn-prid=" + "q" * 150 + ">;expires=300;q=0.7;"
                      "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";reg-id=1\nSupported: path, outbound, gruu\n", ""),
    "register-many": ("REGISTER sip:{domain} SIP/2.0\n" + HEAD.replace("{uri}", "{aor}") + "CSeq: {n} REGISTER\n"
                      "Contact: " + ", ".join(f"<sip:u{i}@192.0.2.{i}:5070>;q=0.{i};expires=6{i}" for i in range(1, 9)) + "\n"
                      "Path: <sip:192.0.2.20;lr>\nRequire: path\n", ""),
    "options": _request("OPTIONS", extra="Accept: application/sdp\n"),
    "options-server": _request("OPTIONS", uri="sip:{domain}", extra="Accept: application/sdp\n"),
    "message": _request("MESSAGE", extra="Content-Type: text/plain\n", body="hello", contact=False),
    "subscribe": _request("SUBSCRIBE", extra="Event: presence;id=1\nAccept: application/pidf+xml\nExpires: 600\n"),
    "subscribe-mwi": _request("SUBSCRIBE", extra="Event: message-summary\nExpires: 600\n", uri="{aor}"),
    "publish": _request("PUBLISH", extra="Event: presence\nExpires: 600\nSIP-If-Match: x\nContent-Type: application/pidf+xml\n", body="<a/>"),
    "notify": _request("NOTIFY", extra="Event: presence\nSubscription-State: active;expires=60\n"),
    "refer": _request("REFER", extra="Refer-To: <sip:x@east?Replaces=1%40a%3Bto-tag%3Da%3Bfrom-tag%3Db>\nReferred-By: <{aor}>\n"),
    "info": _request("INFO", extra="Content-Type: application/dtmf-relay\n", body="Signal=1\r\nDuration=100\r\n"),
    "unknown": _request("FROBNICATE"),
    "ack": _request("ACK", contact=False),
    "cancel": _request("CANCEL", contact=False, extra="Reason: SIP;cause=200;text=\"Call completed elsewhere\"\n"),
    "bye": _request("BYE", contact=False),
    "invite-compact": ("INVITE {uri} SIP/2.0\nv: SIP/2.0/{transport} {me};branch={branch}\nf: <{aor}>;tag={tag}\nt: <{uri}>\ni: {id}\n"
                       "CSeq: {n} INVITE\nm: <sip:{user}@{me}>\nMax-Forwards: 70\nk: 100rel\ns: x\nc: application/sdp\n", SDP),
}


def _in_dialog(method, extra="", body=""):
    return (f"{method} {{target}} SIP/2.0\n{DIALOG}CSeq: {{n}} {method}\n{CONTACT}{extra}", body)


# Requests inside a dialog.
IN_DIALOG = {
    "re-invite": _in_dialog("INVITE", SDP_TYPE, SDP),
    "re-ack": _in_dialog("ACK"),
    "update": _in_dialog("UPDATE", "Gateway-Term: 7\nSession-Expires: 90;refresher=uas\n" + SDP_TYPE, SDP),
    "dialog-info": _in_dialog("INFO", "Content-Type: application/dtmf-relay\n", "Signal=1\r\n"),
    "prack": _in_dialog("PRACK", "RAck: 1 1 INVITE\n"),
    "dialog-refer": _in_dialog("REFER", "Refer-To: <{uri}?Replaces=1%40a%3Bto-tag%3Da%3Bfrom-tag%3Db>\n"),
    "dialog-notify": _in_dialog("NOTIFY", "Event: refer\nSubscription-State: terminated;reason=noresource\n"
                                "Content-Type: message/sipfrag\n", "SIP/2.0 200 OK\r\n"),
    "dialog-message": _in_dialog("MESSAGE", "Content-Type: text/plain\n", "x"),
    "dialog-cancel": _in_dialog("CANCEL"),
    "dialog-bye": _in_dialog("BYE", "Reason: Q.850;cause=16\n"),
}

# What a phone answers an INVITE with, one after the other: (status line, extra header fields, has SDP).
RESPONSES = {
    "ringing": [("180 Ringing", "Alert-Info: <urn:alert:x>\n", False)],
    "early-media": [("183 Session Progress", "", True), ("180 Ringing", "", False)],
    "reliable": [("183 Session Progress", "Require: 100rel\nRSeq: 1\n", True)],
    "ok": [("180 Ringing", "", False), ("200 OK", "Supported: replaces, timer\nSession-Expires: 1800;refresher=uac\n", True)],
    "ok-routes": [("200 OK", LONG_ROUTE, True)],
    "moved": [("302 Moved Temporarily", "Contact: <sip:x@192.0.2.7>;q=0.5, <sip:y@east>\n", False)],
    "unauthorized": [("401 Unauthorized", "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\n", False)],
    "proxy-authentication": [("407 Proxy Authentication Required", "Proxy-Authenticate: Digest realm=\"x\", nonce=\"y\", qop=\"auth\"\n", False)],
    "interval": [("422 Session Interval Too Small", "Min-SE: 1800\n", False)],
    "busy": [("486 Busy Here", "Retry-After: 5 (I'm in a meeting);duration=3600\n", False)],
    "unavailable": [("480 Temporarily Unavailable", "Warning: 399 x \"y\"\nReason: Q.850;cause=19\n", False)],
    "overloaded": [("503 Service Unavailable", "Retry-After: 1\n", False)],
    "decline": [("603 Decline", "Error-Info: <sip:x@192.0.2.1>\n", False)],
}


def torture(folder=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "e2e", "torture")):
    """The torture messages of RFC 4475 and 5118 as they are: {name: bytes}."""
    found = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".dat"):
            with open(os.path.join(folder, name), "rb") as source:
                found[name[:-4]] = source.read()
    return found
