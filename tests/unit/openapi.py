# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manager's answers held against agent/manager/openapi.yaml."""

import json
import os
import re

import jsonschema
import yaml

from tap import TOP, equal

with open(os.path.join(TOP, "agent/manager/openapi.yaml"), encoding="utf-8") as spec:
    API = yaml.safe_load(spec)
SEEN = set()  # (method, path of the description, status) that were answered


def described(method, target):
    """The operation of the description that a request falls under."""
    for pattern, item in API["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), target) and method in item:
            return pattern, item[method]
    return None, None


def validate(schema, answer):
    jsonschema.Draft202012Validator({**schema, "components": API["components"]}).validate(answer)


def check(method, target, status, kind, text):
    """An answer as it came."""
    pattern, operation = described(method.lower(), target.split("?")[0])
    if not operation:
        return
    SEEN.add((method.lower(), pattern, status))
    answers = operation["responses"]
    wanted = answers.get(str(status))
    if wanted is None:
        assert status >= 400, f"{method} {target} answers {status}, which is not described"
        wanted = API["components"]["responses"]["Error"]
    content = wanted.get("content")
    if not content:
        equal(text, "", f"body of {method} {target}")
        return
    assert kind in content, f"{method} {target} answers {kind}"
    if kind == "application/json":
        validate(content[kind]["schema"], json.loads(text))


def check_done(method, pattern, answer):
    """What vmcryptctl --json prints of an answer: all of it."""
    done, = [wanted for status, wanted in API["paths"][pattern][method]["responses"].items() if status.startswith("2")]
    if "content" in done:
        validate(done["content"]["application/json"]["schema"], answer)
    else:
        equal(answer, None, f"answer of {method} {pattern}")
