from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.model.ignored import IGNORED
from lab.parse import schema
from lab.parse.topology import KINDS

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "lab" / "schema" / schema.FILE
SCHEMA = schema.schema()
TOPOLOGIES = sorted((ROOT / "topologies").glob("*/lab.yaml"))


def test_the_published_schema_is_the_one_that_the_types_make() -> None:
    assert FILE.read_text(encoding="utf-8") == schema.text(SCHEMA)


def test_the_schema_tells_the_kinds_apart_so_that_an_editor_completes_each() -> None:
    chosen = {one["if"]["properties"]["kind"]["const"]: one["then"]["$ref"] for one in SCHEMA["allOf"]}
    assert chosen == {kind: f"#/$defs/{kind}" for kind in (*KINDS, "List")}
    assert set(SCHEMA["properties"]["kind"]["enum"]) == chosen.keys()


def test_every_reference_has_its_part_and_every_part_its_description() -> None:
    text = json.dumps(SCHEMA)
    names = {piece.partition('"')[0] for piece in text.split('"#/$defs/')[1:]}
    assert names == SCHEMA["$defs"].keys()
    assert all(part["description"] for part in SCHEMA["$defs"].values())


def test_a_part_has_the_fields_of_its_type_those_read_over_and_no_others() -> None:
    pod = SCHEMA["$defs"]["PodSpec"]
    assert pod["additionalProperties"] is False
    assert {"nodeName", "hostNetwork", "containers", "tolerations"} <= pod["properties"].keys()
    assert all(names.isdisjoint(part.__struct_encode_fields__) for part, names in IGNORED.items())


def _unknown(value: object, part: dict[str, Any], path: str = "") -> list[str]:
    """Return the paths of keys that the schema does not know: as much of a validator as a test needs."""
    while "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        part = SCHEMA["$defs"][value["kind"] if name == "#" and isinstance(value, dict) else name]  # an item of a List
    options = part.get("anyOf", [])
    if isinstance(value, dict):
        fitting = [one for one in options if "$ref" in one or one.get("type") == "object"]
        if fitting:
            return _unknown(value, fitting[0], path)
        known = part.get("properties", {})
        wrong = [f"{path}.{key}" for key in value if key not in known and part.get("additionalProperties") is False]
        for key in known.keys() & value.keys():
            wrong += _unknown(value[key], known[key], f"{path}.{key}")
        return wrong
    if isinstance(value, list):
        items: dict[str, Any] = next((one["items"] for one in [part, *options] if "items" in one), {})
        return [one for index, item in enumerate(value) for one in _unknown(item, items, f"{path}[{index}]")]
    return []


@pytest.mark.parametrize("file", TOPOLOGIES, ids=lambda path: path.parent.name)
def test_the_topologies_fit_the_schema_and_tell_an_editor_where_it_is(file: Path) -> None:
    marker, _, place = file.read_text(encoding="utf-8").partition("\n")[0].partition("=")
    assert marker == "# yaml-language-server: $schema"
    assert file.parent.joinpath(place).resolve() == FILE
    for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        assert _unknown(document, {"$ref": f"#/$defs/{document['kind']}"}) == []
    assert _unknown({"spec": {"nods": []}}, {"$ref": "#/$defs/Lab"}) == [".spec.nods"]
