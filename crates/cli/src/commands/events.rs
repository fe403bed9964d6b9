//! `kubectl events`: what happened, oldest first.

use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, list, text};
use crate::output::{error_line, out};
use crate::print::table::aligned;
use crate::print::{Format, age, hide_managed_fields, list_of, namespace_of};
use crate::session::{Call, Session};
use crate::shared_flags::{ALL_NAMESPACES, CHUNK_SIZE, NO_HEADERS};
use base::Timestamp;
use serde_json::{Value, json};

const FLAGS: &[Flag] = &[
    ALL_NAMESPACES,
    CHUNK_SIZE,
    NO_HEADERS,
    text("for", "", "Filter events to only those pertaining to the specified resource."),
    list("types", "Output only events of given types."),
    boolean("watch", "After listing the requested events, watch for more events.").short('w'),
];

pub static COMMAND: Command = Command {
    name: "events",
    usage: "events [(-o|--output=)json|yaml|name|go-template|jsonpath] [--for TYPE/NAME] [--watch] [--types=Normal,Warning] [options]",
    short: "List events",
    long: "Display events. Prints a table of the most important information about events.",
    examples: "# List recent events in the default namespace\nkubectl events\n\n# List recent events for the specified pod, then wait for more events and list them as they arrive\nkubectl events --for pod/web-pod-13je7 --watch",
    flags: &[PRINT, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let format = Format::of(&args, false)?;
        let types = args.list("types");
        let known = |kind: &String| ["Normal", "Warning"].iter().any(|one| one.eq_ignore_ascii_case(kind));
        if !types.iter().all(known) {
            return Err(Failure::message("valid --types are Normal or Warning"));
        }
        let all = args.bool("all-namespaces");
        let namespace = session.namespace().await?;
        let path = if all { "/api/v1/events".to_owned() } else { format!("/api/v1/namespaces/{namespace}/events") };
        let selector = field_selector(session, args.text("for")).await?;
        let call = Call::get(path.clone()).query("fieldSelector", selector.clone());
        let listed = session.json(call).await?;
        let wanted = |event: &Value| {
            let kind = event["type"].as_str().unwrap_or_default();
            types.is_empty() || types.iter().any(|one| one.eq_ignore_ascii_case(kind))
        };
        let mut events: Vec<Value> = listed["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|event| wanted(event))
            .cloned()
            .map(typed)
            .collect();
        events.sort_by_key(last_seen);
        let watches = args.bool("watch");
        if events.is_empty() && !watches {
            if all {
                error_line("No events found.");
            } else {
                error_line(&format!("No events found in {namespace} namespace."));
            }
            return Ok(());
        }
        let mut table = Table { session, all, headers: !args.bool("no-headers") };
        print(&mut table, &format, &args, events, !watches)?;
        if watches {
            let version = listed["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
            let call = Call::get(path)
                .query("fieldSelector", selector)
                .query("watch", "true")
                .query("resourceVersion", version);
            follow(session, call, &mut |event| {
                if wanted(&event) { print(&mut table, &format, &args, vec![typed(event)], false) } else { Ok(()) }
            })
            .await?;
        }
        Ok(())
    })
}

fn print(table: &mut Table<'_>, format: &Format, args: &Args, mut events: Vec<Value>, as_list: bool) -> Outcome {
    if *format == Format::Default {
        table.print(&events);
        return Ok(());
    }
    if !args.bool("show-managed-fields") && format.is_whole() {
        events.iter_mut().for_each(hide_managed_fields);
    }
    if as_list && *format != Format::Name {
        let mut list = list_of(events);
        list["kind"] = json!("EventList");
        return format.print(&list, "");
    }
    events.iter().try_for_each(|event| format.print(event, "event"))
}

/// Hands over every event that is new or counted again, until interrupted.
async fn follow(session: &Session, call: Call<'_>, each: &mut dyn FnMut(Value) -> Outcome) -> Outcome {
    let mut body = session.stream(call).await?;
    let mut pending = Vec::new();
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else { return Ok(()) };
        pending.extend_from_slice(&piece);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let text: Vec<u8> = pending.drain(..=end).collect();
            let Ok(mut event) = serde_json::from_slice::<Value>(&text) else { continue };
            if matches!(event["type"].as_str(), Some("ADDED" | "MODIFIED")) {
                each(event["object"].take())?;
            }
        }
    }
    Ok(())
}

fn typed(mut event: Value) -> Value {
    event["apiVersion"] = json!("v1");
    event["kind"] = json!("Event");
    event
}

async fn field_selector(session: &Session, what: &str) -> Outcome<String> {
    if what.is_empty() {
        return Ok(String::new());
    }
    let Some((word, name)) = what.split_once('/') else {
        return Err(Failure::message("--for must be in resource/name form"));
    };
    let resource = session.resource(word).await?;
    Ok(format!(
        "involvedObject.apiVersion={},involvedObject.kind={},involvedObject.name={name}",
        resource.api_version(),
        resource.kind
    ))
}

fn last_seen(event: &Value) -> Option<Timestamp> {
    let times = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
    times.into_iter().find_map(Value::as_str)?.parse().ok()
}

struct Table<'a> {
    session: &'a Session,
    all: bool,
    headers: bool,
}

impl Table<'_> {
    fn print(&mut self, events: &[Value]) {
        let mut rows: Vec<Vec<String>> = Vec::new();
        if std::mem::take(&mut self.headers) {
            let header = ["NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
            rows.push(header.iter().skip(usize::from(!self.all)).map(|name| (*name).to_owned()).collect());
        }
        rows.extend(events.iter().map(|event| self.row(event)));
        if rows.is_empty() {
            return;
        }
        out(&aligned(&rows));
    }

    fn row(&self, event: &Value) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut row = Vec::new();
        if self.all {
            row.push(namespace_of(event).to_owned());
        }
        let of = &event["involvedObject"];
        row.extend([
            self.interval(event),
            text(&event["type"]),
            text(&event["reason"]),
            format!("{}/{}", text(&of["kind"]), text(&of["name"])),
            text(&event["message"]).trim().to_owned(),
        ]);
        row
    }

    /// `5m`, or how often since when.
    fn interval(&self, event: &Value) -> String {
        let now = self.session.env.clock.now();
        let ago = |value: &Value| value.as_str().map(|time| age::since(time, now));
        let first = ago(&event["firstTimestamp"]).or_else(|| ago(&event["eventTime"]));
        let unknown = || "<unknown>".to_owned();
        let series = &event["series"];
        if let Some(count) = series["count"].as_i64() {
            let last = ago(&series["lastObservedTime"]).unwrap_or_else(unknown);
            return format!("{last} (x{count} over {})", first.unwrap_or_else(unknown));
        }
        match event["count"].as_i64() {
            Some(count) if count > 1 => {
                let last = ago(&event["lastTimestamp"]).unwrap_or_else(unknown);
                format!("{last} (x{count} over {})", first.unwrap_or_else(unknown))
            }
            _ => first.unwrap_or_else(unknown),
        }
    }
}
