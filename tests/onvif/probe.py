#!/usr/bin/env python3
"""Looks for ONVIF devices by WS-Discovery from each of the addresses that are given.

    probe.py ADDRESS...     prints {ADDRESS: [XAddrs of who answered within two seconds]} as JSON
"""
import json
import re
import select
import socket
import sys
import time
import uuid

PROBE = """<?xml version="1.0"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"
 xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"
 xmlns:n="http://www.onvif.org/ver10/network/wsdl"><e:Header><w:MessageID>{}</w:MessageID>
 <w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>
 <w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>
 <e:Body><d:Probe><d:Types>n:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"""


def main():
    sockets = {}
    for address in sys.argv[1:]:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((address, 0))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        s.sendto(PROBE.format("urn:uuid:" + str(uuid.uuid4())).encode(), ("239.255.255.250", 3702))
        sockets[s] = address
    found = {address: [] for address in sockets.values()}
    end = time.monotonic() + 2
    while (left := end - time.monotonic()) > 0:
        for s in select.select(list(sockets), [], [], left)[0]:
            text = s.recv(65536).decode()
            for urls in re.findall(r"XAddrs>([^<]*)<", text):
                found[sockets[s]] += urls.split()
    print(json.dumps(found))


main()
