#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Help, manual pages, completion, schema and protocol name the same things."""

import glob
import json
import os
import re
import subprocess

import jsonschema
import yaml

from tap import CTL, TOP, ctl, equal, run

MAN = os.path.join(TOP, "agent/man")
COMPLETION = os.path.join(TOP, "agent/cli/vmcryptctl.bash")

# What the manager does and vmcryptctl --manager does not ask for. Never to grow:
# an operation that is new gets a command.
WITHOUT_COMMAND = {
    "POST /hosts/join": "asked by vmcryptctl host join on the host itself, whose key it needs",
}


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as file:
        return file.read()


def commands():
    """The commands that vmcryptctl --help lists."""
    text = ctl("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    return [line[2:24].split() for line in text.splitlines()]


def options(*command):
    text = ctl(*command, "--help").stdout
    part = re.search(r"\nOptions:\n(.*?)\n\n", text, re.S)
    return re.findall(r"^  (--[a-z-]+)", part[1], re.M) if part else []


def schema():
    return json.loads(read("agent/cli/schema.json"))


def help_exits_with_0():
    for words in [[], *commands(), ["disk"]]:
        result = ctl(*words, "--help")
        equal(result.returncode, 0, words)
        equal(result.stderr, "", words)
        assert all(len(line) <= 100 for line in result.stdout.splitlines() if not line.startswith("Usage:")), words


def commands_are_the_protocol_s():
    lines = re.findall(r"^ \* ([a-z]+(?:\.[a-z-]+)?)\s+(?:read|change)\b", read("agent/host/protocol.h"), re.M)
    equal(sorted(".".join(words) for words in commands()), sorted(lines))


def commands_are_the_schema_s():
    names = {".".join(words) for words in commands()}
    definitions = schema()["$defs"]
    jsonschema.Draft202012Validator.check_schema(schema())
    equal(names - set(definitions), set())
    equal({name for name in definitions if "." in name} - names, set())


def every_field_is_described():
    def walk(node, where):
        for name, field in node.get("properties", {}).items():
            target = field
            if "$ref" in field and "description" not in field:
                target = definitions[field["$ref"].split("/")[-1]]
            assert target.get("description"), f"{where}.{name}"
            walk(field, f"{where}.{name}")
        if isinstance(node.get("items"), dict):
            walk(node["items"], where + "[]")

    definitions = schema()["$defs"]
    for name, definition in definitions.items():
        assert definition.get("description"), name
        walk(definition, name)


def man_page_has_every_command_and_option():
    page = read("agent/man/vmcryptctl.8").replace("\\-", "-")
    for words in commands():
        assert " ".join(words) in page, words
        for option in options(*words):
            assert option in page, (words, option)


def man_pages_are_clean():
    pages = sorted(os.listdir(MAN))
    assert len(pages) >= 5
    for name in pages:
        path = os.path.join(MAN, name)
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], stdout=subprocess.PIPE, check=False)
        equal(lint.stdout.decode(), "", name)
        warned = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True,
                                env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
        equal(warned.stderr.decode(), "", name)


def completed(*words):
    script = ('. "$1"; shift; COMP_WORDS=(vmcryptctl "$@"); COMP_CWORD=$#; COMPREPLY=()\n'
              '_vmcryptctl; printf "%s\\n" "${COMPREPLY[@]}"')
    output = subprocess.run(["bash", "-c", script, "bash", COMPLETION, *words], stdout=subprocess.PIPE, check=True,
                            text=True, timeout=60,
                            env={**os.environ, "PATH": os.path.dirname(CTL) + ":" + os.environ["PATH"]}).stdout
    return sorted(output.split())


def completion_knows_every_command():
    every = commands()
    equal(completed(""), sorted({words[0] for words in every}))
    for noun in {words[0] for words in every if len(words) > 1}:
        equal(completed(noun, ""), sorted(words[1] for words in every if words[0] == noun))
    for words in every:
        assert set(options(*words)) <= set(completed(*words, "--")), words


def completion_knows_values():
    equal(completed("disk", "att"), ["attach"])
    equal(completed("--json", "k"), ["key"])
    equal(completed("provider", "create", ""), ["native"])
    equal(completed("disk", "attach", "/dev/x", "n", "--key-loss", ""), ["error", "queue"])
    equal(completed("disk", "create", "--key-bits", "5"), ["512"])
    assert "--key-size" not in completed("disk", "export-key", "--")


def manager_commands():
    text = ctl("--manager", "https://localhost", "--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    return [line[2:24].split() for line in text.splitlines()]


def manager_s_page_has_every_command_and_option():
    page = read("agent/man/vmcryptctl-manager.8").replace("\\-", "-")
    assert len(manager_commands()) > 10
    for words in manager_commands():
        assert " ".join(words) in page, words
        for option in options("--manager", "https://localhost", *words):
            assert option in page, (words, option)


def completion_knows_the_manager_s_commands():
    every = manager_commands()
    equal(completed("--manager", "https://localhost", ""), sorted({words[0] for words in every}))
    equal(completed("--manager", "https://localhost", "vm", ""),
          sorted(words[1] for words in every if words[0] == "vm"))
    for words, choices in ((("provider", "create", ""), ["native", "standard"]),
                           (("provider", "create", "--type", "s"), ["standard"]),
                           (("event", "export", "--format", ""), ["csv", "json"]),
                           (("disk", "attach", "d", "/dev/x", "n", "--key-loss", "q"), ["queue"]),
                           # names that only the manager knows
                           (("provider", "show", ""), [])):
        equal(completed("--manager", "https://localhost", *words), choices, words)


def both_take_the_same_words():
    """With and without a manager, whichever of the two somebody learned first."""
    manager = ("--manager", "https://localhost:1", "--certificate", "/dev/null")
    for words in (("provider", "create", "native", "n"), ("provider", "create", "n", "--type", "native"),
                  ("provider", "check", "n"), ("provider", "status", "n"), ("event", "list", "--follow"),
                  ("event", "list", "--limit", "3")):
        for where in ("--socket", "/nonexistent/socket"), manager:
            result = ctl(*where, *words)
            equal(result.returncode, 1, (words, result.stderr))  # understood, but nobody is there


def every_operation_of_the_manager_has_a_command():
    sources = "".join(read(path) for path in sorted(glob.glob(os.path.join(TOP, "agent/cli/manager_*.c"))))
    routes = {re.sub(r"{[a-z]+}", "{}", route) for route in re.findall(r'\.route = "([^"]+)"', sources)}
    paths = yaml.safe_load(read("agent/manager/openapi.yaml"))["paths"]
    operations = {re.sub(r"{[a-z]+}", "{}", f"{method.upper()} {path}") for path, item in paths.items()
                  for method in item if method in ("get", "post", "put", "patch", "delete")}
    assert len(operations) > 50, operations
    equal(routes - operations, set(), "commands that ask for what the manager does not do")
    equal(operations - routes, set(WITHOUT_COMMAND), "operations without a command")


run([every_operation_of_the_manager_has_a_command, manager_s_page_has_every_command_and_option, completion_knows_the_manager_s_commands,
     both_take_the_same_words, help_exits_with_0, commands_are_the_protocol_s, commands_are_the_schema_s, every_field_is_described,
     man_page_has_every_command_and_option, man_pages_are_clean, completion_knows_every_command,
     completion_knows_values])
