"""Emits gen_commands.h from protocol/schema/commands.fbs and the append-only ids of protocol/api/ids.lock.

A struct or table of the schema that carries `mode` is a command. Its id is taken from the lock file; a new command is
appended there with the next free number and never renumbered. A command that left the schema keeps its line.

    python3 commands.py --schema commands.fbs --lock ids.lock --out gen_commands.h [--extend-lock]

Without --extend-lock a command that the lock does not name is an error that says how to extend it.
"""
import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    name: str
    is_table: bool
    mode: str
    lane: str
    reply: str | None
    line: int


class SchemaError(Exception):
    pass


DECLARATION = re.compile(r"^\s*(struct|table)\s+(\w+)\s*(\([^)]*\)|\([^)]*$)?")
ATTRIBUTE = re.compile(r'^\s*(\w+)\s*:\s*"([^"]*)"\s*$')
KNOWN_ATTRIBUTES = ("mode", "lane", "reply", "payload")
ID_MAX = 65535  # RecordHeader.command is a ushort


def parse_attributes(text: str, where: str) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for part in text.split(","):
        found = ATTRIBUTE.match(part)
        if not found:
            raise SchemaError(f'{where} has attribute `{part.strip()}`; write name: "value"')
        if found.group(1) not in KNOWN_ATTRIBUTES:
            raise SchemaError(f"{where} has unknown attribute {found.group(1)}; there are {', '.join(KNOWN_ATTRIBUTES)}")
        if found.group(1) in attributes:
            raise SchemaError(f"{where} has attribute {found.group(1)} twice")
        attributes[found.group(1)] = found.group(2)
    return attributes


def parse_schema(text: str, path: str) -> list[Command]:
    commands: list[Command] = []
    tables = set()
    for number, line in enumerate(text.splitlines(), 1):
        found = DECLARATION.match(line.split("//")[0])
        if not found:
            continue
        kind, name, attribute_text = found.groups()
        where = f"{path}:{number}: {name}"
        if kind == "table":
            tables.add(name)
        if not attribute_text:
            continue
        if not attribute_text.endswith(")"):
            # Reading on would be easy; a command is one line so that `grep mode` lists all of them.
            raise SchemaError(f"{where} has attributes that go on in the next line; put them into one")
        attributes = parse_attributes(attribute_text[1:-1], where)
        mode = attributes.get("mode")
        if mode not in ("post", "call"):
            raise SchemaError(f'{where} needs mode: "post" or mode: "call", not {mode!r}')
        lane = attributes.get("lane", "command")
        if lane not in ("command", "side"):
            raise SchemaError(f'{where} has lane {lane!r}; it is "command" or "side"')
        if mode == "call" and lane == "side":
            raise SchemaError(f"{where} is a call on the side lane; a reply names a sequence of the command lane, so make it a post")
        if mode == "post" and "reply" in attributes:
            raise SchemaError(f'{where} is a post with a reply; make it mode: "call", or drop the reply')
        if any(command.name == name for command in commands):
            raise SchemaError(f"{where} is declared twice")
        commands.append(Command(name, kind == "table", mode, lane, attributes.get("reply"), number))
    for command in commands:
        if command.reply is not None and command.reply not in tables:
            raise SchemaError(f"{path}:{command.line}: {command.name} has reply {command.reply!r}, and no table has that name")
    if not commands:
        raise SchemaError(f"{path}:1: no struct or table has a mode, so there is no command")
    return commands


def read_lock(path: Path) -> dict[str, int]:
    """The ids by key. Lines are only ever added, so that numbers grow from line to line."""
    ids: dict[str, int] = {}
    last = 0
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        where = f"{path}:{number}"
        fields = line.split("#")[0].split()
        if not fields:
            continue
        if len(fields) != 2 or not fields[1].isdecimal() or not 1 <= int(fields[1]) <= ID_MAX:
            raise SchemaError(f"{where}: `{line.strip()}` is not a key and an id from 1 to {ID_MAX}")
        key, value = fields[0], int(fields[1])
        if key in ids or value in ids.values():
            raise SchemaError(f"{where}: {key} {value} stands in the lock already")
        if value < last:
            raise SchemaError(f"{where}: {key} {value} comes after {last}; the lock is only extended at its end, never edited")
        ids[key] = last = value
    return ids


