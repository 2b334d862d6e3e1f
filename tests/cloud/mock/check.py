# SPDX-License-Identifier: Apache-2.0
"""Strict checks of request bodies for the dialects: nothing missing, nothing unknown, every value of its type."""
import re


class Field:
    """kind: str, int, number, bool, object, list. fields: of an object, or of a list's objects; None: any."""

    def __init__(self, kind, required=False, enum=None, pattern=None, low=None, high=None, fields=None, items=None,
                 nullable=False):
        self.kind = kind
        self.required = required
        self.enum = enum
        self.pattern = re.compile(pattern) if pattern else None
        self.low = low
        self.high = high
        self.fields = fields
        self.items = items
        self.nullable = nullable


def _is(kind, value):
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, {"str": str, "object": dict, "list": list}[kind])


def problems(value, field, where="body"):
    """What is wrong, as a list of sentences; empty where nothing is."""
    if value is None and field.nullable:
        return []
    if not _is(field.kind, value):
        return [f"{where}: a {field.kind} is wanted"]
    found = []
    if field.enum and value not in field.enum:
        found.append(f"{where}: one of {', '.join(map(str, field.enum))} is wanted")
    if field.pattern and not field.pattern.fullmatch(value):
        found.append(f"{where}: it does not match {field.pattern.pattern}")
    size = len(value) if field.kind in ("str", "list", "object") else value
    if field.kind != "bool" and field.low is not None and size < field.low:
        found.append(f"{where}: less than {field.low}")
    if field.kind != "bool" and field.high is not None and size > field.high:
        found.append(f"{where}: more than {field.high}")
    if field.kind == "object" and field.fields is not None:
        for key in value:
            if key in field.fields:
                found += problems(value[key], field.fields[key], f"{where}.{key}")
            else:
                found.append(f"{where}.{key}: there is no such field")
        found += [f"{where}.{key}: is missing" for key, f in field.fields.items() if f.required and key not in value]
    elif field.kind == "object" and field.items is not None:
        for key in value:
            found += problems(value[key], field.items, f"{where}.{key}")
    if field.kind == "list" and field.items is not None:
        for i, item in enumerate(value):
            found += problems(item, field.items, f"{where}[{i}]")
    return found
