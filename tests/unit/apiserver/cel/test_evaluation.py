"""Expressions and what comes of them, as upstream's server answers."""

from typing import Any

import pytest

from kdist.apiserver.cel import Budget, CompileError, CostExceeded, Environment, EvaluationError, types
from kdist.apiserver.cel.values import NONE, Optional

OBJECT: dict[str, Any] = {
    "name": "web",
    "numbers": [1, 2, 3],
    "labels": {"app": "x", "tier": "y"},
    "a-b": 1,
    "none": None,
}
ENVIRONMENT = Environment({"self": types.DYN})

RESULTS: list[tuple[str, Any]] = [
    # operators
    ("1 + 2 * 3 - 4 / 2 % 2", 7),
    ("-7 / 2", -3),
    ("-7 % 2", -1),
    ("1 < 2.0 && 2u > 1", True),
    ("dyn(1) == 1.0", True),
    ("dyn(1) == true", False),
    ("dyn([1]) == [1.0]", True),
    ("self.missing || true", True),
    ("true || self.missing", True),
    ("self.missing && false", False),
    ("'a' in self.labels ? 1 : 2", 2),
    ("'app' in self.labels", True),
    ("2 in self.numbers", True),
    ("self.labels == {'tier': 'y', 'app': 'x'}", True),
    ("[1, 2] + [3]", [1, 2, 3]),
    ("b'ab' + b'c' == b'abc'", True),
    # presence
    ("has(self.name) && !has(self.missing)", True),
    ("has(self.none)", True),
    ("self.?missing.orValue('d')", "d"),
    ("self.?labels.?app.orValue('d')", "x"),
    ("self.labels[?'app']", Optional("x", True)),
    ("optional.none()", NONE),
    ("self.?name.optMap(n, n + '!').value()", "web!"),
    ("optional.of(1).or(optional.of(2)).value()", 1),
    ("[?self.?missing, 1]", [1]),
    ("{?'a': self.?missing, 'b': 1}", {"b": 1}),
    # macros
    ("self.numbers.all(n, n > 0)", True),
    ("self.numbers.exists(n, n == 2)", True),
    ("self.numbers.exists_one(n, n > 2)", True),
    ("self.numbers.map(n, n * n)", [1, 4, 9]),
    ("self.numbers.map(n, n > 1, n)", [2, 3]),
    ("self.numbers.filter(n, n > 1)", [2, 3]),
    ("self.labels.all(k, self.labels[k].size() == 1)", True),
    ("self.labels.exists(k, v, k == 'app' && v == 'x')", True),
    ("self.numbers.all(i, v, v == i + 1)", True),
    ("self.numbers.transformList(i, v, i > 0, v * 10)", [20, 30]),
    ("self.labels.transformMap(k, v, v + k)", {"app": "xapp", "tier": "ytier"}),
    ("self.labels.transformMapEntry(k, v, {v: k})", {"x": "app", "y": "tier"}),
    ("[[1], [2, 3]].map(l, l.map(x, x + 1))", [[2], [3, 4]]),
    ("self.numbers.exists(n, n / 0 == 1 || n == 3)", True),
    # strings
    ("'hello'.charAt(4) + 'hello'.charAt(5)", "o"),
    ("'hello'.indexOf('l') + 'hello'.indexOf('l', 3) + 'hello'.lastIndexOf('l', 2)", 7),
    ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
    ("'TacoCat'.lowerAscii() + 'é'.upperAscii()", "tacocaté"),
    ("'aaa'.replace('a', 'b', 2)", "bba"),
    ("'hello'.substring(1, 3)", "el"),
    ("'  x '.trim()", "x"),
    ("['a', 'b'].join('-')", "a-b"),
    ("strings.quote('a\"b\\n')", '"a\\"b\\n"'),
    ("'%s %d %.2f %x %o %b %%'.format(['a', 1, 1.5, 255, 8, 5])", "a 1 1.50 ff 10 101 %"),
    ("'%s'.format([[1, 'a', {'k': true}]])", '[1, "a", {"k":true}]'),
    ("'abc'.matches('^a.c$') && 'abc'.startsWith('ab') && 'abc'.endsWith('c') && 'abc'.contains('b')", True),
    ("'abc 123 45'.find('[0-9]+')", "123"),
    ("'abc 123 45'.findAll('[0-9]+')", ["123", "45"]),
    ("'abc 123 45'.findAll('[0-9]+', 1)", ["123"]),
    ("size('αβγ')", 3),
    # lists and sets
    ("[3, 1, 2].isSorted()", False),
    ("['a', 'b'].isSorted()", True),
    ("[1.5, 2.5].sum()", 4.0),
    ("[3, 1].min() + [3, 1].max()", 4),
    ("[1, 2, 1].indexOf(1) + [1, 2, 1].lastIndexOf(1)", 2),
    ("sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && !sets.intersects([1], [2])", True),
    # conversions
    ("int('12') + int(1.9) + int(3u)", 16),
    ("string(1.5) + string(1000000.0) + string(true) + string(-1)", "1.51e+06true-1"),
    ("double('1.5')", 1.5),
    ("bool('true')", True),
    ("type(1) == int && type('a') == string && type(self.numbers) == list && type(self) == map", True),
    ("string(timestamp('2020-01-02T03:04:05.5+01:00'))", "2020-01-02T03:04:05.5+01:00"),
    ("string(duration('1h1m1.5s'))", "3661.5s"),
    ("timestamp('2020-01-01T00:00:00Z') + duration('24h') == timestamp('2020-01-02T00:00:00Z')", True),
    ("timestamp('2020-01-02T03:04:05Z').getDayOfYear()", 1),
    ("timestamp('2020-01-02T03:04:05Z').getHours('+02:00')", 5),
    ("duration('90m').getHours()", 1),
    # quantities
    ("quantity('1Gi').isGreaterThan(quantity('1G'))", True),
    ("quantity('50k').add(quantity('20k')).sub(2000).compareTo(quantity('68000'))", 0),
    ("quantity('1500m').isInteger()", False),
    ("sign(quantity('-1')) == -1", True),
    ("isQuantity('10Mo')", False),
    ("quantity('1.5').asApproximateFloat()", 1.5),
    ("quantity('1Ki').asInteger()", 1024),
    ("quantity('1000m') == quantity('1')", True),
    # addresses
    ("isIP('10.0.0.1') && isIP('::1') && !isIP('010.0.0.1') && !isIP('::ffff:1.2.3.4')", True),
    ("ip('fe80::1').family() == 6 && ip('fe80::1').isLinkLocalUnicast()", True),
    ("ip.isCanonical('2001:DB8::1')", False),
    (
        "ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified() && ip('8.8.8.8').isGlobalUnicast()",
        True,
    ),
    ("cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsIP(ip('10.1.2.3'))", True),
    (
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR('10.0.0.0/8')",
        True,
    ),
    ("string(cidr('10.1.2.3/8').masked()) + ' ' + string(cidr('10.1.2.3/8').ip())", "10.0.0.0/8 10.1.2.3"),
    ("cidr('::/64').prefixLength()", 64),
    ("isCIDR('10.0.0.0/33')", False),
    ("type(ip('::1')) == net.IP", True),
    # urls
    ("url('https://user@h.com:80/p q?k=a&k=b%20c#f').getHost()", "h.com:80"),
    ("url('https://[::1]:80/').getHostname() + url('https://[::1]:80/').getPort()", "::180"),
    ("url('https://h.com/path with spaces/').getEscapedPath()", "/path%20with%20spaces/"),
    ("url('/p?k=a&k=b%20c').getQuery()", {"k": ["a", "b c"]}),
    ("isURL('../x') || isURL('h.com') || isURL(':x')", False),
    # formats
    ("format.dns1123Label().validate('my-name').hasValue()", False),
    ("format.named('dns1123Label').value().validate('A').value().size()", 1),
    ("format.named('x')", NONE),
    ("format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()", False),
    ("format.dns1123LabelPrefix().validate('my-').hasValue()", False),
]