def assign_ids(commands: list[Command], path: Path, extend: bool, schema: str) -> dict[str, int]:
    ids = read_lock(path)
    missing = [c for c in commands if f"command.{c.name}" not in ids]
    if missing and not extend:
        raise SchemaError(f"{schema}:{missing[0].line}: no id for {missing[0].name} in {path}; run scripts/extend_ids.sh and commit the lock")
    first = max(ids.values(), default=0) + 1
    if first + len(missing) - 1 > ID_MAX:
        raise SchemaError(f"{path}: {len(missing)} more ids do not fit below {ID_MAX}")
    added = {f"command.{command.name}": number for number, command in enumerate(missing, first)}
    if added:
        # Appended, never rewritten: what stands there is a promise to everybody who speaks the protocol.
        before = path.read_text() if path.exists() else ""
        with path.open("a") as out:
            out.write("" if before.endswith("\n") or not before else "\n")
            out.writelines(f"{key} {number}\n" for key, number in added.items())
    ids.update(added)
    return {c.name: ids[f"command.{c.name}"] for c in commands}


def emit(commands: list[Command], ids: dict[str, int]) -> str:
    out = ["// THIS FILE IS GENERATED BY protocol/gen/commands.py FROM protocol/schema/commands.fbs. DO NOT EDIT.",
           "#pragma once", "", '#include "protocol/base/command.h"', '#include "protocol/schema/commands_generated.h"', "",
           "namespace accelmesh {", "", "enum class CommandId : std::uint16_t {"]
    out += [f"  k{c.name} = {ids[c.name]}," for c in commands]
    out += ["};", f"inline constexpr std::uint16_t kGenCommandIdEnd = {max(ids.values()) + 1};", ""]
    for c in commands:
        out += ["template <>", f"struct CommandTraits<wire::{c.name}> {{",
                f"  static constexpr CommandId kId = CommandId::k{c.name};",
                f'  static constexpr const char* kName = "{c.name}";',
                f"  static constexpr CommandMode kMode = CommandMode::k{c.mode.capitalize()};",
                f"  static constexpr CommandLane kLane = CommandLane::k{c.lane.capitalize()};",
                f"  static constexpr bool kIsTable = {str(c.is_table).lower()};", "};"]
    types = ",\n    ".join(f"wire::{c.name}" for c in commands)
    out += ["", "// All of them, for what must cover each (round-trip tests, fuzzers).", "template <template <typename...> typename List>",
            "using GenCommandList = List<", f"    {types}>;"]
    out += ["", "inline std::string_view GenCommandName(std::uint16_t id) {", "  switch (id) {"]
    out += [f'    case {ids[c.name]}: return "{c.name}";' for c in commands]
    out += ['    default: return "unknown";', "  }", "}", "",
            "// Verifies the body and calls handler.On(const wire::X&, record). A handler without an overload for one of",
            "// these commands does not compile.", "template <typename Handler>",
            "Status GenDispatch(const RecordView& record, CommandLane lane, Handler& handler) {",
            "  switch (record.command) {"]
    for c in commands:
        out += [f"    case {ids[c.name]}: return DispatchCommand<wire::{c.name}>(record, lane, handler);"]
    out += ["    default: break;", "  }", "  return UnknownCommand(record);", "}", "", "}  // namespace accelmesh", ""]
    return "\n".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schema", type=Path, required=True)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--extend-lock", action="store_true")
    arguments = parser.parse_args()
    try:
        commands = parse_schema(arguments.schema.read_text(), str(arguments.schema))
        text = emit(commands, assign_ids(commands, arguments.lock, arguments.extend_lock, str(arguments.schema)))
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
