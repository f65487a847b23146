"""Sends a server what nobody should send, and says what that costs.

    hostile.py HOST PORT USER PASSWORD CONTROL_PID [ROUNDS]

Each kind is sent ROUNDS times (20; wrong tokens twice) and must be refused as it should be, with a fault where there is a
body to speak of. Then 3,000 subscriptions are made and forgotten and 200 profiles asked for. Printed
are the times until the whole answer, and the memory of the control plane before and after; only
refusals and memory decide.
"""

import base64
import datetime
import hashlib
import http.client
import os
import re
import statistics
import sys
import time

HOST, PORT, USER, PASSWORD, PID = *sys.argv[1:5], int(sys.argv[5])
ROUNDS = int(sys.argv[6]) if len(sys.argv) > 6 else 20
SOAP = "http://www.w3.org/2003/05/soap-envelope"
TDS = "http://www.onvif.org/ver10/device/wsdl"
TEV = "http://www.onvif.org/ver10/events/wsdl"
TRT = "http://www.onvif.org/ver10/media/wsdl"
WSNT = "http://docs.oasis-open.org/wsn/b-2"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
DEVICE, EVENTS, MEDIA = "/onvif/device_service", "/onvif/event_service", "/onvif/media_service"
INFO = f'<GetDeviceInformation xmlns="{TDS}"/>'
# What the process may grow by: buffers of as many connections as clients have.
MOST_GROWTH_KB = 48 * 1024


def token(nonce=None, ago=0):
    nonce = os.urandom(16) if nonce is None else nonce
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=ago)
    created = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    digest = base64.b64encode(hashlib.sha1(nonce + created.encode() + PASSWORD.encode()).digest()).decode()
    nonce = base64.b64encode(nonce).decode()
    return (
        f'<w:Security xmlns:w="{WSSE}-wssecurity-secext-1.0.xsd"><w:UsernameToken><w:Username>{USER}</w:Username>'
        f'<w:Password Type="x#PasswordDigest">{digest}</w:Password><w:Nonce>{nonce}</w:Nonce>'
        f'<u:Created xmlns:u="{WSSE}-wssecurity-utility-1.0.xsd">{created}</u:Created>'
        "</w:UsernameToken></w:Security>"
    )


def envelope(body, header=None):
    header = token() if header is None else header
    return f'<s:Envelope xmlns:s="{SOAP}"><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>'


def subscribe(url):
    return (
        f'<n:Subscribe xmlns:n="{WSNT}"><n:ConsumerReference>'
        f'<Address xmlns="http://www.w3.org/2005/08/addressing">{url}</Address></n:ConsumerReference></n:Subscribe>'
    )


def pull(timeout):
    return f'<PullMessages xmlns="{TEV}"><Timeout>{timeout}</Timeout><MessageLimit>1</MessageLimit></PullMessages>'


entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 10}">' for n in range(20))
replayed = token()
# Ten wrong tokens of an address cost nothing, and then the answers wait on purpose.
FEW = 2
# Name, path, what makes a document (tokens count once), statuses that are right, what a fault must name,
# how often.
KINDS = [
    ("document type", DEVICE, lambda: f"<!DOCTYPE s [<!ELEMENT s ANY>]>{envelope(INFO)}", (400,), "", ROUNDS),
    ("a billion laughs", DEVICE, lambda: f"<!DOCTYPE s [{entities}]>{envelope('&e19;')}", (400,), "", ROUNDS),
    ("a file as an entity", DEVICE, lambda: f'<!DOCTYPE s [<!ENTITY f SYSTEM "file:///etc/passwd">]>{envelope("&f;")}', (400,), "", ROUNDS),
    ("depth 20,000", DEVICE, lambda: envelope("<a>" * 20000 + "</a>" * 20000), (400, 413), "", ROUNDS),
    ("100,000 attributes", DEVICE, lambda: envelope("<a " + " ".join(f'a{n}="1"' for n in range(100000)) + "/>"), (400, 413), "", ROUNDS),
    ("60,000 bytes of one attribute", DEVICE, lambda: envelope(f'<a a="{"x" * 60000}"/>'), (400,), "", ROUNDS),
    ("15,000 elements", DEVICE, lambda: envelope("<a/>" * 15000), (400,), "", ROUNDS),
    ("1 MiB", DEVICE, lambda: envelope(f"<a>{'x' * (1 << 20)}</a>"), (400, 413), "", ROUNDS),
    ("not XML", DEVICE, lambda: "\0\xff<" * 5000, (400,), "", ROUNDS),
    ("unknown operation", DEVICE, lambda: envelope(f'<Nonsense xmlns="{TDS}"/>'), (400, 500), "ActionNotSupported", ROUNDS),
    ("wrong namespace", DEVICE, lambda: envelope('<GetDeviceInformation xmlns="urn:x"/>'), (400, 500), "ActionNotSupported", ROUNDS),
    ("replayed token", DEVICE, lambda: envelope(INFO, replayed), (400, 401), "NotAuthorized", FEW),
    ("token of tomorrow", DEVICE, lambda: envelope(INFO, token(ago=-86400)), (400, 401), "NotAuthorized", FEW),
    ("token of yesterday", DEVICE, lambda: envelope(INFO, token(ago=86400)), (400, 401), "NotAuthorized", FEW),
    ("nonce of 40,000 bytes", DEVICE, lambda: envelope(INFO, token(nonce=b"n" * 40000)), (400, 401), "", FEW),
    ("pushing to another machine", EVENTS, lambda: envelope(subscribe("http://169.254.169.254/latest")), (400,), "", ROUNDS),
    ("pushing to a file", EVENTS, lambda: envelope(subscribe("file:///etc/passwd")), (400,), "", ROUNDS),
    ("pushing to a name that is nobody", EVENTS, lambda: envelope(subscribe("http://nobody.invalid/")), (400,), "", ROUNDS),
    ("a time-out of ages", EVENTS, lambda: envelope(pull("P99999999999Y")), (400,), "", ROUNDS),
    ("a time-out that is none", EVENTS, lambda: envelope(pull("soon")), (400,), "", ROUNDS),
    ("a profile with a name of 60,000", MEDIA, lambda: envelope(f'<CreateProfile xmlns="{TRT}"><Name>{"n" * 60000}</Name></CreateProfile>'), (400,), "", ROUNDS),
]


def memory_kb():
    with open(f"/proc/{PID}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


class Client:
    """A connection that is opened again when the server has closed it."""

    def __init__(self):
        self.connection = None

    def post(self, path, document):
        body = document.encode("latin-1") if isinstance(document, str) else document
        for last in (False, True):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(HOST, PORT, timeout=60)
            begun = time.perf_counter()
            try:
                self.connection.request("POST", path, body, {"Content-Type": "application/soap+xml"})
                answer = self.connection.getresponse()
                text = answer.read().decode()
                took = (time.perf_counter() - begun) * 1000
                if answer.will_close:
                    self.connection = None
                return answer.status, text, took
            except (ConnectionError, http.client.HTTPException):
                # Too much to be read was refused, and the connection closed before all was sent.
                self.connection = None
                if last:
                    return 413, "", (time.perf_counter() - begun) * 1000


client = Client()
assert client.post(DEVICE, envelope(INFO, replayed))[0] == 200
before = memory_kb()
worst = 0.0
for name, path, make, statuses, code, rounds in KINDS:
    times = []
    for _ in range(rounds):
        status, text, took = client.post(path, make())
        if status not in statuses or code not in text or "root:" in text:
            sys.exit(f"FAIL {name}: {status} {text[:400]}")
        times.append(took)
    worst = max(worst, max(times))
    print(f"ok {name}: {status}, median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms")
print(f"ok the worst of all took {worst:.1f} ms")

middle = memory_kb()
for _ in range(3000):
    status, text, _ = client.post(EVENTS, envelope(f'<CreatePullPointSubscription xmlns="{TEV}"/>'))
    if status != 200:
        sys.exit(f"FAIL a subscription: {status} {text[:400]}")
made = [client.post(MEDIA, envelope(f'<CreateProfile xmlns="{TRT}"><Name>p{n}</Name></CreateProfile>'))[0] for n in range(200)]
if made.count(200) > 16 or not 400 <= made[-1] < 600:
    sys.exit(f"FAIL {made.count(200)} profiles were made")
after = memory_kb()
print(f"ok memory: {before} kB at first, {middle} after the requests, {after} after 3,000 subscriptions that nobody ends")
if after - before > MOST_GROWTH_KB:
    sys.exit(f"FAIL the control plane grew by {after - before} kB")
