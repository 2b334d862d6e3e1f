# SPDX-License-Identifier: Apache-2.0
"""Answers as no honest provider gives them: the dialect's own, with some of what it says made odd. The same for the same seed."""
import json
import random
import re

HUGE_BYTES = 17 << 20  # more than any caller reads of one answer
DEEP = 100000
ODD = "../../x'\"$(id)\n%s\u00e9\u202e"
FAR = "9999-12-31T23:59:59Z"

LEAF = {
    "null": lambda v: None,
    "text": lambda v: v if isinstance(v, str) else str(v),
    "number": lambda v: 7,
    "negative": lambda v: -abs(v) - 1 if isinstance(v, (int, float)) and not isinstance(v, bool) else v,
    "large": lambda v: 1e300 if isinstance(v, float) else 2**62 if isinstance(v, int) and not isinstance(v, bool) else v,
    "nested": lambda v: {"x": [v]},
    "odd": lambda v: ODD if isinstance(v, str) else v,
    "long": lambda v: v * (100000 // (len(v) + 1)) if isinstance(v, str) else v,
    "far": lambda v: FAR if isinstance(v, str) and re.match(r"\d{4}-\d\d-\d\d", v) else v,
    "past": lambda v: "1970-01-01T00:00:01Z" if isinstance(v, str) and re.match(r"\d{4}-\d\d-\d\d", v) else v,
}
WHOLE = ("twice", "emptied", "deep", "huge", "nan", "stateless")
STATES = {"status", "state", "provisioningState", "actual_status", "vm_state", "OS-EXT-STS:vm_state"}
KINDS = (*LEAF, *WHOLE)


def _walk(value, change):
    if isinstance(value, dict):
        return {k: _walk(v, change) for k, v in value.items()}
    if isinstance(value, list):
        return [_walk(v, change) for v in value]
    return change(value)


def _lists(value, change):
    if isinstance(value, dict):
        return {k: _lists(v, change) for k, v in value.items()}
    if isinstance(value, list):
        return change([_lists(v, change) for v in value])
    return value


def _new_state(value):
    """A state of which nobody has heard yet."""
    if isinstance(value, dict):
        return {k: "quantum" if k in STATES and isinstance(v, str) else _new_state(v) for k, v in value.items()}
    return [_new_state(v) for v in value] if isinstance(value, list) else value


def _json(body, kind, seed):
    value = json.loads(body)
    if kind in LEAF:
        dice = random.Random(seed)
        value = _walk(value, lambda v: LEAF[kind](v) if seed == 0 or dice.random() < 0.3 else v)
    elif kind == "stateless":
        value = _new_state(value)
    elif kind == "twice":
        value = _lists(value, lambda v: v + v)
    elif kind == "emptied":
        value = {}
    elif kind == "huge":
        return json.dumps({**value, "pad": "x" * HUGE_BYTES}).encode()
    elif kind == "deep":
        return json.dumps(value)[:-1].encode() + b', "pad": ' + b"[" * DEEP + b"]" * DEEP + b"}"
    elif kind == "nan":
        return re.sub(rb"(?<=[ :])\d+(\.\d+)?(?=[,}\]])", b"NaN", json.dumps(value).encode())
    return json.dumps(value).encode()


def _xml(body, kind, seed):
    text = body.decode()
    dice = random.Random(seed)
    leaf = {"null": "", "text": "word", "number": "7", "negative": "-1", "large": "9" * 40, "nested": "<x><y>1</y></x>", "odd": "../../x'$(id) %s \u202e",
            "long": "x" * 100000, "far": FAR, "past": "1970-01-01T00:00:01Z", "nan": "NaN"}
    if kind in ("far", "past"):
        text = re.sub(r">\d{4}-\d\d-\d\dT[^<]*<", f">{leaf[kind]}<", text)
    elif kind in leaf:
        text = re.sub(r">([^<>]+)</", lambda m: f">{leaf[kind]}</" if seed == 0 or dice.random() < 0.3 else m.group(0), text)
    elif kind == "stateless":
        text = re.sub(r"<instanceState>.*?</instanceState>", "<instanceState><code>quantum</code><name>quantum</name></instanceState>", text, flags=re.S)
    elif kind == "twice":
        text = re.sub(r"<(reservationSet|spotPriceHistorySet|instanceTypeOfferingSet)>(.*)</\1>", r"<\1>\2\2</\1>", text, flags=re.S)
    elif kind == "emptied":
        text = re.sub(r"(<\w+Response[^>]*>).*(</\w+Response>)", r"\1\2", text, flags=re.S)
    elif kind == "huge":
        text = text.replace("</requestId>", "</requestId><pad>" + "x" * HUGE_BYTES + "</pad>")
    elif kind == "deep":
        text = text.replace("</requestId>", "</requestId>" + "<p>" * 1000 + "</p>" * 1000)
    return text.encode()


def twist(body, content_type, kind, seed):
    if kind not in KINDS:
        raise ValueError(f"there is no kind '{kind}' of odd answer; there are: {', '.join(KINDS)}")
    return _xml(body, kind, seed) if "xml" in content_type else _json(body, kind, seed)
