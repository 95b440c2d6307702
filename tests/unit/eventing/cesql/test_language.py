"""CESQL by the areas of its conformance kit (cloudevents/spec, cesql/cesql_tck): a table each."""

from __future__ import annotations

from typing import Any

import pytest

from eventing.cesql import EvaluationError, ParseError, Value, parse

EVENT = {"id": "7", "source": "https://example.com/a", "type": "com.example.made", "specversion": "1.0"}


def worth(expression: str, **attributes: str) -> Value:
    return parse(expression)({**EVENT, **attributes})


def same(found: Value, expected: Value) -> bool:
    """Python takes 1 for True."""
    return found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        # literals
        ("TRUE", True),
        ("False", False),
        ("0", 0),
        ("+7", 7),
        ("007", 7),
        ("2147483647", 2147483647),
        ("-2147483648", -2147483648),
        ("''", ""),
        ("'Grüße'", "Grüße"),
        ('"Don\'t"', "Don't"),
        (r"'Don\'t'", "Don't"),
        (r'"a \"quoted\" word"', 'a "quoted" word'),
        (r"'C:\dir'", "C:\\dir"),
        ("'two\nlines'", "two\nlines"),
        # negation
        ("-5", -5),
        ("- 5", -5),
        ("--5", 5),
        ("-'5'", -5),
        ("-TRUE", -1),
        ("-(2 + 3)", -5),
        ("-(-2147483647 - 1)", -2147483648),
        # not
        ("NOT FALSE", True),
        ("NOT 'true'", False),
        ("NOT 0", True),
        ("not not TRUE", True),
        ("NOT (1 = 2)", True),
        # arithmetic
        ("7 - 2 - 1", 4),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("20 / 2 * 5", 50),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 / -2", -3),
        ("-7 / -2", 3),
        ("7 % 3", 1),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ("'4' + '2'", 6),
        ("1 + TRUE", 2),
        ("2147483647 + 1", -2147483648),
        ("65536 * 65536", 0),
        # comparisons
        ("1 = 1", True),
        ("1 = 2", False),
        ("'a' = 'a'", True),
        ("'a' = 'A'", False),
        ("TRUE = TRUE", True),
        ("'1' = 1", True),
        ("1 = '1'", True),
        ("1 = '01'", False),
        ("'yes' != 'no'", True),
        ("1 <> 1", False),
        ("'True' = TRUE", True),
        ("TRUE = 'True'", False),
        ("'10' > '9'", True),
        ("1 < 2", True),
        ("2 <= 2", True),
        ("3 >= 4", False),
        ("1 < 2 = TRUE", True),
        # logic
        ("TRUE AND FALSE", False),
        ("FALSE OR TRUE", True),
        ("TRUE XOR TRUE", False),
        ("TRUE XOR FALSE", True),
        ("'true' AND 1", True),
        ("FALSE AND 1 / 0 = 1", False),
        ("TRUE OR 1 / 0 = 1", True),
        ("FALSE AND TRUE OR TRUE", False),
        ("(FALSE AND TRUE) OR TRUE", True),
        # like
        ("'abc' LIKE 'abc'", True),
        ("'abc' LIKE 'ab'", False),
        ("'abc' LIKE 'a%'", True),
        ("'abc' LIKE '%c'", True),
        ("'abc' LIKE '%b%'", True),
        ("'' LIKE '%'", True),
        ("'' LIKE '_'", False),
        ("'abc' LIKE '_b_'", True),
        ("'a.c' LIKE 'a.c'", True),
        ("'abc' LIKE 'a.c'", False),
        ("'abab' LIKE '%ab'", True),
        ("'aXbXc' LIKE 'a%X_'", True),
        ("'a\nb' LIKE 'a%b'", True),
        (r"'50%' LIKE '50\%'", True),
        (r"'500' LIKE '50\%'", False),
        (r"'a_c' LIKE 'a\_c'", True),
        (r"'abc' LIKE 'a\_c'", False),
        (r"'a\b' LIKE 'a\b'", True),
        ("'abc' NOT LIKE 'b%'", True),
        ("NOT 'true' LIKE 'f%'", True),  # (NOT 'true') LIKE 'f%'
        ("123 LIKE '1_3'", True),
        ("TRUE LIKE 't%'", True),
        # in
        ("1 IN (3, 2, 1)", True),
        ("1 IN ('1')", True),
        ("'1' IN (1, 2)", True),
        ("'a' IN ('b', 'c')", False),
        ("'a' NOT IN ('b', 'c')", True),
        ("TRUE IN ('true')", True),
        ("1 IN (1, 'x')", True),  # what comes after is not looked at
        ("1 + 1 IN (2)", 1),  # 1 + (1 IN (2))
        # casting functions
        ("INT('-12')", -12),
        ("INT('00000000000000000012')", 12),
        ("INT(TRUE)", 1),
        ("BOOL('FALSE')", False),
        ("BOOL(-3)", True),
        ("BOOL(0)", False),
        ("STRING(FALSE)", "false"),
        ("STRING(-3)", "-3"),
        ("IS_INT('12')", True),
        ("IS_INT('x')", False),
        ("IS_BOOL('True')", True),
        ("IS_BOOL('x')", False),
        # string functions
        ("LENGTH('Grüße')", 5),
        ("LENGTH(100)", 3),
        ("CONCAT()", ""),
        ("CONCAT('a', 1, TRUE)", "a1true"),
        ("CONCAT_WS('-', 'a', 'b')", "a-b"),
        ("CONCAT_WS('-')", ""),
        ("LOWER('ÄbC')", "äbc"),
        ("UPPER('äbC')", "ÄBC"),
        ("TRIM('\t a b \u3000')", "a b"),
        ("TRIM('\x1fa')", "\x1fa"),
        ("LEFT('abc', 2)", "ab"),
        ("LEFT('abc', 9)", "abc"),
        ("RIGHT('abc', 2)", "bc"),
        ("RIGHT('abc', 0)", ""),
        ("RIGHT('abc', 9)", "abc"),
        ("SUBSTRING('abcdef', 3)", "cdef"),
        ("SUBSTRING('abcdef', -2)", "ef"),
        ("SUBSTRING('abcdef', 0)", ""),
        ("SUBSTRING('abcdef', 6)", "f"),
        ("SUBSTRING('abcdef', 2, 3)", "bcd"),
        ("SUBSTRING('abcdef', -3, 2)", "de"),
        ("SUBSTRING('abcdef', 5, 9)", "ef"),
        ("SUBSTRING('abcdef', 2, 0)", ""),
        # integer functions
        ("ABS(-7)", 7),
        ("ABS('7')", 7),
        # names of functions and keywords, in any case
        ("length('ab') = 2 aNd 'a' lIkE 'A' oR tRuE", True),
    ],
)
def test_values(expression: str, value: Value) -> None:
    assert same(worth(expression), value)


