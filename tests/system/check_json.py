#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds lines "#json NAME {...}" on standard input to agent/cli/schema.json."""

import json
import os
import re
import sys

import jsonschema

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WANTED = ["status", "disk.create", "disk.attach", "disk.detach", "disk.lock", "disk.unlock", "disk.list", "key.list"]


def problems(schema, text):
    try:
        value = json.loads(text)
    except ValueError as error:
        return [str(error)]
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(value)]


def main():
    with open(os.path.join(TOP, "agent/cli/schema.json"), encoding="utf-8") as file:
        definitions = json.load(file)["$defs"]
    found = dict(re.findall(r"^#json (\S+) (.*?)\r?$", sys.stdin.read(), re.M))
    failed = False
    print(f"1..{len(WANTED)}")
    for number, name in enumerate(WANTED, 1):
        bad = problems({"$ref": f"#/$defs/{name}", "$defs": definitions}, found.get(name, ""))
        for problem in bad:
            print(f"# {problem}")
        failed |= bool(bad)
        print(f"{'not ' if bad else ''}ok {number} - the output of {name} keeps to the schema")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
