//! `kubectl wait`: until a condition holds, a field has a value, or an object is there or gone.

use crate::command::{Command, Done, FILES, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, duration, repeat};
use crate::jsonpath::{Template, text_of};
use crate::print::{Format, name_of};
use crate::session::Session;
use crate::shared_flags::{LOCAL, SELECTION};
use crate::targets::{Target, listed, targets};
use serde_json::Value;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(250);
/// What a negative timeout stands for.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

const FLAGS: &[Flag] = &[
    repeat(
        "for",
        "The condition to wait on: [create|delete|condition=condition-name[=condition-value]|jsonpath='{JSONPath expression}'=[JSONPath value]].",
    ),
    LOCAL,
    duration(
        "timeout",
        "30s",
        "The length of time to wait before giving up. Zero means check once and don't wait, negative means wait for a week.",
    ),
];

pub static COMMAND: Command = Command {
    name: "wait",
    usage: "wait ([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) [--for=create|--for=delete|--for condition=available|--for=jsonpath='{}'[=value]] [options]",
    short: "Experimental: Wait for a specific condition on one or many resources",
    examples: "# Wait for the pod \"busybox1\" to contain the status condition of type \"Ready\"\nkubectl wait --for=condition=Ready pod/busybox1\n\n# Wait for the pod \"busybox1\" to be deleted, with a timeout of 60s, after having issued the \"delete\" command\nkubectl delete pod/busybox1\nkubectl wait --for=delete pod/busybox1 --timeout=60s",
    flags: &[PRINT, FILES, SELECTION, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

enum Goal {
    Created,
    Deleted,
    Condition(String, String),
    Path(Template, Option<String>),
}

impl Goal {
    fn parse(text: &str) -> Outcome<Self> {
        if let Some(condition) = text.strip_prefix("condition=") {
            let (name, value) = condition.split_once('=').unwrap_or((condition, "true"));
            return Ok(Goal::Condition(name.to_owned(), value.to_owned()));
        }
        if let Some(path) = text.strip_prefix("jsonpath=") {
            let end = path.find('}').map_or(path.len(), |at| at + 1);
            let value = path[end..].strip_prefix('=').map(str::to_owned);
            return Ok(Goal::Path(Template::relaxed(path[..end].trim_matches(['\'', '"']))?, value));
        }
        match text.to_lowercase().as_str() {
            "delete" => Ok(Goal::Deleted),
            "create" => Ok(Goal::Created),
            _ => Err(Failure::message(format!("unrecognized condition: {text:?}"))),
        }
    }

    fn is_met(&self, object: Option<&Value>) -> bool {
        match (self, object) {
            (Goal::Deleted, object) => object.is_none(),
            (Goal::Created, object) => object.is_some(),
            (_, None) => false,
            (Goal::Condition(name, value), Some(object)) => {
                let conditions = object["status"]["conditions"].as_array();
                conditions.into_iter().flatten().any(|condition| {
                    let observed = condition["observedGeneration"].as_i64();
                    let current = object["metadata"]["generation"].as_i64();
                    let is = |field: &str, text: &str| {
                        condition[field].as_str().is_some_and(|found| found.eq_ignore_ascii_case(text))
                    };
                    let fresh = observed.is_none() || current.is_none() || observed >= current;
                    is("type", name) && is("status", value) && fresh
                })
            }
            (Goal::Path(template, value), Some(object)) => {
                let found = template.find(object);
                match value {
                    Some(value) => found.len() == 1 && text_of(found[0]) == *value,
                    None => !found.is_empty(),
                }
            }
        }
    }
}

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let goals = args.list("for");
        let goals: Vec<Goal> = if goals.is_empty() {
            vec![Goal::parse("")?]
        } else {
            goals.iter().map(|goal| Goal::parse(goal)).collect::<Outcome<_>>()?
        };
        let format = Format::of(&args, false)?;
        let timeout = if args.text("timeout").starts_with('-') { WEEK } else { args.duration("timeout").min(WEEK) };
        let mut chosen = Vec::new();
        for target in targets(session, &args, &args.words).await? {
            match target.name.is_empty() {
                false => chosen.push(target),
                true if args.bool("all") || args.has("selector") || args.has("field-selector") => {
                    chosen.extend(listed(session, &args, target).await?.into_iter().map(|(target, _)| target));
                }
                true => return Err(Failure::message("resource(s) were provided, but no name was specified")),
            }
        }
        if chosen.is_empty() {
            let gone = goals.iter().all(|goal| matches!(goal, Goal::Deleted));
            return if gone { Ok(()) } else { Err(Failure::message("no matching resources found")) };
        }
        let started = session.env.clock.now();
        let mut failures = Vec::new();
        for target in chosen {
            let spent = session.env.clock.now().duration_since(started).unsigned_abs();
            let left = timeout.saturating_sub(spent);
            for goal in &goals {
                match wait(session, &target, goal, left).await {
                    Ok(Value::Null) => {}
                    Ok(object) => tell(&format, &target, &object)?,
                    Err(failure) => failures.push(failure),
                }
            }
        }
        Failure::collect(failures)
    })
}

async fn wait(session: &Session, target: &Target, goal: &Goal, left: Duration) -> Outcome<Value> {
    let clock = session.env.clock.clone();
    let mut last = Value::Null;
    let watched = async {
        loop {
            match target.get(session).await {
                Ok(object) if goal.is_met(Some(&object)) => return Ok(object),
                Ok(object) => last = object,
                Err(failure) if failure.is_not_found() => {
                    if goal.is_met(None) {
                        return Ok(last.clone());
                    }
                    if !matches!(goal, Goal::Created) {
                        return Err(failure);
                    }
                }
                Err(failure) => return Err(failure),
            }
            if left.is_zero() {
                let text = format!("condition not met for {}/{}", target.resource.name, target.name);
                return Err(Failure::message(text));
            }
            clock.sleep(LOOK).await;
        }
    };
    let limit = if left.is_zero() { Duration::from_secs(30) } else { left };
    let timed_out = || {
        let text = format!("timed out waiting for the condition on {}/{}", target.resource.name, target.name);
        Err(Failure::message(text))
    };
    clock.timeout(limit, watched).await.unwrap_or_else(|_| timed_out())
}

fn tell(format: &Format, target: &Target, object: &Value) -> Outcome {
    if *format == Format::Default {
        let name = if name_of(object).is_empty() { &target.name } else { name_of(object) };
        crate::output::line(&format!("{}/{name} condition met", target.resource.shown()));
        return Ok(());
    }
    format.print(object, &target.resource.shown())
}