@pytest.mark.parametrize(
    ("expression", "attributes", "value"),
    [
        ("id", {}, "7"),
        ("ID", {}, "7"),
        ("time", {"time": "2018-04-05T17:31:00Z"}, "2018-04-05T17:31:00Z"),
        ("count", {"count": "12"}, "12"),
        ("count + 1", {"count": "12"}, 13),
        ("urgent", {"urgent": "true"}, "true"),
        ("NOT urgent", {"urgent": "true"}, False),
        ("1st", {"1st": "x"}, "x"),
        ("EXISTS id", {}, True),
        ("EXISTS subject", {}, False),
        ("EXISTS Subject", {"subject": ""}, True),
        ("NOT EXISTS subject", {}, True),
        ("EXISTS subject AND subject = 'x'", {}, False),
        ("INT(hop) < INT(ttl) AND INT(hop) < 1000", {"hop": "5", "ttl": "10"}, True),
        ("hop < ttl", {"hop": "5", "ttl": "10"}, True),
        ("sequence = 5", {"sequence": "0005"}, True),
        ("a = 'x' OR b = 'x'", {"a": "y", "b": "x"}, True),
        ("a = 'x' OR b = 'x'", {"a": "x"}, True),
        # what the other filter dialects say
        ("source LIKE 'https://%'", {}, True),
        ("type LIKE '%.unmade'", {}, False),
        ("id = '7'", {}, True),
        ("(id = '7' AND type LIKE '%.made') OR (id = '8' AND source LIKE 'http:%')", {}, True),
        ("(id = '8' OR type LIKE '%.made') AND (id = '7' OR source LIKE 'http:%')", {}, True),
        ("NOT (id = '7')", {}, False),
    ],
)
def test_attributes(expression: str, attributes: dict[str, str], value: Value) -> None:
    assert same(worth(expression, **attributes), value)


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("missing", "missingAttribute"),
        ("missing = 'x'", "missingAttribute"),
        ("missing != 'x'", "missingAttribute"),
        ("missing LIKE '%'", "missingAttribute"),
        ("missing IN ('x')", "missingAttribute"),
        ("'x' IN (missing)", "missingAttribute"),
        ("NOT missing", "missingAttribute"),
        ("-missing", "missingAttribute"),
        ("missing / 0", "missingAttribute"),
        ("UPPER(missing)", "missingAttribute"),
        ("FALSE OR missing = 'x'", "missingAttribute"),
        ("TRUE AND missing", "missingAttribute"),
        ("TRUE XOR missing", "missingAttribute"),
        ("INT('x')", "cast"),
        ("INT('')", "cast"),
        ("INT(' 1')", "cast"),
        ("INT('1_000')", "cast"),
        ("INT('²')", "cast"),
        ("INT('2147483648')", "cast"),
        ("BOOL('yes')", "cast"),
        ("NOT 'x'", "cast"),
        ("'x' AND TRUE", "cast"),
        ("'x' < 1", "cast"),
        ("'x' = 1", "cast"),
        ("1 IN ('x', 1)", "cast"),
        ("NOT id = '7' AND 'x'", "cast"),  # (NOT id) = '7'
        ("5 / 0", "math"),
        ("5 % 0", "math"),
        ("TRUE AND 5 / 0 = 1", "math"),
        ("ABS(-2147483648)", "math"),
        ("LEFT('abc', -1)", "functionEvaluation"),
        ("RIGHT('abc', -1)", "functionEvaluation"),
        ("SUBSTRING('abc', 4)", "functionEvaluation"),
        ("SUBSTRING('abc', -4)", "functionEvaluation"),
        ("SUBSTRING('abc', 9, 1)", "functionEvaluation"),
        ("SUBSTRING('abc', 1, -1)", "functionEvaluation"),
    ],
)
def test_what_has_no_value(expression: str, kind: str) -> None:
    wanted = parse(expression)
    with pytest.raises(EvaluationError) as refused:
        wanted({**EVENT, "id": "x"})
    assert refused.value.kind == kind


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "at 1: the end stands where a value should"),
        ("id =", "at 5: the end stands where a value should"),
        ("= 'x'", "at 1: = stands where a value should"),
        ("id 'x'", "at 4: 'x' stands where the end should"),
        ("(id = 'x'", "at 10: the end stands where ) should"),
        ("id = 'x')", "at 9: ) stands where the end should"),
        ("1 -1", "at 3: -1 stands where the end should"),
        ("id == 'x'", "at 5: = stands where a value should"),
        ("id = 'x", 'at 6: "\'x" begins nothing'),
        ("id & type", "at 4: '& type' begins nothing"),
        ("my_id = 'x'", "at 1: 'my_id' is no attribute's name"),
        ("EXISTS 'x'", "at 8: 'x' stands where an attribute should"),
        ("EXISTS LENGTH('x')", "at 14: ( stands where the end should"),
        ("id LIKE type", "at 9: type stands where a quoted text should"),
        ("id NOT = 'x'", "at 8: = stands where LIKE or IN should"),
        ("id IN 'x'", "at 7: 'x' stands where ( should"),
        ("id IN ()", "at 8: ) stands where a value should"),
        ("id IN ('x',)", "at 12: ) stands where a value should"),
        ("id IN ('x'", "at 11: the end stands where ) should"),
        ("2147483648", "at 1: '2147483648' is no integer of 32 bits"),
        ("-2147483649", "at 1: '-2147483649' is no integer of 32 bits"),
        ("TRUE AND NOPE('x')", "at 10: there is no function NOPE of 1 arguments"),
        ("LENGTH()", "at 1: there is no function LENGTH of 0 arguments"),
        ("SUBSTRING('x', 1, 2, 3)", "at 1: there is no function SUBSTRING of 4 arguments"),
        ("CONCAT_WS()", "at 1: there is no function CONCAT_WS of 0 arguments"),
        ("f1('x')", "at 1: there is no function F1 of 1 arguments"),
    ],
)
def test_what_is_no_expression(text: str, reason: str) -> None:
    with pytest.raises(ParseError) as refused:
        parse(text)
    assert str(refused.value).startswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 500 + "1" + ")" * 500,
        "NOT " * 5000 + "TRUE",
        " + ".join(["1"] * 5000),
        " OR ".join(["id = 'x'"] * 5000),
        "id" + " LIKE 'x'" * 5000,
        "LENGTH(" * 500 + "''" + ")" * 500,
    ],
)
def test_what_would_take_the_stack_is_refused_before_it_does(text: str) -> None:
    with pytest.raises(ParseError, match="more than 150 operations within each other"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" + ".join(["1"] * 70), 70),
        (" OR ".join(["id = 'x'"] * 49), False),
        ("NOT " * 148 + "TRUE", True),
        ("LENGTH(" * 149 + "''" + ")" * 149, 1),
        (f"id IN ({', '.join(str(number) for number in range(5000))})", True),
    ],
)
def test_what_people_write_is_not(text: str, value: Any) -> None:
    assert same(worth(text), value)
