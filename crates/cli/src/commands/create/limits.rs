//! `kubectl create poddisruptionbudget`, `quota` and `priorityclass`.

use super::generate::{FLAGS, finish, metadata, name};
use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, int, text};
use crate::session::Session;
use serde_json::{Value, json};

pub static BUDGET: Command = Command {
    name: "poddisruptionbudget",
    aliases: &["pdb"],
    usage: "create poddisruptionbudget NAME --selector=SELECTOR --min-available=N [--dry-run=server|client|none] [options]",
    short: "Create a pod disruption budget with the specified name",
    flags: &[
        PRINT,
        FLAGS,
        &[
            text("max-unavailable", "", "The maximum number or percentage of unavailable pods this budget requires."),
            text("min-available", "", "The minimum number or percentage of available pods this budget requires."),
            text(
                "selector",
                "",
                "A label selector to use for this budget. Only equality-based selector requirements are supported.",
            ),
        ],
    ],
    run: Some(budget),
    ..Command::EMPTY
};

pub static QUOTA: Command = Command {
    name: "quota",
    aliases: &["resourcequota"],
    usage: "create quota NAME [--hard=key1=value1,key2=value2] [--scopes=Scope1,Scope2] [--dry-run=server|client|none] [options]",
    short: "Create a quota with the specified name",
    flags: &[
        PRINT,
        FLAGS,
        &[
            text("hard", "", "A comma-delimited set of resource=quantity pairs that define a hard limit."),
            text(
                "scopes",
                "",
                "A comma-delimited set of quota scopes that must all match each object tracked by the quota.",
            ),
        ],
    ],
    run: Some(quota),
    ..Command::EMPTY
};

const CLASS: &[Flag] = &[
    text(
        "description",
        "",
        "description is an arbitrary string that usually provides guidelines on when this priority class should be used.",
    ),
    boolean(
        "global-default",
        "global-default specifies whether this PriorityClass should be considered as the default priority.",
    ),
    text(
        "preemption-policy",
        "PreemptLowerPriority",
        "preemption-policy is the policy for preempting pods with lower priority.",
    ),
    int("value", "0", "the value of this priority class."),
];

pub static PRIORITY_CLASS: Command = Command {
    name: "priorityclass",
    aliases: &["pc"],
    usage: "create priorityclass NAME --value=VALUE --global-default=BOOL [--dry-run=server|client|none] [options]",
    short: "Create a priority class with the specified name",
    flags: &[PRINT, FLAGS, CLASS],
    run: Some(priority_class),
    ..Command::EMPTY
};

fn budget(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = name(session, &args)?;
        let (least, most, selector) = (args.text("min-available"), args.text("max-unavailable"), args.text("selector"));
        if selector.is_empty() {
            return Err(Failure::message("a selector must be specified"));
        }
        if least.is_empty() && most.is_empty() {
            return Err(Failure::message("one of min-available or max-unavailable must be specified"));
        }
        if !least.is_empty() && !most.is_empty() {
            return Err(Failure::message("min-available and max-unavailable cannot be both specified"));
        }
        let selector = meta::labels::Selector::parse(selector).map_err(|why| Failure::message(why.to_string()))?;
        let amount = |text: &str| text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
        let mut spec = json!({"selector": {"matchLabels": super::super::expose::pairs(&selector.to_string())?}});
        for (field, text) in [("minAvailable", least), ("maxUnavailable", most)] {
            if !text.is_empty() {
                spec[field] = amount(text);
            }
        }
        let status = json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
        let object = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata(name, &[]),
            "spec": spec, "status": status,
        });
        finish(session, &args, object, "failed to create poddisruptionbudgets:").await
    })
}

fn quota(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = name(session, &args)?;
        let mut spec = json!({});
        let hard = amounts(args.text("hard"))?;
        if !hard.is_null() {
            spec["hard"] = hard;
        }
        if !args.text("scopes").is_empty() {
            spec["scopes"] = json!(args.text("scopes").split(',').collect::<Vec<_>>());
        }
        let object = json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata(name, &[]), "spec": spec, "status": {},
        });
        finish(session, &args, object, "failed to create quota:").await
    })
}

/// `cpu=1,memory=1Gi`; null where there are none.
pub fn amounts(text: &str) -> Outcome<Value> {
    let mut all = Value::Null;
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let Some((name, amount)) = pair.split_once('=') else {
            return Err(Failure::message(format!("Invalid argument syntax {pair}, expected <resource>=<value>")));
        };
        let quantity: meta::Quantity = amount.parse().map_err(|_| {
            Failure::message(
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            )
        })?;
        all[name] = json!(quantity.to_string());
    }
    Ok(all)
}

fn priority_class(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = name(session, &args)?;
        let mut object = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": metadata(name, &[]),
            "value": args.int("value"), "preemptionPolicy": args.text("preemption-policy"),
        });
        if args.bool("global-default") {
            object["globalDefault"] = json!(true);
        }
        if !args.text("description").is_empty() {
            object["description"] = json!(args.text("description"));
        }
        finish(session, &args, object, "failed to create priorityclass:").await
    })
}
