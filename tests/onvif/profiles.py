"""Makes media profiles until no more are taken, and counts what was kept.

    profiles.py HOST PORT USER PASSWORD storm    makes 60, of which those beyond the bound are refused
    profiles.py HOST PORT USER PASSWORD count    how many there are that clients have made
    profiles.py HOST PORT USER PASSWORD clear    deletes them

The last line is a number: of profiles that were taken, that there are, or that were deleted.
"""

import re
import sys

import requests
from requests.auth import HTTPDigestAuth

host, port, user, password, what = sys.argv[1:6]
TRT = "http://www.onvif.org/ver10/media/wsdl"
session = requests.Session()
session.auth = HTTPDigestAuth(user, password)


def call(body):
    text = (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        f'xmlns:t="{TRT}"><s:Body>{body}</s:Body></s:Envelope>'
    )
    kind = {"Content-Type": "application/soap+xml; charset=utf-8"}
    return session.post(f"http://{host}:{port}/onvif/media_service", data=text, headers=kind)


def made():
    answer = call("<t:GetProfiles/>")
    assert answer.status_code == 200, answer.text
    return re.findall(r'<trt:Profiles token="([^"]+)" fixed="false"', answer.text)


if what == "storm":
    taken = 0
    for number in range(60):
        answer = call(f"<t:CreateProfile><t:Name>storm {number}</t:Name></t:CreateProfile>")
        if answer.status_code == 200:
            taken += 1
            continue
        assert answer.status_code == 500, answer.text
        assert "<env:Value>ter:MaxNVTProfiles</env:Value>" in answer.text, answer.text
    print(taken)
elif what == "count":
    print(len(made()))
else:
    tokens = made()
    for token in tokens:
        body = f"<t:DeleteProfile><t:ProfileToken>{token}</t:ProfileToken></t:DeleteProfile>"
        answer = call(body)
        assert answer.status_code == 200, answer.text
    print(len(tokens))
