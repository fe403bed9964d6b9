//! Expressions that mean harm: each must end soon, without a panic.

use super::{program, run};
use crate::Fault;

fn cut_off(expression: &str) {
    let ended = run(expression, 1_000_000, |outcome| matches!(outcome.result, Err(Fault::Budget)));
    assert_eq!(ended, Ok(true), "{expression}");
}

#[test]
fn loops_are_cut_off() {
    let list = format!("[{}]", vec!["1"; 200].join(","));
    cut_off(&format!("{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, a == d))))"));
    cut_off(&format!("{list}.map(a, {list}.map(b, {list}.map(c, {list}))).size() > 0"));
    cut_off(
        &format!("true || {list}.all(a, true) && {list}.exists(a, {list}.exists(b, {list}.exists(c, a == 2)))")
            .replace("true || ", ""),
    );
    assert_eq!(Fault::Budget.to_string(), "operation cancelled: actual cost limit exceeded");
}

#[test]
fn growth_is_cut_off() {
    let long = "x".repeat(2000);
    cut_off(&format!("'{long}'.replace('x', '{long}').replace('x', '{long}').size() > 0"));
    cut_off(&format!("['{long}'].map(a, a.replace('', a)).map(b, b.replace('', b)).size() > 0"));
    let doubled = (0..40).fold("[1]".to_owned(), |inner, at| format!("[{inner}].map(v{at}, v{at} + v{at})[0]"));
    cut_off(&format!("{doubled}.size() > 0"));
    let text = (0..40).fold("'xxxxxxxx'".to_owned(), |inner, at| format!("[{inner}].map(v{at}, v{at} + v{at})[0]"));
    cut_off(&format!("{text}.size() > 0"));
}

#[test]
fn deep_sources_are_refused() {
    let deep = |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
    for source in [
        deep("(", ")", 100_000 / 2 - 1),
        deep("[", "]", 10_000),
        deep("-", "", 50_000),
        deep("!", "", 50_000),
        deep("{1:", "}", 10_000),
        deep("size(", ")", 10_000),
        format!("1{}", "+1".repeat(40_000)),
        format!("self{}", ".a".repeat(40_000)),
        format!("self{}", "[0]".repeat(30_000)),
        format!("1{}", "<1".repeat(40_000)),
        format!("{}1", "true?1:".repeat(10_000)),
        deep("[1].all(x,", ")", 5_000),
    ] {
        let error = program(&source).expect_err(&source[..20]);
        assert!(
            error.contains("expression recursion limit exceeded: 250"),
            "{}: {}",
            &source[..20],
            &error[..200.min(error.len())]
        );
    }
    let error = program(&"1".repeat(100_001)).unwrap_err();
    assert!(error.contains("expression code point size exceeds limit: size: 100001, limit 100000"));
}

#[test]
fn what_is_just_deep_enough_runs() {
    let list = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(run(&format!("{list} == {list}"), 1_000_000, |outcome| outcome.result.is_ok()), Ok(true));
    let chain = vec!["self.replicas == 3"; 2000].join(" && ");
    assert_eq!(run(&chain, 1_000_000, |outcome| outcome.result.is_ok()), Ok(true));
    let nested = format!("{}true{}", "[1].all(x, ".repeat(200), ")".repeat(200));
    assert_eq!(run(&nested, 1_000_000, |outcome| outcome.result.is_ok()), Ok(true));
}

#[test]
fn odd_bytes_never_panic() {
    let pieces = [
        "'",
        "\"",
        "\\",
        "é",
        "🐱",
        "b'",
        "r\"",
        "(",
        "[",
        "{",
        "}",
        "0x",
        "1e",
        "1e999",
        "99999999999999999999",
        "..",
        "?",
        "%",
        "has(",
        "self.",
        "\u{0}",
        "`",
        "//",
        "\n",
        "''' ",
        "in",
        "1u",
        "-",
        ".?",
        "[?",
    ];
    for first in pieces {
        for second in pieces {
            for third in ["", "x", "'", ")"] {
                let _ = program(&format!("{first}{second}{third}"));
                let _ = program(&format!("self.name{first}{second}{third}"));
            }
        }
    }
}

#[test]
fn hostile_arguments_never_panic() {
    for expression in [
        "'abc'.substring(9223372036854775807) == ''",
        "'abc'.charAt(-9223372036854775808) == ''",
        "'%.999999999999s'.format([1]) == ''",
        "'%.1000f'.format([1.0]).size() > 0",
        "'%'.format([1]) == ''",
        "'%.'.format([1]) == ''",
        "'é%é'.format([1]) == ''",
        "'aé'.lastIndexOf('é', 2) == 0",
        "'aé'.lastIndexOf('', 2) == 2",
        "'a'.split('a', 9223372036854775807).size() == 2",
        "'a'.findAll('', -1).size() == 2",
        "timestamp(9223372036854775807) > self.started",
        "duration(-9223372036854775808).getHours() == 0",
        "self.started.getHours('+999999999:999999999') == 0",
        "self.started.getHours('é:1') == 0",
        "url('é') == url('/')",
        "url('%') == url('/')",
        "isURL('https://[') || true",
        "isURL('http://a:b:c/') || true",
        "cidr('::/128').masked() == cidr('::/128')",
        "cidr('0.0.0.0/0').masked().prefixLength() == 0",
        "semver('999999999999999999999.0.0').major() == 0",
        "quantity('99999999999999999999999999999E').isInteger()",
        "quantity('1e-99').sign() == 1",
        "'a'.matches('(a{1000}){1000}')",
        "int('-9223372036854775809') == 0",
        "timestamp('2026-13-01T00:00:00Z') > self.started",
        "{1.5: 1}.size() == 1",
        "[1][9223372036854775807] == 1",
        "9223372036854775807 % -1 == 0",
        "-9223372036854775808 % -1 == 0",
    ] {
        let _ = run(expression, 1_000_000, |outcome| format!("{:?}", outcome.result));
    }
}
