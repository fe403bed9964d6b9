//! `kubectl auth whoami`.

use crate::command::{Command, Done, PRINT};
use crate::flags::Args;
use crate::output::out;
use crate::print::Format;
use crate::print::table::aligned;
use crate::session::{Call, JSON, Session};
use http::Method;
use serde_json::{Value, json};

pub static COMMAND: Command = Command {
    name: "whoami",
    usage: "auth whoami [options]",
    short: "Experimental: Check self subject attributes",
    flags: &[PRINT],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let answer = session.json(Call::new(Method::POST, path).body(JSON, review.to_string())).await?;
        let format = Format::of(&args, false)?;
        if format != Format::Default {
            return format.print(&answer, "");
        }
        let info = &answer["status"]["userInfo"];
        let mut rows = vec![vec!["ATTRIBUTE".to_owned(), "VALUE".to_owned()]];
        let listed = |list: &Value| {
            let items = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            format!("[{}]", items.collect::<Vec<_>>().join(" "))
        };
        for (label, field) in [("Username", "username"), ("UID", "uid")] {
            if let Some(value) = info[field].as_str().filter(|value| !value.is_empty()) {
                rows.push(vec![label.to_owned(), value.to_owned()]);
            }
        }
        if info["groups"].is_array() {
            rows.push(vec!["Groups".to_owned(), listed(&info["groups"])]);
        }
        for (key, values) in info["extra"].as_object().into_iter().flatten() {
            rows.push(vec![format!("Extra: {key}"), listed(values)]);
        }
        out(&aligned(&rows));
        Ok(())
    })
}
