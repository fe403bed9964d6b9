//! `kubectl certificate approve` and `deny`: a word on signing requests.

use crate::changes::Write;
use crate::command::{Command, Done, FILES, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean};
use crate::print::Teller;
use crate::session::Session;
use crate::targets::{Target, fetched, targets};
use serde_json::{Value, json};

/// How often a request is looked at anew when somebody else was quicker.
const ATTEMPTS: usize = 10;

const FLAGS: &[Flag] = &[boolean("force", "Update the CSR even if it is already approved or denied.")];

pub static COMMAND: Command = Command {
    name: "certificate",
    usage: "certificate SUBCOMMAND [options]",
    short: "Modify certificate resources",
    children: &[&APPROVE, &DENY],
    ..Command::EMPTY
};

static APPROVE: Command = Command {
    name: "approve",
    usage: "certificate approve (-f FILENAME | NAME) [options]",
    short: "Approve a certificate signing request",
    examples: "# Approve CSR 'csr-sqgzp'\nkubectl certificate approve csr-sqgzp",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(|session, args| run(session, args, &APPROVAL)),
    ..Command::EMPTY
};

static DENY: Command = Command {
    name: "deny",
    usage: "certificate deny (-f FILENAME | NAME) [options]",
    short: "Deny a certificate signing request",
    examples: "# Deny CSR 'csr-sqgzp'\nkubectl certificate deny csr-sqgzp",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(|session, args| run(session, args, &DENIAL)),
    ..Command::EMPTY
};

struct Verdict {
    condition: &'static str,
    other: &'static str,
    reason: &'static str,
    told: &'static str,
}

static APPROVAL: Verdict =
    Verdict { condition: "Approved", other: "Denied", reason: "KubectlApprove", told: "approved" };
static DENIAL: Verdict = Verdict { condition: "Denied", other: "Approved", reason: "KubectlDeny", told: "denied" };

fn run<'a>(session: &'a Session, args: Args, verdict: &'static Verdict) -> Done<'a> {
    Box::pin(async move {
        if args.words.is_empty() && !crate::targets::gives_files(&args)? {
            return Err(Failure::message("one or more CSRs must be specified as <name> or -f <filename>"));
        }
        let teller = Teller::of(&args)?;
        let words = if args.words.is_empty() {
            Vec::new()
        } else {
            ["certificatesigningrequests.certificates.k8s.io".to_owned()]
                .into_iter()
                .chain(args.words.clone())
                .collect()
        };
        for (target, object) in fetched(session, &args, targets(session, &args, &words).await?).await? {
            let object = decide(session, &args, &target, object, verdict).await?;
            teller.tell(&object, &target.resource.shown(), verdict.told)?;
        }
        Ok(())
    })
}

async fn decide(
    session: &Session,
    args: &Args,
    target: &Target,
    mut object: Value,
    verdict: &Verdict,
) -> Outcome<Value> {
    let write = Write::of(args, "")?;
    for attempt in 1.. {
        let is = |kind: &str| meta::conditions::is_true(&object["status"]["conditions"], kind);
        if is(verdict.other) {
            return Err(Failure::message(format!(
                "certificate signing request {:?} is already {}",
                target.name,
                verdict.other.to_lowercase()
            )));
        }
        if is(verdict.condition) && !args.bool("force") {
            return Ok(object);
        }
        let mut new = object.clone();
        let mut conditions = new["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.retain(|condition| condition["type"] != verdict.condition);
        conditions.push(json!({
            "type": verdict.condition,
            "status": "True",
            "reason": verdict.reason,
            "message": format!("This CSR was {} by kubectl certificate {}.", verdict.told, command_name(verdict)),
            "lastUpdateTime": session.env.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }));
        new["status"]["conditions"] = Value::Array(conditions);
        match write.replace(session, target.path(Some("approval")), &new).await {
            Err(failure) if failure.is_conflict() && attempt < ATTEMPTS => object = target.get(session).await?,
            other => return other,
        }
    }
    Ok(object)
}

fn command_name(verdict: &Verdict) -> &'static str {
    if verdict.told == "approved" { "approve" } else { "deny" }
}
