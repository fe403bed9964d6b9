//! The requests that change objects: create, patch, replace, delete, as kubectl sends them.

use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::print::DryRun;
use crate::session::{Call, JSON, Session};
use http::Method;
use serde_json::{Value, json};

pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";

/// What goes with every change.
#[derive(Debug, Clone)]
pub struct Write {
    pub manager: String,
    /// `Strict`, `Warn`, `Ignore`, or empty for the server's own.
    pub validation: &'static str,
    pub dry_run: DryRun,
}

impl Write {
    /// From a command's flags; `manager` is the field manager where none is given.
    pub fn of(args: &Args, manager: &str) -> Outcome<Self> {
        let given = args.text("field-manager");
        let validation = match args.text("validate") {
            "" => "",
            "strict" | "true" => "Strict",
            "warn" => "Warn",
            "ignore" | "false" => "Ignore",
            other => {
                return Err(Failure::message(format!(
                    "invalid - validate option {other:?}; must be one of: strict (or true), warn, ignore (or false)"
                )));
            }
        };
        let manager = if given.is_empty() { manager } else { given };
        Ok(Write { manager: manager.to_owned(), validation, dry_run: DryRun::of(args)? })
    }

    fn call<'a>(&self, method: Method, path: String) -> Call<'a> {
        Call::new(method, path)
            .query("dryRun", self.dry_run.parameter())
            .query("fieldManager", self.manager.clone())
            .query("fieldValidation", self.validation)
    }

    pub async fn create(&self, session: &Session, path: String, object: &Value) -> Outcome<Value> {
        session.json(self.call(Method::POST, path).body(JSON, object.to_string())).await
    }

    pub async fn replace(&self, session: &Session, path: String, object: &Value) -> Outcome<Value> {
        session.json(self.call(Method::PUT, path).body(JSON, object.to_string())).await
    }

    pub async fn patch(&self, session: &Session, path: String, media_type: &str, patch: String) -> Outcome<Value> {
        session.json(self.call(Method::PATCH, path).body(media_type, patch)).await
    }

    pub async fn apply(&self, session: &Session, path: String, object: &Value, force: bool) -> Outcome<Value> {
        let force = if force { "true" } else { "false" };
        session.json(self.call(Method::PATCH, path).query("force", force).body(APPLY, object.to_string())).await
    }
}

/// How objects are deleted.
#[derive(Debug, Clone, Default)]
pub struct Deletion {
    /// `Background`, `Orphan`, `Foreground`, or empty.
    pub propagation: &'static str,
    pub grace_seconds: Option<i64>,
    pub dry_run: bool,
}

impl Deletion {
    /// As a command's flags say: `--cascade` and `--grace-period`.
    pub fn of(args: &Args, dry_run: DryRun) -> Outcome<Self> {
        let propagation = match args.text("cascade") {
            "background" | "true" => "Background",
            "orphan" | "false" => "Orphan",
            "foreground" => "Foreground",
            other => {
                return Err(Failure::message(format!(
                    "invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""
                )));
            }
        };
        let grace_seconds = Some(args.int("grace-period")).filter(|seconds| *seconds >= 0);
        Ok(Deletion { propagation, grace_seconds, dry_run: dry_run == DryRun::Server })
    }

    pub async fn send(&self, session: &Session, path: String) -> Outcome<Value> {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if !self.propagation.is_empty() {
            options["propagationPolicy"] = json!(self.propagation);
        }
        if let Some(seconds) = self.grace_seconds {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        if self.dry_run {
            options["dryRun"] = json!(["All"]);
        }
        session.json(Call::new(Method::DELETE, path).body(JSON, options.to_string())).await
    }
}

/// The patch that makes `new` of `old`, as a kind's clients send it.
pub fn two_way(old: &Value, new: &Value) -> Outcome<(&'static str, Value)> {
    let (api_version, kind) =
        (new["apiVersion"].as_str().unwrap_or_default(), new["kind"].as_str().unwrap_or_default());
    match kinds::type_of_version(api_version, kind) {
        Some(id) => {
            let cursor = kinds::schema().cursor(id);
            let patch =
                wire::patch::strategic_diff(old, new, old, &cursor).map_err(|why| Failure::message(why.to_string()))?;
            Ok((STRATEGIC, patch))
        }
        None => Ok((MERGE, wire::patch::json_merge_diff(old, new, old))),
    }
}
