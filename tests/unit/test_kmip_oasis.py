#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The OASIS test cases of KMIP 1.4: every request as vmcrypt writes it, every
response as vmcrypt reads it, against an encoder of their XML that shares
nothing with the codec and takes its numbers from PyKMIP. Then the same cases in
2.0 and 2.1, rewritten here as KMIP 2.1 says; and each case from its first request to
its last answer, between vmcrypt's client and a server that plays it from here.

The cases stand beside the project, in ../shared/kmip-testcases.
"""

import copy
import glob
import json
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading
import xml.etree.ElementTree as ET
from datetime import datetime

from kmip.core import enums

import tap
from tap import equal

CASES = os.path.join(os.path.dirname(tap.TOP), "shared", "kmip-testcases", "v1.4")
CLIENT = os.path.join(tap.BUILD, "unit", "test_kmip_client")
CODECS = {"encode": os.path.join(tap.BUILD, "unit", "test_kmip_message"),
          "decode": os.path.join(tap.BUILD, "unit", "test_kmip_response")}
NOW = 1500000000
CASES_WANTED = 20
MESSAGES_WANTED = 127

# Where PyKMIP's class has another name than the tag
ENUMS = {"BlockCipherMode": enums.BlockCipherMode, "EncodingOption": enums.EncodingOption,
         "KeyFormatType": enums.KeyFormatType, "NameType": enums.NameType, "ObjectType": enums.ObjectType,
         "Operation": enums.Operation, "ResultReason": enums.ResultReason, "ResultStatus": enums.ResultStatus,
         "RevocationReasonCode": enums.RevocationReasonCode, "WrappingMethod": enums.WrappingMethod,
         "CryptographicAlgorithm": enums.CryptographicAlgorithm, "HashingAlgorithm": enums.HashingAlgorithm,
         "State": enums.State}
# KMIP 1.4 section 9.1.3.2: what PyKMIP does not have, or names otherwise
NUMBERS = {("CryptographicAlgorithm", "DES3"): 2,
           ("KeyWrapType", "NotWrapped"): 1, ("KeyWrapType", "AsRegistered"): 2, ("RNGAlgorithm", "Unspecified"): 1,
           ("RNGAlgorithm", "FIPS186_2"): 2, ("RNGAlgorithm", "DRBG"): 3, ("RNGAlgorithm", "NRBG"): 4,
           ("RNGAlgorithm", "ANSIX9_31"): 5, ("RNGAlgorithm", "ANSIX9_62"): 6}
# KMIP 2.1 section 11.60
REFERENCES = {"IDPlaceholder": 1, "Create": 3, "ReKey": 0xd}
# Attributes that the client knows by their names
OPAQUE = {"Always Sensitive", "Digest", "Extractable", "Fresh", "Lease Time", "Link", "Never Extractable",
          "Random Number Generator", "Revocation Reason", "Sensitive"}
TYPES = {"Integer": 2, "Enumeration": 5, "Boolean": 6, "TextString": 7, "ByteString": 8, "DateTime": 9, "Interval": 10,
         "DateTimeExtended": 11}


def plain(name):
    """BlockCipherMode, Block Cipher Mode and BLOCK_CIPHER_MODE are one"""
    return re.sub(r"[^A-Z0-9]", "", name.upper())


TAGS = {plain(tag.name): tag.value for tag in enums.Tags}
TAGS.update({"BATCHITEM": 0x42000f, "UNIQUEBATCHITEMID": 0x420093, "RNGPARAMETERS": 0x4200d9, "RNGALGORITHM": 0x4200da})


def enumeration(name, word):
    if name == "AttributeReference":
        return TAGS[plain(word)]
    if name == "UniqueIdentifier":
        return REFERENCES[word]
    if (name, word) in NUMBERS:
        return NUMBERS[name, word]
    found = [one.value for one in ENUMS[name] if plain(one.name) == plain(word)]
    if len(found) != 1:
        raise AssertionError(f"{name} {word}: PyKMIP knows {found}")
    return found[0]


def usage_mask(words):
    return sum(one.value for word in words.split() for one in enums.CryptographicUsageMask
               if plain(one.name) == plain(word))


def text(value):
    return re.sub(r"^\$UNIQUE_IDENTIFIER_", "id-", value)


def date(value):
    if value.startswith("$NOW"):
        return NOW + int(value[4:] or 0)
    return int(datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp())


def number(element, attribute=None):
    """@attribute: the name of the attribute whose value this is"""
    name = plain(attribute) if attribute else None
    value = element.get("value")
    if element.get("type") == "Enumeration":
        known = {plain(key): key for key in ENUMS}
        return enumeration(known[name] if name else element.tag, value)
    if element.get("type") == "DateTime":
        return date(value)
    return int(value) if re.fullmatch(r"-?\d+", value) else usage_mask(value)


def encode(element, attribute=None):
    """TTLV of one element"""
    kind = element.get("type")
    if kind is None or kind == "Structure":
        name = element.find("AttributeName")
        body = b"".join(encode(child, name.get("value") if name is not None else None) for child in element)
        return struct.pack(">II", TAGS[plain(element.tag)] << 8 | 1, len(body)) + body
    value = element.get("value")
    named = attribute if element.tag == "AttributeValue" else None
    body = {
        "Integer": lambda: struct.pack(">i", number(element, named)),
        "Enumeration": lambda: struct.pack(">I", number(element, named)),
        "Boolean": lambda: struct.pack(">Q", value == "true"),
        "TextString": lambda: text(value).encode(),
        "ByteString": lambda: bytes.fromhex(value),
        "DateTime": lambda: struct.pack(">q", date(value)),
        "DateTimeExtended": lambda: struct.pack(">q", date(value) * 1000000 + 999999),
        "Interval": lambda: struct.pack(">I", int(value)),
    }[kind]()
    return struct.pack(">II", TAGS[plain(element.tag)] << 8 | TYPES[kind], len(body)) + body + bytes(-len(body) % 8)


def described_attribute(element):
    name = element.find("AttributeName").get("value")
    value = element.find("AttributeValue")
    found = {"name": name}
    if value is None:
        return found
    if value.get("type") == "TextString":
        found["text"] = text(value.get("value"))
    elif value.get("type"):
        found["number"] = number(value, name)
    elif value.find("NameValue") is not None:
        found.update(text=value.find("NameValue").get("value"), named=True)
    else:
        found["number"] = number(value.find("BlockCipherMode"))
    return found


def described_wrapping(payload):
    element = payload.find(".//KeyWrappingData")
    element = element if element is not None else payload.find("KeyWrappingSpecification")
    if element is None:
        return {}
    encoding = element.find("EncodingOption")
    return {"wrapping": {"id": text(element.find(".//UniqueIdentifier").get("value")),
                         "mode": number(element.find(".//BlockCipherMode")),
                         "encoding": number(encoding) if encoding is not None else 0}}


def second_attribute(attribute, answer):
    """What 1.x has as a structure, 2.x has under a tag of its own (KMIP 2.1 section 4)"""
    name, value = attribute.find("AttributeName").get("value"), attribute.find("AttributeValue")
    if name.startswith("x-"):
        return custom_name("Attribute", name, [value] if value is not None else [])
    found = copy.deepcopy(value)
    found.tag = name.replace(" ", "")
    if answer and found.get("type") == "DateTime":
        found.set("type", "DateTimeExtended")
    return found


def custom_name(tag, name, more=()):
    """The "x" of "x-ID" is the vendor: section 4.57"""
    found = ET.Element(tag)
    ET.SubElement(found, "VendorIdentification", type="TextString", value="x")
    ET.SubElement(found, "AttributeName", type="TextString", value=name[2:])
    found.extend(more)
    return found


def second_reference(element):
    name = element.get("value")
    if name.startswith("x-"):
        return custom_name("AttributeReference", name)
    return ET.Element("AttributeReference", type="Enumeration", value=name)


def second_payload(operation, payload, answer):
    """Sections 6.1.2 to 6.1.46: the payloads with attributes"""
    attributes, names = payload.findall("Attribute"), payload.findall("AttributeName")
    first = list(payload).index((attributes + names)[0]) if attributes or names else len(payload)
    for one in attributes + names:
        payload.remove(one)
    if answer and operation in ("AddAttribute", "ModifyAttribute", "DeleteAttribute"):
        return
    if attributes or (operation == "Locate" and not answer):
        tag = "NewAttribute" if operation in ("AddAttribute", "ModifyAttribute") else "Attributes"
        inside = ET.Element(tag)
        inside.extend(second_attribute(one, answer) for one in attributes)
        payload.insert(first, inside)
    for place, one in enumerate(names):
        payload.insert(first + place, second_reference(one))
    if (template := payload.find("TemplateAttribute")) is not None:
        rewritten = [second_attribute(one, answer) for one in template]
        template.clear()
        template.tag = "Attributes"
        template.extend(rewritten)


def second_ids(items, answer):
    """Section 4.58: what was left out, or told again, is referred to, each time in another way"""
    rekeyed = any(one.find("Operation").get("value") == "ReKey" for one in items)
    ways, last = ["IDPlaceholder", "ReKey" if rekeyed else "-1", "-1", "{}"], None
    for place, item in enumerate(items):
        payload = item.find("ResponsePayload" if answer else "RequestPayload")
        found = payload.find("UniqueIdentifier") if payload is not None else None
        if not answer and found is None and place:
            payload.insert(0, ET.Element("UniqueIdentifier", type="Enumeration", value="IDPlaceholder"))
        elif answer and found is not None and found.get("value") == last:
            value = (ways.pop(0) if ways else "-1").format(place - 1)
            found.attrib.update(type="Enumeration" if value in REFERENCES else "Integer", value=value)
        elif answer and found is not None:
            last = found.get("value")


def second(message, minor):
    """The message as 2.@minor has it"""
    found, answer = copy.deepcopy(message), message.tag == "ResponseMessage"
    found.find("*/ProtocolVersion/ProtocolVersionMajor").set("value", "2")
    found.find("*/ProtocolVersion/ProtocolVersionMinor").set("value", str(minor))
    items = found.findall("BatchItem")
    for item in items:
        payload = item.find("ResponsePayload" if answer else "RequestPayload")
        if payload is not None:
            second_payload(item.find("Operation").get("value"), payload, answer)
    if minor:
        second_ids(items, answer)
    return found


def described(item):
    """One operation as vmcrypt's builder takes it"""
    payload = item.find("RequestPayload")
    found = {"operation": number(item.find("Operation"))}
    for tag, name in (("ObjectType", "object_type"), ("KeyFormatType", "key_format"), ("KeyWrapType", "wrap_type"),
                      ("MaximumItems", "maximum_items"), ("CompromiseOccurrenceDate", "compromised"),
                      ("RevocationReason/RevocationReasonCode", "revocation"),
                      (".//KeyBlock/CryptographicAlgorithm", "algorithm"),
                      (".//KeyBlock/CryptographicLength", "length")):
        if (element := payload.find(tag)) is not None:
            found[name] = number(element)
    if (element := payload.find("UniqueIdentifier")) is not None:
        found["id"] = text(element.get("value"))
    if (element := payload.find(".//KeyMaterial")) is not None:
        found["key"] = element.get("value")
    attributes = [described_attribute(one) for one in payload.findall(".//Attribute")]
    attributes += [{"name": one.get("value")} for one in payload.findall("AttributeName")]
    return {**found, "attributes": attributes, **described_wrapping(payload)}


