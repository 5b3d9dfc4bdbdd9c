"""The JSON Schemas of a topology's documents and of exercise.yaml, for editors, made from the Structs of lab.model.

They lie in lab/schema/; a test compares, `scripts/update-goldens` writes. An editor's YAML server takes it from a first
line such as `# yaml-language-server: $schema=../../lab/schema/hairpin.v1alpha1.json` and applies it to each document.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Struct

from lab.model.address import IPAddress, IPNetwork
from lab.model.exercise import ExerciseFile
from lab.model.ignored import IGNORED
from lab.parse.topology import KINDS
from lab.parse.values import REASONS

FILE = "hairpin.v1alpha1.json"
EXERCISE = "exercise.v1alpha1.json"
_REF = "#/$defs/{name}"
_UNUSED = {"description": "Kubernetes knows this field; Hairpin reads over it."}


def schema() -> dict[str, Any]:
    """Return the schema of one document: an object of one of the kinds, or a List of them."""
    _, parts = msgspec.json.schema_components(KINDS.values(), schema_hook=_address, ref_template=_REF)
    for part in _structs(set(KINDS.values())):
        _close(parts[part.__name__], part)
    versions: set[str] = {"v1"}
    for kind in KINDS:
        versions.update(parts[kind]["properties"]["apiVersion"]["enum"])
        parts[kind]["required"] = ["apiVersion", "kind", *parts[kind].get("required", [])]
        parts[kind]["properties"]["kind"] = {"const": kind}
    parts["List"] = {
        "type": "object",
        "description": "Several objects in one document, as `kubectl get -o yaml` prints them.",
        "required": ["apiVersion", "kind", "items"],
        "properties": {
            "apiVersion": {"const": "v1"},
            "kind": {"const": "List"},
            "items": {"type": "array", "items": {"$ref": "#"}},
        },
    }
    kinds = [*KINDS, "List"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "One document of a Hairpin topology",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": {"enum": sorted(versions)},
            "kind": {"enum": kinds},
        },
        "allOf": [
            {
                "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
                "then": {"$ref": f"#/$defs/{kind}"},
            }
            for kind in kinds
        ],
        "$defs": dict(sorted(parts.items())),
    }


def exercise() -> dict[str, Any]:
    """Return the schema of exercise.yaml."""
    _, parts = msgspec.json.schema_components([ExerciseFile], schema_hook=_address, ref_template=_REF)
    for part in _structs({ExerciseFile}):
        _close(parts[part.__name__], part)
    whole = parts.pop(ExerciseFile.__name__)
    whole["required"] = ["apiVersion", "kind", *whole["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **whole,
        "title": "An exercise of Hairpin",
        "$defs": dict(sorted(parts.items())),
    }


def text(of: dict[str, Any]) -> str:
    """Return a schema as its file holds it."""
    return json.dumps(of, indent=2) + "\n"


def _address(kind: type) -> dict[str, Any]:
    # a UnionType at type-checking time, a class at run time
    if kind == IPAddress:
        either = [{"format": "ipv4"}, {"format": "ipv6"}]
        return {"type": "string", "anyOf": either, "examples": ["10.0.0.1", "fd00::1"]}
    if kind == IPNetwork:
        return {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$", "examples": ["10.244.0.0/16"]}
    raise NotImplementedError(kind)


def _structs(todo: set[type[Struct]]) -> set[type[Struct]]:
    """Return the Structs and all that are part of them."""
    found: set[type[Struct]] = set()
    while todo:
        one = todo.pop()
        found.add(one)
        info = msgspec.inspect.type_info(one)
        todo |= {part for part in _parts(info) if part not in found}
    return found


def _parts(info: Any) -> set[type[Struct]]:
    match info:
        case msgspec.inspect.StructType():
            return {info.cls}.union(*(_parts(field.type) for field in info.fields))
        case msgspec.inspect.UnionType():
            return set().union(*(_parts(one) for one in info.types))
        case msgspec.inspect.VarTupleType():
            return _parts(info.item_type)
    return set()


def _close(part: dict[str, Any], kind: type[Struct]) -> None:
    """Let a part have its fields and those that Hairpin reads over, and no others."""
    part["properties"].update(dict.fromkeys(sorted(IGNORED.get(kind, ())), _UNUSED))
    part["additionalProperties"] = False
    for (owner, name, value), reason in REASONS.items():
        if owner is kind:
            note = part["properties"][name].get("description", "")
            part["properties"][name]["description"] = f"{note} Not {value}: {reason}.".strip()
