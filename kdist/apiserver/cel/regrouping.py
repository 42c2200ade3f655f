"""Long sums, ``a + b + c + ...``, as balanced ones: the parser goes no deeper than 32 operators.

``+`` is associative for texts, lists and times, which long sums are made of. Only sums are touched in which no
other operator of their rank stands; everything else stays as it is.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<text>[rRbB]{0,2}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<number>(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)[uU]?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<operator>\|\||&&|[<>=!]=|[-+*/%<>!?:.,()\[\]{}])
    |(?P<other>\s+|//[^\n]*|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_LOWER = frozenset({"||", "&&", "<", ">", "<=", ">=", "==", "!=", "?", ":", ","})
_GROUP = 8


def regrouped(expression: str) -> str:
    """The expression with its long sums in parentheses; the same text when there are none."""
    tokens = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(expression)]
    text, _ = _sequence(tokens, 0)
    return text


def _sequence(tokens: list[tuple[str, str]], at: int) -> tuple[str, int]:
    """Everything up to the closing bracket, with its sums regrouped; and the place of that bracket."""
    done: list[str] = []
    terms: list[str] = [""]
    pure, previous = True, ""
    while at < len(tokens):
        kind, token = tokens[at]
        if kind == "operator" and token in ")]}":
            break
        if kind == "operator" and token in "([{":
            inner, at = _sequence(tokens, at + 1)
            closing = tokens[at][1] if at < len(tokens) else ""
            terms[-1] += token + inner + closing
        elif (kind == "operator" and token in _LOWER) or (kind, token) == ("name", "in"):
            optional = token == "?" and previous in ("", ".", "[", "{", ",")
            if optional:
                terms[-1] += token
            else:
                done += [_sum(terms, pure), token]
                terms, pure = [""], True
        elif kind == "operator" and token == "+":
            terms.append("")
        else:
            follows_value = bool(previous) and (previous[0].isalnum() or previous[0] in "_)]}\"'")
            binary_minus = token == "-" and follows_value
            pure = pure and not (kind == "operator" and binary_minus)
            terms[-1] += token
        if kind != "other":
            previous = token if token not in "([{" or kind != "operator" else ")"
        at += 1
    return "".join([*done, _sum(terms, pure)]), at


def _sum(terms: list[str], pure: bool) -> str:
    if not pure or len(terms) <= _GROUP:
        return "+".join(terms)
    while len(terms) > _GROUP:
        groups = [terms[at : at + _GROUP] for at in range(0, len(terms), _GROUP)]
        terms = [f"({'+'.join(group)})" if len(group) > 1 else group[0] for group in groups]
    return "+".join(terms)
