//! Templates and what kubectl 1.33 prints for them.

use super::Template;
use crate::failure::Outcome;
use serde_json::{Value, json};

fn rendered(template: &Template, object: &Value) -> Outcome<String> {
    let (text, done) = template.render(object);
    done.map(|()| text)
}

#[test]
fn templates_render_as_in_go() {
    let object = json!({
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"x": "1", "y.z/w": "2"}},
        "spec": {"n": 3, "big": 1_234_567, "f": 1.5, "on": true, "none": null,
            "list": [{"name": "b", "v": 1}, {"name": "c"}], "empty": [], "secret": "aGk="},
    });
    let rows = [
        ("{{.kind}}/{{.metadata.name}}", "Pod/a"),
        ("{{.spec.n}} {{.spec.f}} {{.spec.on}} {{.spec.big}}", "3 1.5 true 1234567"),
        ("{{1e6}} {{1e-5}} {{123456.5}} {{1000000}} {{.no.such}}", "1e+06 1e-05 123456.5 1000000 <no value>"),
        ("a {{- .kind\n-}} b{{/* c */\t-}} c {{-\t.kind}}", "aPodbcPod"),
        ("{{.nothing}}|{{.spec.none}}", "<no value>|<no value>"),
        ("{{range .spec.list}}{{.name}},{{end}}", "b,c,"),
        ("{{range $i, $x := .spec.list}}{{$i}}={{$x.name}}{{\"\\n\"}}{{end}}", "0=b\n1=c\n"),
        ("{{range $k, $v := .metadata.labels}}{{$k}}:{{$v}} {{end}}", "x:1 y.z/w:2 "),
        ("{{range .spec.empty}}x{{else}}none{{end}}", "none"),
        ("{{index .metadata.labels \"y.z/w\"}}{{(index .spec.list 1).name}}", "2c"),
        ("{{if and .spec.on (eq .kind \"Pod\" \"Node\")}}yes{{else}}no{{end}}", "yes"),
        ("{{if .spec.none}}1{{else if .spec.n}}2{{else}}3{{end}}", "2"),
        ("{{with .metadata}}{{.name}}{{$.kind}}{{end}}", "aPod"),
        ("{{len .spec.list}} {{len .kind}}", "2 3"),
        ("{{printf \"%-5s|%5s|%q|%v\" .kind \"x\" .metadata.name .spec.n}}", "Pod  |    x|\"a\"|3"),
        ("{{.spec.list}}", "[map[name:b v:1] map[name:c]]"),
        ("{{$n := .metadata.name}}{{range .spec.list}}{{$n}}{{end}}", "aa"),
        ("{{$n := 1}}{{range .spec.list}}{{$n = 2}}{{end}}{{$n}}", "2"),
        ("a {{- /* no */ -}} b{{- .kind -}}  c", "abPodc"),
        ("{{.spec.secret | base64decode}}", "hi"),
        ("{{exists . \"spec\" \"n\"}}{{exists . \"spec\" \"m\"}}", "truefalse"),
        ("{{define \"t\"}}<{{.name}}>{{end}}{{template \"t\" .metadata}}", "<a>"),
        ("{{range .spec.list}}{{if eq .name \"c\"}}{{break}}{{end}}{{.name}}{{end}}", "b"),
        ("{{gt .spec.n 2}}{{not .spec.on}}{{or .spec.none \"d\"}}", "truefalsed"),
        ("{{`raw\\n`}}{{'a'}}", "raw\\n97"),
        ("{{println \"a\" 1}}{{print 1 2 \"x\" \"y\"}}", "a 1\n1 2xy"),
        ("{{slice .kind 1 2}}", "o"),
        ("{{.kind | printf \"%s-%s\" \"x\"}}", "x-Pod"),
    ];
    for (template, expected) in rows {
        let rendered = Template::parse(template, false).and_then(|parsed| rendered(&parsed, &object));
        assert_eq!(rendered.map_err(|why| why.to_string()).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn wrong_templates_are_refused() {
    for template in
        ["{{.a", "{{if}}{{end}}", "{{if .a}}", "{{end}}", "{{nofunction}}", "{{\"a}}", "{{break}}", "{{.a | }}"]
    {
        assert!(Template::parse(template, false).is_err(), "{template}");
    }
    let object = json!({"a": 1, "list": [1], "none": null});
    for template in ["{{index .list 5}}", "{{eq .a 1.0}}", "{{.a.b}}", "{{len .a}}", "{{$x}}", "{{.none.a}}"] {
        let done = Template::parse(template, false).and_then(|parsed| rendered(&parsed, &object));
        assert!(done.is_err(), "{template}: {done:?}");
    }
    assert!(Template::parse("{{.b}}", true).and_then(|parsed| rendered(&parsed, &object)).is_err());
    let deep = "{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}";
    assert!(Template::parse(deep, false).and_then(|parsed| rendered(&parsed, &object)).is_err());
}

/// Whatever a template asks for, it ends, and on a stack of 2 MB.
#[test]
fn no_template_goes_on_without_end() {
    let nested = |open: &str, close: &str, times: usize| format!("{}{}", open.repeat(times), close.repeat(times));
    let inside = format!("{{{{define \"t\"}}}}{}{{{{end}}}}", nested("{{if true}}", "{{template \"t\" .}}{{end}}", 60));
    for template in [
        format!("{inside}{{{{template \"t\" .}}}}"),
        nested("{{if true}}", "{{end}}", 10_000),
        nested("{{range 2}}", "{{end}}", 90),
        format!("{{{{if .a}}}}{}{{{{end}}}}", "{{else if .a}}".repeat(10_000)),
        format!("{{{{{}}}}}", nested("(", ")", 10_000)),
        format!("{{{{define \"t\"}}}}{{{{{}}}}}{{{{template \"t\"}}}}{{{{end}}}}{{{{template \"t\"}}}}", "(print 1)"),
        "{{range 9223372036854775807}}{{end}}".to_owned(),
    ] {
        let done = Template::parse(&template, false).and_then(|parsed| rendered(&parsed, &json!({})));
        assert!(done.is_err(), "{}", &template[..template.len().min(40)]);
    }
    // What people write is far from any of these bounds.
    let fits = format!("{}x{}", "{{with .a}}{{end}}{{if not .a}}".repeat(60), "{{end}}".repeat(60));
    assert_eq!(
        Template::parse(&fits, false).and_then(|parsed| rendered(&parsed, &json!({}))).ok().as_deref(),
        Some("x")
    );
}
