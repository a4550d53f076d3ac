"""Read YAML text into plain values by the YAML 1.2 core rules, and refuse what YAML readers disagree on.

YAML 1.1 reads `010` as 8, `1:30` as 90 and `yes` as true; YAML 1.2 reads 10 and two texts. A file with such a value is
refused with its line and the two ways to write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isinf
from typing import Any, Literal

import yaml

MAX_DEPTH = 32
"""Levels of nesting; an experiment file has about 6."""
MAX_VALUES = 20_000
"""Values in a file, each alias counted with all that it repeats; an experiment file has some hundreds."""
MAX_DIGITS = 18
"""Digits of a whole number, so that it fits into 64 bits."""

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {f"{_TAG}str", f"{_TAG}merge"}
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
)
_SWITCH = re.compile(r"yes|no|on|off", re.IGNORECASE)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_NO_TEXT = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
"""Codes that steer a terminal, and halves of characters, which cannot be written as UTF-8."""


class Refused(ValueError):
    """The text is not such a file; each argument is one fault."""


def plain_values(data: bytes) -> Any:
    """The values of a YAML file. Raises Refused with the faults, yaml.YAMLError if it is not YAML."""
    try:
        loader = _Loader(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refused(f"line {line}: not in UTF-8; save the file as UTF-8") from error
    node = loader.get_single_node()
    if node is None:
        return None
    _count(node, {})
    if loader.faults:
        raise Refused(*loader.faults)
    return loader.construct_document(node)


class _Loader(yaml.SafeLoader):
    """Compose nodes, and collect the faults of keys and scalars with their lines."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - declared so by PyYAML; filled by `_resolve`

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.faults: list[str] = []
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise Refused(f"line {line}: wanted at most {MAX_DEPTH} levels of nesting, found more; nest less deeply")
        if self._nodes > MAX_VALUES:
            raise _too_long()
        tag = getattr(event, "tag", None)  # an alias has none
        if tag not in {None, "!"}:
            self.faults.append(f"line {line}: wanted a plain value, found the tag {tag}; write it without a tag")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode) and node.style is None and not isinstance(event, yaml.AliasEvent):
            self.faults += [f"line {line}: {fault}" for fault in _ambiguities(node.value)]
        if isinstance(node, yaml.ScalarNode) and (found := _NO_TEXT.search(node.value)):
            self.faults.append(f"line {line}: wanted text, found the character {found.group()!a}; leave it out")
        elif isinstance(node, yaml.MappingNode):
            self.faults += _key_faults(node)
        return node


def _ambiguities(text: str) -> Iterator[str]:
    """What is wrong with an unquoted value that is no plain text, number, true, false or null to every reader."""
    if _SWITCH.fullmatch(text):
        meant = "true" if text.lower() in {"yes", "on"} else "false"
        yield f"{text} is {meant} to some YAML readers and text to others; write {meant}, or '{text}' for text"
    elif _LEADING_ZERO.fullmatch(text):
        number = text.replace("_", "").lstrip("+-0") or "0"
        yield f"{text} is octal to some YAML readers and decimal to others; write {number}, or '{text}' for text"
    elif _SEXAGESIMAL.fullmatch(text):
        yield f"{text} is a number of base 60 to some YAML readers and text to others; write '{text}' for text"
    elif _INT.fullmatch(text):
        if len(text.lstrip("+-")) > MAX_DIGITS:
            yield f"wanted a number of at most {MAX_DIGITS} digits, found one of {len(text)}"
    elif _FLOAT.fullmatch(text) and ("n" in text.lower() or isinf(float(text))):
        yield f"wanted a finite number, found {text}"


def _key_faults(node: yaml.MappingNode) -> Iterator[str]:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            found = "list" if isinstance(key, yaml.SequenceNode) else "group"
            yield (
                f"line {line}: wanted a name as key, found a {found} in brackets; "
                "put text with brackets in quotes, as in '{{ x }}'"
            )
        elif key.tag not in _TEXT_TAGS:
            yield f"line {line}: wanted a name as key, found {key.value or 'nothing'}; put it in quotes if it is a name"
        elif key.value in lines:
            yield f"{key.value} appears twice, in lines {lines[key.value]} and {line}; keep one"
        else:
            lines[key.value] = line


def _count(node: yaml.Node, known: dict[yaml.Node, int | Literal["open"]]) -> int:
    """Values below a node, aliases written out. Raises Refused if they are too many, or a node contains itself."""
    found = known.get(node)
    if found == "open":
        line = node.start_mark.line + 1
        raise Refused(f"line {line}: wanted values that end, found an anchor that contains itself; write it out")
    if found is None:
        known[node] = "open"
        found = 1
        if isinstance(node, yaml.MappingNode):
            found += sum(_count(key, known) + _count(value, known) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            found += sum(_count(value, known) for value in node.value)
        if found > MAX_VALUES:
            raise _too_long()
        known[node] = found
    return found


def _too_long() -> Refused:
    return Refused(f"wanted at most {MAX_VALUES:,} values with all aliases written out, found more; use fewer")


def _construct_int(_: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(node.value, 0 if node.value.startswith("0") else 10)


def _construct_float(_: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(node.value)


for _name, _pattern in (("null", _NULL), ("bool", _BOOL), ("int", _INT), ("float", _FLOAT)):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern.pattern})$"), None)
_Loader.add_implicit_resolver(_TAG + "merge", re.compile("<<$"), ["<"])
_Loader.add_constructor(_TAG + "int", _construct_int)
_Loader.add_constructor(_TAG + "float", _construct_float)
