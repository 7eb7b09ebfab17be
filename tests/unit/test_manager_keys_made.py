#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the manager makes keys, against PyKMIP with something in between: what it is told,
and what becomes of a key when it answers too slowly.
"""

import contextlib
import time

from kmip.core import enums
from kmip.pie.client import ProxyKmipClient
from kmip.pie.exceptions import KmipOperationFailure

import tap
from kmip_proxy import ADD_ATTRIBUTE, CREATE, Proxy, attributes, get
from relay import Relay
from tap import equal
from test_kmip_server import connect
from test_manager_keys import HOST, SITE, VM, manager, read, site, start, stop


def pykmip_client():
    name = SITE["folder"].name
    return ProxyKmipClient(hostname="127.0.0.1", port=SITE["servers"][0].port, cert=f"{name}/client.pem",
                           key=f"{name}/client.key", ca=f"{name}/ca.pem", ssl_version="PROTOCOL_TLSv1_2")


def is_gone(key):
    with pykmip_client() as client:
        try:
            client.get_attributes(key)
        except KmipOperationFailure as failure:
            return failure.reason == enums.ResultReason.ITEM_NOT_FOUND
    return False


def what_a_key_server_is_told():
    """The attributes of a new key, as vCenter has them, and its labels; and what an independent server makes of it"""
    folder = SITE["folder"].name
    proxy = Proxy(folder, lambda: connect(folder, SITE["servers"][0].port))
    with manager() as m, contextlib.closing(proxy):
        provider = m.do("provider", "kms", "standard")
        m.do("certificate", provider, read("client.pem"), read("client.key"))
        m.do("server", provider, "a", str(proxy.port), read("ca.pem"))
        site(m)
        key = m.do("new", HOST + "1", "web", "vda")["key"]
        (create,) = proxy.payloads(CREATE)[-1]
        equal((get(create, "ObjectType"), attributes(get(create, "TemplateAttribute"))),
              (2, [("Cryptographic Algorithm", 3), ("Cryptographic Usage Mask", 12), ("Cryptographic Length", 256)]),
              "Create")
        labels = [attributes(payload)[0] for payload in proxy.payloads(ADD_ATTRIBUTE)[-1]]
        equal({get(payload, "UniqueIdentifier") for payload in proxy.payloads(ADD_ATTRIBUTE)[-1]}, {key}, "whose labels")
        equal([name for name, _ in labels], ["x-Product_Version", "x-Vendor", "x-Product", "x-Identifier", "x-Component",
                                             "x-Name"], "labels")
        equal([value for _, value in labels[1:]], ["vmcrypt", "vmcrypt", VM, "Virtual Machine", "web"], "their values")
        assert labels[0][1][0].isdigit(), labels[0]
    with pykmip_client() as client:
        found = {one.attribute_name.value: one.attribute_value for one in client.get_attributes(key)[1]}
    equal((found["Cryptographic Algorithm"].value, found["Cryptographic Usage Mask"].value,
           found["Cryptographic Length"].value, found["State"].value, "Name" in found),
          (enums.CryptographicAlgorithm.AES, 12, 256, enums.State.ACTIVE, False), "at the server")


def a_key_that_comes_too_late_is_undone():
    """A key server that answers each message, so slowly that the host would no longer be there"""
    between = Relay(SITE["servers"][0].port)
    with manager() as m, contextlib.closing(between):
        provider = m.do("provider", "kms", "standard")
        m.do("certificate", provider, read("client.pem"), read("client.key"))
        m.do("server", provider, "a", str(between.port), read("ca.pem"))
        site(m)
        key = int(m.do("new", HOST + "1", "web", "vda")["key"])
        between.delay = 2.7
        begin = time.monotonic()
        m.fails("ETIMEDOUT", "new", HOST + "1", "web", "vdb", reason="KeyStateClusterUnreachable")
        assert time.monotonic() - begin < 20, "the host would not hear why"
        between.delay = 0
        assert is_gone(str(key + 1)), "the key is still there"
        equal(m.do("new", HOST + "1", "web", "vdb")["key"], str(key + 2), "the next one")


if __name__ == "__main__":
    try:
        start()
        tap.run([what_a_key_server_is_told, a_key_that_comes_too_late_is_undone])
    finally:
        stop()
