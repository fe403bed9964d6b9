//! Expressions that fail when they run, and those that do not compile.

use super::{environment, program, run};
use crate::{Type, compile};

#[test]
fn faults() {
    for (expression, message) in [
        ("1 / 0 == 0", "division by zero"),
        ("1 % 0 == 0", "modulus by zero"),
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        ("-9223372036854775808 - 1 > 0", "integer overflow"),
        ("9223372036854775807 * 2 > 0", "integer overflow"),
        ("-(-9223372036854775808) > 0", "integer overflow"),
        ("-9223372036854775808 / -1 > 0", "integer overflow"),
        ("1u - 2u == 0u", "unsigned integer overflow"),
        ("18446744073709551615u + 1u == 0u", "unsigned integer overflow"),
        ("int(1e20) == 0", "integer overflow"),
        ("uint(-1) == 0u", "unsigned integer overflow"),
        ("int('x') == 0", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("self.tags[3] == 'a'", "index out of bounds: 3"),
        ("self.tags[-1] == 'a'", "index out of bounds: -1"),
        ("self.labels['nope'] == 'a'", "no such key: nope"),
        ("self.missing == 'a'", "no such key: missing"),
        ("self.nothing == 'a'", "no such key: nothing"),
        ("any.zzz == 1", "no such key: zzz"),
        ("any.n.x == 1", "no such key: x"),
        ("any.n + any.s == 1", "no such overload"),
        ("any.n && true", "no such overload"),
        ("1 / 0 == 0 || false", "division by zero"),
        ("false || 1 / 0 == 0", "division by zero"),
        ("[1, 0].all(x, 1 / x > 0)", "division by zero"),
        ("[0].exists_one(x, 1 / x > 0)", "division by zero"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("{'a': 1, 'a': 2}.size() == 1", "insert failed: key a already exists"),
        ("[].min() == 1", "min called on empty list"),
        ("'abc'.charAt(4) == ''", "index out of range: 4"),
        ("'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1"),
        (
            "'%d'.format(['a']) == ''",
            "error during formatting: decimal clause can only be used on numbers, was given string",
        ),
        ("timestamp('9999-12-30T21:59:59Z') + duration('24h') > self.started", "timestamp overflow"),
        ("duration(9223372036854775807) + duration('1s') > self.wait", "duration overflow"),
        ("quantity('0.5').asInteger() == 1", "cannot convert value to integer"),
        ("string(b'\\xff') == ''", "invalid UTF-8 in bytes, cannot convert to string"),
        ("self.started.getHours('Nowhere/City') == 1", "unknown time zone Nowhere/City"),
    ] {
        let found = run(expression, 1_000_000, |outcome| outcome.result.as_ref().err().map(ToString::to_string));
        assert_eq!(found, Ok(Some(message.to_owned())), "{expression}");
    }
}

#[test]
fn what_does_not_compile() {
    for (expression, message) in [
        ("x.y", "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x.y\n | ^"),
        ("1 + x", "ERROR: <input>:1:5: undeclared reference to 'x' (in container '')\n | 1 + x\n | ....^"),
        ("self.nope", "ERROR: <input>:1:5: undefined field 'nope'\n | self.nope\n | ....^"),
        (
            "1 + 'a'",
            "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^",
        ),
        (
            "1 == 1.0",
            "ERROR: <input>:1:3: found no matching overload for '_==_' applied to '(int, double)'\n | 1 == 1.0\n | ..^",
        ),
        (
            "'a'.startsWith(1)",
            "ERROR: <input>:1:15: found no matching overload for 'startsWith' applied to 'string.(int)'\n | 'a'.startsWith(1)\n | ..............^",
        ),
        ("nope(1)", "ERROR: <input>:1:5: undeclared reference to 'nope' (in container '')\n | nope(1)\n | ....^"),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        (
            "self.replicas.x",
            "ERROR: <input>:1:14: type 'int' does not support field selection\n | self.replicas.x\n | .............^",
        ),
        (
            "1.all(x, true)",
            "ERROR: <input>:1:6: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | 1.all(x, true)\n | .....^",
        ),
        ("'a'.matches('(')", "ERROR: <input>:1:13: invalid matches argument\n | 'a'.matches('(')\n | ............^"),
        (
            "duration('soon') > self.wait",
            "ERROR: <input>:1:10: invalid duration argument\n | duration('soon') > self.wait\n | .........^",
        ),
        ("true &&\n zz", "ERROR: <input>:2:2: undeclared reference to 'zz' (in container '')\n |  zz\n | .^"),
        (
            "1 +",
            "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 +\n | ...^",
        ),
        ("has(self)", "ERROR: <input>:1:4: invalid argument to has() macro\n | has(self)\n | ...^"),
        ("if", "ERROR: <input>:1:1: reserved identifier: if\n | if\n | ^"),
        (
            "self.paused.all(x, true)",
            "ERROR: <input>:1:16: expression of type 'bool' cannot be range of a comprehension (must be list, map, or dynamic)\n | self.paused.all(x, true)\n | ...............^",
        ),
        (
            "[1].all(x, x)",
            "ERROR: <input>:1:12: expected type 'bool' but found 'int'\n | [1].all(x, x)\n | ...........^",
        ),
    ] {
        assert_eq!(program(expression).err(), Some(format!("compilation failed: {message}")), "{expression}");
    }
}

#[test]
fn what_it_must_come_to() {
    let fails = |wanted: &[Type]| compile("1", &environment(), wanted).err().map(|error| error.to_string());
    assert_eq!(fails(&[Type::Bool]), Some("must evaluate to bool".to_owned()));
    assert_eq!(fails(&[Type::Int]), None);
    assert_eq!(fails(&[Type::STRING, Type::Bool]), Some("must evaluate to one of [string bool]".to_owned()));
    assert!(compile("any.n", &environment(), &[Type::Bool]).is_ok());
    assert!(program("self.name == any.s").unwrap().uses("any") && !program("self.name == 'any'").unwrap().uses("any"));
}