def messages(tag):
    """All messages of one kind in all cases, with where they stand"""
    files = sorted(glob.glob(os.path.join(CASES, "*.xml")))
    if len(files) < CASES_WANTED:
        raise AssertionError(f"{CASES} holds {len(files)} of {CASES_WANTED} cases; put the OASIS test cases of KMIP 1.4 there")
    for path in files:
        for index, message in enumerate(ET.parse(path).getroot().findall(tag), 1):
            yield f"{os.path.basename(path)} {tag} {index}", message


def codec(word, given):
    """What the program makes of each line"""
    result = subprocess.run([CODECS[word], word], input="\n".join(given), capture_output=True, text=True, timeout=120,
                            check=False)
    lines = result.stdout.splitlines()
    if result.returncode or len(lines) != len(given):
        raise AssertionError(f"{word}: exit status {result.returncode}, {len(lines)} of {len(given)} lines: {result.stderr}")
    return lines


def own_ids(message):
    """The numbers of operations are the client's own"""
    for index, element in enumerate(message.iter("UniqueBatchItemID")):
        element.set("value", f"766d{index:04x}")


def description(message, major, minor):
    items = message.findall("BatchItem")
    order = message.find("RequestHeader/BatchOrderOption")
    found = [described(one) for one in items]
    for one in found[1:] if (major, minor) == (2, 1) else []:
        if "id" not in one:
            one["reference"] = REFERENCES["IDPlaceholder"]
    return json.dumps({"major": major, "minor": minor, "ordered": order is not None,
                       "with_ids": items[0].find("UniqueBatchItemID") is not None, "items": found})


