//! The API server's own flags, with upstream's names: limits, versions, audit, the end.

use anyhow::Context as _;
use apiserver::{Apis, Limits};
use audit::{Audit, Batching, Format, LogOptions, Mode, Policy, WebhookOptions};
use base::Env;
use clap::{Arg, ArgAction, ArgMatches};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How the API server is set up.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    pub limits: Limits,
    pub apis: Apis,
    pub audit_policy: Option<PathBuf>,
    pub audit_log: Option<LogOptions>,
    pub audit_webhook: Option<WebhookOptions>,
    /// How long the server goes on answering after it was told to stop.
    pub shutdown_delay: Duration,
}

/// Name, what stands for its value, help, default.
const FLAGS: &[(&str, &str, &str, &str)] = &[
    ("max-requests-inflight", "N", "How many requests that read are worked on at a time", "400"),
    ("max-mutating-requests-inflight", "N", "How many requests that write are worked on at a time", "200"),
    ("enable-priority-and-fairness", "BOOL", "Share those out by FlowSchemas and PriorityLevelConfigurations", "true"),
    ("request-timeout", "DURATION", "How long a request may take that is no watch or stream", "1m0s"),
    ("min-request-timeout", "SECONDS", "How long watches last at least that name no end", "1800"),
    ("goaway-chance", "0..0.02", "How often clients of HTTP/2 are asked to connect anew", "0"),
    ("shutdown-delay-duration", "DURATION", "How long to go on answering after the order to stop", "0s"),
    (
        "audit-policy-file",
        "FILE",
        "What to record: an audit.k8s.io/v1 Policy; without one who did what, of all requests",
        "",
    ),
    ("audit-log-path", "FILE", "Record there, not in the data folder; - for standard output, none for nowhere", ""),
    ("audit-log-format", "json|legacy", "How lines are written", "json"),
    ("audit-log-maxage", "DAYS", "How long old log files stay; 0: for ever", "0"),
    ("audit-log-maxbackup", "N", "How many old log files stay; 0: all", "0"),
    ("audit-log-maxsize", "MEGABYTES", "When a log file is full; 0: at 100", "0"),
    ("audit-log-mode", "MODE", "blocking, blocking-strict or batch", "blocking"),
    ("audit-log-batch-buffer-size", "N", "Events that wait, in batch mode", "10000"),
    ("audit-log-batch-max-size", "N", "Events per batch", "1"),
    ("audit-webhook-config-file", "FILE", "Record at the server of this kubeconfig", ""),
    ("audit-webhook-mode", "MODE", "batch, blocking or blocking-strict", "batch"),
    ("audit-webhook-initial-backoff", "DURATION", "How long to wait before trying again", "10s"),
    ("audit-webhook-batch-buffer-size", "N", "Events that wait", "10000"),
    ("audit-webhook-batch-max-size", "N", "Events per batch", "400"),
    ("audit-webhook-batch-max-wait", "DURATION", "How long a batch waits for more", "30s"),
    ("audit-webhook-batch-throttle-enable", "BOOL", "Whether batches are held back", "true"),
    ("audit-webhook-batch-throttle-qps", "N", "Batches per second", "10"),
    ("audit-webhook-batch-throttle-burst", "N", "Batches at once", "15"),
];

pub fn args() -> Vec<Arg> {
    let runtime = Arg::new("runtime-config")
        .long("runtime-config")
        .value_name("GROUP/VERSION=BOOL")
        .help("Turn API versions on or off; also api/all, api/ga, api/beta, api/alpha, api/legacy")
        .action(ArgAction::Append);
    let simple = FLAGS.iter().map(|(name, shown, help, default)| {
        let arg = Arg::new(*name).long(*name).value_name(*shown).help(*help);
        // What upstream's manifests set is taken; help shows what people need.
        let arg = arg.hide(name.contains("-batch-"));
        if default.is_empty() { arg } else { arg.default_value(*default) }
    });
    simple.chain([runtime]).collect()
}

/// Where it is recorded who did what unless something else is said, below the data folder.
const AUDIT_LOG: &str = "audit/audit.log";

pub fn read(matches: &ArgMatches, data_dir: &Path) -> anyhow::Result<ApiOptions> {
    let given = Given(matches);
    let runtime = matches.get_many::<String>("runtime-config").into_iter().flatten().map(String::as_str);
    let chance: f64 = given.number("goaway-chance")?;
    anyhow::ensure!((0.0..=0.02).contains(&chance), "--goaway-chance can not be less than 0 or greater than 0.02");
    Ok(ApiOptions {
        limits: Limits {
            max_requests: given.number("max-requests-inflight")?,
            max_mutating_requests: given.number("max-mutating-requests-inflight")?,
            priority_and_fairness: given.boolean("enable-priority-and-fairness")?,
            request_timeout: given.duration("request-timeout")?,
            min_request_timeout: Duration::from_secs(given.number("min-request-timeout")?),
            goaway_chance: chance,
        },
        apis: Apis::parse(runtime).map_err(anyhow::Error::msg).context("--runtime-config")?,
        audit_policy: given.text("audit-policy-file").map(PathBuf::from),
        audit_log: match given.text("audit-log-path") {
            Some(path) if path == "none" => None,
            Some(path) => Some(audit_log(&given, path)?),
            None if given.text("audit-webhook-config-file").is_some() => None,
            None => Some(own_audit_log(audit_log(&given, data_dir.join(AUDIT_LOG).display().to_string())?)),
        },
        audit_webhook: given.text("audit-webhook-config-file").map(|path| audit_webhook(&given, path)).transpose()?,
        shutdown_delay: given.duration("shutdown-delay-duration")?,
    })
}

