"""The part of SpEL that our pipelines use, read strictly: anything else raises, where Orca would skip a stage without a word."""

import re
from collections.abc import Callable, Mapping
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>\d+)|(?P<name>#?[A-Za-z_]\w*)|(?P<op>\?:|&&|\|\||==|!=|>=|[!?:+()\[\],.]))"
)


class SpelError(Exception):
    """Not what this reader knows, or a null where something is needed."""


def evaluate(expression: str, variables: Mapping[str, Any], status: Callable[[str], str]) -> Any:
    """The value of an expression without ``${}``; ``status`` gives a stage's by its name."""
    tokens = _tokens(expression)
    reader = _Reader(tokens, variables, status)
    value = reader.ternary()
    if reader.at < len(tokens):
        raise SpelError(f"left over: {tokens[reader.at :]}")
    return value


def interpolate(value: Any, variables: Mapping[str, Any]) -> Any:
    """Nested values with each ``${…}`` in their texts evaluated."""
    if isinstance(value, str):
        return re.sub(r"\$\{((?:'[^']*'|[^}'])*)\}", lambda found: str(evaluate(found[1], variables, _no_stage)), value)
    if isinstance(value, Mapping):
        return {key: interpolate(child, variables) for key, child in value.items()}
    return [interpolate(child, variables) for child in value] if isinstance(value, list) else value


def _no_stage(name: str) -> str:
    raise SpelError(f"no stage here: {name}")


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    while at < len(expression.rstrip()):
        found = _TOKEN.match(expression, at)
        if found is None:
            raise SpelError(f"cannot read {expression[at:]!r}")
        tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
        at = found.end()
    return tokens


class _Reader:
    # Both sides of && and || are read and evaluated: the few places where null must not be touched are ternaries, and lazy.
    def __init__(self, tokens: list[tuple[str, str]], variables: Mapping[str, Any], status: Callable[[str], str]) -> None:
        self.tokens, self.at, self.variables, self.status = tokens, 0, variables, status
        self.idle = False

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise SpelError(f"expected {wanted!r}, found {token!r}")
        self.at += 1
        return token

    def only_if(self, alive: bool, read: Callable[[], Any]) -> Any:
        before, self.idle = self.idle, self.idle or not alive
        try:
            return read()
        finally:
            self.idle = before

    def ternary(self) -> Any:
        value = self.either()
        if self.peek() == "?:":
            self.take()
            other = self.only_if(not value, self.ternary)
            return value or other
        if self.peek() != "?":
            return value
        self.take()
        yes = self.only_if(bool(value), self.ternary)
        self.take(":")
        no = self.only_if(not value, self.ternary)
        return yes if value else no

    def either(self) -> Any:
        value = self.both()
        while self.peek() == "||":
            self.take()
            value = self.both() or value
        return value

    def both(self) -> Any:
        value = self.compared()
        while self.peek() == "&&":
            self.take()
            value = self.compared() and value
        return value

    def compared(self) -> Any:
        left = self.sum()
        operator = self.peek()
        if operator not in ("==", "!=", ">=", "matches"):
            return left
        self.take()
        right = self.sum()
        if self.idle:
            return None
        if operator == "matches":
            if left is None:
                raise SpelError("null matches nothing")
            return re.fullmatch(right, left) is not None
        return {"==": left == right, "!=": left != right, ">=": operator == ">=" and left >= right}[operator]

    def sum(self) -> Any:
        value = self.unary()
        while self.peek() == "+":
            self.take()
            value += self.unary()
        return value

    def unary(self) -> Any:
        if self.peek() == "!":
            self.take()
            return not self.unary()
        return self.postfix(self.primary())

    def primary(self) -> Any:
        kind = self.tokens[self.at][0] if self.at < len(self.tokens) else ""
        token = self.take()
        if token == "(":
            value = self.ternary()
            self.take(")")
            return value
        if kind == "text":
            return token[1:-1].replace("''", "'")
        if kind == "number":
            return int(token)
        if token == "#stage":
            self.take("(")
            name = self.take()[1:-1]
            for wanted in (")", "[", "'status'", "]", ".", "toString", "(", ")"):
                self.take(wanted)
            return self.status(name)
        if token in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[token]
        if kind != "name" or token not in self.variables:
            raise SpelError(f"unknown: {token}")
        return self.variables[token]

    def postfix(self, value: Any) -> Any:
        while self.peek() in ("[", "."):
            if self.take() == "[":
                key = self.take()[1:-1]
                self.take("]")
                value = self.child(value, key)
            elif self.peek() == "substring":
                self.take()
                self.take("(")
                start = int(self.take())
                self.take(",")
                end = int(self.take())
                self.take(")")
                value = value if self.idle else value[start:end]
            else:
                value = self.child(value, self.take())
        return value

    def child(self, value: Any, key: str) -> Any:
        if self.idle:
            return None
        if value is None:
            raise SpelError(f"null has no {key}")
        return value.get(key)