def requests_are_the_cases(major=1, minor=4):
    cases = list(messages("RequestMessage"))
    equal(len(cases), MESSAGES_WANTED, "requests")
    for _, message in cases:
        own_ids(message)
    given = [description(message, major, minor) for _, message in cases]
    for (where, message), found in zip(cases, codec("encode", given)):
        equal(found, encode(second(message, minor) if major == 2 else message).hex(), f"{where} in {major}.{minor}")


def found_attribute(element):
    """As the decoder says it; of what it knows by name only there is no value"""
    name = element.find("AttributeName").get("value") if element.tag == "Attribute" else element.get("value")
    found = {"name": name} if name.startswith("x-") else {"tag": TAGS[plain(name)]}
    value = element.find("AttributeValue")
    if value is None or name in OPAQUE:
        return found
    if value.find("NameValue") is not None:
        return {**found, "text": value.find("NameValue").get("value")}
    if value.get("type") == "TextString":
        return {**found, "text": text(value.get("value"))}
    return {**found, "number": number(value, name)}


def found_key(payload):
    block = payload.find(".//KeyBlock")
    if block is None:
        return {}
    wrapping = described_wrapping(payload)
    key = {"material": block.find("KeyValue/KeyMaterial").get("value").lower(),
           "algorithm": number(block.find("CryptographicAlgorithm")), "length": number(block.find("CryptographicLength")),
           "wrapped": bool(wrapping)}
    return {"key": key, **wrapping}