/// Opens what records; None where there is nowhere to record.
pub async fn open_audit(env: &Env, options: &ApiOptions) -> anyhow::Result<Option<Arc<Audit>>> {
    if options.audit_log.is_none() && options.audit_webhook.is_none() {
        return Ok(None);
    }
    let policy = match &options.audit_policy {
        Some(path) => Policy::load(path).with_context(|| format!("loading audit policy file {}", path.display()))?,
        None => Policy::parse(audit::STANDARD_POLICY).context("the audit policy of its own")?,
    };
    let audit = Audit::open(env, policy, options.audit_log.as_ref(), options.audit_webhook.as_ref()).await?;
    Ok(Some(audit))
}

fn audit_log(given: &Given<'_>, path: String) -> anyhow::Result<LogOptions> {
    let format = match given.text("audit-log-format").as_deref() {
        Some("legacy") => Format::Legacy,
        Some("json") | None => Format::Json,
        Some(other) => anyhow::bail!("invalid audit log format {other}, allowed formats are \"legacy,json\""),
    };
    let defaults = LogOptions::default();
    Ok(LogOptions {
        path,
        format,
        max_age: given.number("audit-log-maxage")?,
        max_backups: given.number("audit-log-maxbackup")?,
        max_size: given.number("audit-log-maxsize")?,
        batching: Batching {
            mode: given.mode("audit-log-mode")?,
            buffer: given.number("audit-log-batch-buffer-size")?,
            max_size: given.number("audit-log-batch-max-size")?,
            ..defaults.batching
        },
    })
}

/// The log that nobody asked for: it takes little room, and no request waits for it.
fn own_audit_log(given: LogOptions) -> LogOptions {
    LogOptions {
        max_backups: if given.max_backups == 0 { 1 } else { given.max_backups },
        batching: Batching { mode: Mode::Batch, max_size: 400, max_wait: Duration::from_secs(1), ..given.batching },
        ..given
    }
}

fn audit_webhook(given: &Given<'_>, path: String) -> anyhow::Result<WebhookOptions> {
    let throttles = given.boolean("audit-webhook-batch-throttle-enable")?;
    let rate = given.number("audit-webhook-batch-throttle-qps")?;
    let burst = given.number("audit-webhook-batch-throttle-burst")?;
    Ok(WebhookOptions {
        config: PathBuf::from(path),
        initial_backoff: given.duration("audit-webhook-initial-backoff")?,
        batching: Batching {
            mode: given.mode("audit-webhook-mode")?,
            buffer: given.number("audit-webhook-batch-buffer-size")?,
            max_size: given.number("audit-webhook-batch-max-size")?,
            max_wait: given.duration("audit-webhook-batch-max-wait")?,
            throttle: throttles.then_some((rate, burst)),
        },
    })
}

struct Given<'m>(&'m ArgMatches);

impl Given<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get_one::<String>(name).filter(|text| !text.is_empty()).cloned()
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> anyhow::Result<N> {
        let text = self.text(name).unwrap_or_default();
        text.parse().ok().with_context(|| format!("--{name}: {text:?} is no fitting number"))
    }

    fn boolean(&self, name: &str) -> anyhow::Result<bool> {
        match self.text(name).as_deref() {
            Some("true" | "1" | "t") => Ok(true),
            Some("false" | "0" | "f") => Ok(false),
            other => anyhow::bail!("--{name}: {:?} is neither true nor false", other.unwrap_or_default()),
        }
    }

    fn duration(&self, name: &str) -> anyhow::Result<Duration> {
        let text = self.text(name).unwrap_or_default();
        apiserver::go_duration(&text).with_context(|| format!("--{name}: time: invalid duration {text:?}"))
    }

    fn mode(&self, name: &str) -> anyhow::Result<Mode> {
        match self.text(name).as_deref() {
            Some("batch") => Ok(Mode::Batch),
            Some("blocking" | "blocking-strict") => Ok(Mode::Blocking),
            other => anyhow::bail!("invalid audit mode {}", other.unwrap_or_default()),
        }
    }
}

/// What `/configz` shows.
pub fn configuration(options: &ApiOptions) -> serde_json::Value {
    let limits = &options.limits;
    serde_json::json!({"apiserver.kutter": {
        "maxRequestsInflight": limits.max_requests,
        "maxMutatingRequestsInflight": limits.max_mutating_requests,
        "enablePriorityAndFairness": limits.priority_and_fairness,
        "requestTimeout": format!("{:?}", limits.request_timeout),
        "minRequestTimeout": limits.min_request_timeout.as_secs(),
        "goawayChance": limits.goaway_chance,
        "shutdownDelayDuration": format!("{:?}", options.shutdown_delay),
        "audit": {
            "policyFile": options.audit_policy.as_ref().map(|path| path.display().to_string()),
            "logPath": options.audit_log.as_ref().map(|log| log.path.clone()),
            "webhook": options.audit_webhook.is_some(),
        },
    }})
}