FAILURES: list[tuple[str, str]] = [
    ("self.missing", "no such key: missing"),
    ("self.labels['q']", "no such key: q"),
    ("self.numbers[3]", "index out of bounds: 3"),
    ("1 / 0", "division by zero"),
    ("1 % 0", "modulus by zero"),
    ("9223372036854775807 + 1", "integer overflow"),
    ("self.name + 1", "no such overload"),
    ("self.name.foo", "no such key: foo"),
    ("int(self.name)", "type conversion error from 'string' to 'int'"),
    ("[].max() == 1", "max called on empty list"),
    ("'x'.charAt(2)", "index out of range: 2"),
    ("self.numbers.all(n, n / 0 == 1)", "division by zero"),
]


@pytest.mark.parametrize(("expression", "result"), RESULTS)
def test_result(expression: str, result: Any) -> None:
    value = ENVIRONMENT.compile(expression).evaluate({"self": OBJECT})
    assert value == result and type(value) is type(result)


@pytest.mark.parametrize(("expression", "message"), FAILURES)
def test_failure(expression: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        ENVIRONMENT.compile(expression).evaluate({"self": OBJECT})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("foo", "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo\n | ^"),
        ("1 + 'a'", "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'"),
        ("1 +", "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting"),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        ("duration('1x')", "ERROR: <input>:1:10: invalid duration argument"),
        ("timestamp('1')", "ERROR: <input>:1:11: invalid timestamp argument"),
        ("'a'.matches('(')", "ERROR: <input>:1:13: invalid matches argument"),
        ("quantity(1)", "ERROR: <input>:1:9: found no matching overload for 'quantity' applied to '(int)'"),
        ("int('x')", "program instantiation failed: type conversion error from 'string' to 'int'"),
        (
            "'%d'.format(['a'])",
            "ERROR: <input>:1:14: error during formatting: decimal clause can only be used",
        ),
        (
            "'%z'.format([1])",
            "ERROR: <input>:1:1: could not parse formatting clause: unrecognized formatting",
        ),
        (
            "['a'].sum()",
            "ERROR: <input>:1:10: found no matching overload for 'sum' applied to 'list(string).()'",
        ),
        ("a.b", "ERROR: <input>:1:1: undeclared reference to 'a' (in container '')"),
        ("has(1)", "ERROR: <input>:1:5: invalid argument to has() macro"),
        ("'a' == 1", "ERROR: <input>:1:5: found no matching overload for '_==_' applied to '(string, int)'"),
    ],
)
def test_fault_found_by_the_compiler(expression: str, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(expression)
    assert str(caught.value).removeprefix("compilation failed: ").startswith(message)


@pytest.mark.parametrize(
    "expression",
    [
        "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))",
        "self.map(a, self.map(b, self.map(c, a))).size() > 0",
        "self.map(a, self).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x)"
        ".map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).size() > 0",
        "self.all(x, self.all(y, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.matches('(a+)+$') || true))",
        "self.map(x, self.map(y, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').join('')).join('').size() > 0",
        "self.exists(a, self.exists(b, self.map(c, string(c)).exists(d, self.map(e, e) == self.map(f, f) && false)))",
    ],
)
def test_hostile_expression_is_stopped(expression: str) -> None:
    """No expression outlives its cost limit, whatever it does in each round."""
    program = ENVIRONMENT.compile(expression)
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({"self": list(range(2000))})


def test_budget_is_shared_by_evaluations() -> None:
    program = ENVIRONMENT.compile("self.all(x, x >= 0)")
    _, cost = program.measure({"self": list(range(10))})
    budget = Budget(cost * 2)
    program.evaluate({"self": list(range(10))}, budget)
    program.evaluate({"self": list(range(10))}, budget)
    assert budget.left == 0
    with pytest.raises(CostExceeded):
        program.evaluate({"self": list(range(10))}, budget)


@pytest.mark.parametrize(
    ("expression", "cost"),
    [
        ("true", 0),
        ("self.name", 2),
        ("self.labels.app == 'x'", 4),
        ("has(self.labels.app)", 2),
        ("self.numbers[0] == 1", 4),
        ("self.numbers.all(n, n > 0)", 18),
        ("self.numbers.map(n, n).size() == 3", 44),
        ("'abc'.matches('a')", 1),
        ("true ? self.name : ''", 2),
        ("[1, 2].size() == 2", 2),
        ("[self.name].size() == 1", 14),
    ],
)
def test_cost_is_upstreams(expression: str, cost: int) -> None:
    assert ENVIRONMENT.compile(expression).measure({"self": OBJECT})[1] == cost


def test_variable_is_known_to_be_used() -> None:
    environment = Environment({"self": types.INT, "oldSelf": types.INT})
    assert environment.compile("self >= oldSelf").uses("oldSelf")
    assert not environment.compile("self >= 1").uses("oldSelf")


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("+".join(["self.name"] * 50), "web" * 50),
        ("'a: ' + " + " + ', ' + ".join(["string(1)"] * 40), "a: " + ", ".join(["1"] * 40)),
        ("true ? " + " + ".join(["'a+\\'b'"] * 40) + " : 'b'", "a+'b" * 40),
        ("-1 + " + "+".join(["2"] * 40), 79),
        ("[" + " + ".join(["'x'"] * 40) + "] == [" + "+".join(["'xx'"] * 20) + "]", True),
        ("self.?missing.orValue('') + " + "+".join(["'c'"] * 40), "c" * 40),
    ],
)
def test_long_sums_are_not_too_deep(expression: str, result: Any) -> None:
    assert ENVIRONMENT.compile(expression).evaluate({"self": OBJECT}) == result


def test_deep_expression_is_refused() -> None:
    with pytest.raises(CompileError, match="recursion"):
        ENVIRONMENT.compile("(" * 300 + "1" + ")" * 300)