def found_result(item, major):
    """One result as vmcrypt's decoder should say it; in 2.x changes of attributes are not told again"""
    changed = major == 2 and re.fullmatch("(Add|Modify|Delete)Attribute", item.find("Operation").get("value"))
    reason, message = item.find("ResultReason"), item.find("ResultMessage")
    payload = item.find("ResponsePayload")
    payload = payload if payload is not None else ET.Element("ResponsePayload")
    return {"status": number(item.find("ResultStatus")), "reason": number(reason) if reason is not None else 0,
            "message": message.get("value") if message is not None else "",
            "ids": [text(one.get("value")) for one in payload.findall("UniqueIdentifier")],
            "attributes": [] if changed else [found_attribute(one) for one in payload.findall("Attribute") +
                                              payload.findall("AttributeName")],
            **found_key(payload)}


def responses_are_the_cases(major=1, minor=4):
    cases = list(messages("ResponseMessage"))
    equal(len(cases), MESSAGES_WANTED, "responses")
    given = []
    for _, message in cases:
        own_ids(message)
        items = message.findall("BatchItem")
        given.append(json.dumps({"message": encode(second(message, minor) if major == 2 else message).hex(),
                                 "with_ids": items[0].find("UniqueBatchItemID") is not None,
                                 "operations": [number(one.find("Operation")) for one in items]}))
    for (where, message), found in zip(cases, codec("decode", given)):
        equal(json.loads(found), [found_result(one, major) for one in message.findall("BatchItem")],
              f"{where} in {major}.{minor}")


def receive(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise AssertionError(f"the client hung up after {len(data)} of {size} bytes")
        data += more
    return data


def serve_case(connection, steps, found):
    """A server that knows one conversation and nothing else"""
    with connection:
        for step, (wanted, answer) in enumerate(steps):
            header = receive(connection, 8)
            message = header + receive(connection, struct.unpack(">I", header[4:])[0])
            found.append((step, message.hex(), wanted.hex()))
            if message != wanted:
                return
            for at in range(0, len(answer), 37):
                connection.sendall(answer[at:at + 37])


def without_lone_ids(message):
    """One operation alone is not numbered by the client"""
    own_ids(message)
    items = message.findall("BatchItem")
    if len(items) == 1 and (element := items[0].find("UniqueBatchItemID")) is not None:
        items[0].remove(element)


def play_case(path, major, minor):
    """Return: how many messages went each way"""
    root = ET.parse(path).getroot()
    requests, responses = root.findall("RequestMessage"), root.findall("ResponseMessage")
    for message in requests + responses:
        without_lone_ids(message)
    rewritten = [(second(one, minor), second(other, minor)) if major == 2 else (one, other)
                 for one, other in zip(requests, responses)]
    steps = [(encode(one), encode(other)) for one, other in rewritten]
    ours, theirs = socket.socketpair()
    found = []
    server = threading.Thread(target=serve_case, args=(theirs, steps, found))
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".json") as file, ours:
        file.write("\n".join(description(message, major, minor) for message in requests))
        file.flush()
        server.start()
        result = subprocess.run([CLIENT, "play", f"{major}.{minor}", file.name], stdin=ours, capture_output=True,
                                text=True, timeout=120, check=False)
    server.join()
    where = f"{os.path.basename(path)} in {major}.{minor}"
    for step, message, wanted in found:
        equal(message, wanted, f"{where}, request {step + 1}")
    equal(result.returncode, 0, f"{where}: {result.stderr}")
    said = [json.loads(line) for line in result.stdout.splitlines()]
    equal(said, [[found_result(item, major) for item in message.findall("BatchItem")] for message in responses], where)
    return len(found)


def client_plays_the_cases():
    files = sorted(glob.glob(os.path.join(CASES, "*.xml")))
    for major, minor in ((1, 4), (2, 0), (2, 1)):
        equal(sum(play_case(path, major, minor) for path in files), MESSAGES_WANTED, f"requests in {major}.{minor}")


def cases_in_the_second_generation():
    for minor in (0, 1):
        requests_are_the_cases(2, minor)
        responses_are_the_cases(2, minor)


def references_are_used():
    """The rewritten cases hold what they are there for"""
    rewritten = [second(message, 1) for tag in ("RequestMessage", "ResponseMessage") for _, message in messages(tag)]
    found = [one.get("value") for message in rewritten for one in message.iter("UniqueIdentifier")]
    for value in ("IDPlaceholder", "ReKey", "-1", "6"):
        if value not in found:
            raise AssertionError(f"no unique identifier {value} in the cases of 2.1")
    if not any(one.get("type") == "DateTimeExtended" for message in rewritten for one in message.iter("InitialDate")):
        raise AssertionError("no extended date in the cases of 2.1")


if __name__ == "__main__":
    tap.run([requests_are_the_cases, responses_are_the_cases, cases_in_the_second_generation, references_are_used,
             client_plays_the_cases])
