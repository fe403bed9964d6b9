//! `kubectl cluster-info dump`: objects and logs for somebody who looks into a problem.

use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, duration, list, text};
use crate::output::{line, out};
use crate::print::{Format, hide_managed_fields, name_of};
use crate::session::{Call, Session, io_text};
use crate::shared_flags::ALL_NAMESPACES;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const FLAGS: &[Flag] = &[
    ALL_NAMESPACES,
    list("namespaces", "A comma separated list of namespaces to dump."),
    text(
        "output-directory",
        "",
        "Where to output the files. If empty or '-' uses stdout, otherwise creates a directory hierarchy in that directory",
    ),
    duration(
        "pod-running-timeout",
        "20s",
        "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
    ),
];

pub static COMMAND: Command = Command {
    name: "dump",
    usage: "cluster-info dump [flags] [options]",
    short: "Dump relevant information for debugging and diagnosis",
    long: "Dump cluster information out suitable for debugging and diagnosing cluster problems. By default, dumps everything to stdout, from the namespace 'kube-system' and the current one.",
    examples: "# Dump current cluster state to stdout\nkubectl cluster-info dump\n\n# Dump current cluster state to /path/to/cluster-state\nkubectl cluster-info dump --output-directory=/path/to/cluster-state",
    flags: &[PRINT, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

/// Of each namespace, in this order: group path, resource, list kind, file.
const PER_NAMESPACE: &[(&str, &str, &str)] = &[
    ("/api/v1", "events", "EventList"),
    ("/api/v1", "replicationcontrollers", "ReplicationControllerList"),
    ("/api/v1", "services", "ServiceList"),
    ("/apis/apps/v1", "daemonsets", "DaemonSetList"),
    ("/apis/apps/v1", "deployments", "DeploymentList"),
    ("/apis/apps/v1", "replicasets", "ReplicaSetList"),
    ("/api/v1", "pods", "PodList"),
];

struct Dump<'a> {
    session: &'a Session,
    format: Format,
    folder: Option<PathBuf>,
}

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let folder = Some(args.text("output-directory")).filter(|path| !["", "-"].contains(path)).map(PathBuf::from);
        let format = match Format::of(&args, false)? {
            Format::Default => Format::Json,
            format => format,
        };
        let dump = Dump { session, format, folder };
        dump.nodes().await?;
        for namespace in namespaces(session, &args).await? {
            dump.namespace(&namespace).await?;
        }
        if let Some(folder) = &dump.folder {
            line(&format!("Cluster info dumped to {}", folder.display()));
        }
        Ok(())
    })
}

async fn namespaces(session: &Session, args: &Args) -> Outcome<Vec<String>> {
    if args.bool("all-namespaces") {
        let all = session.json(Call::get("/api/v1/namespaces")).await?;
        return Ok(all["items"].as_array().into_iter().flatten().map(|one| name_of(one).to_owned()).collect());
    }
    let given = args.list("namespaces");
    if !given.is_empty() {
        return Ok(given);
    }
    let mut own = vec!["kube-system".to_owned()];
    let current = session.namespace().await?;
    if !own.contains(&current) {
        own.push(current);
    }
    Ok(own)
}

impl Dump<'_> {
    async fn nodes(&self) -> Outcome {
        let list = self.session.json(Call::get("/api/v1/nodes")).await?;
        self.object(list, "NodeList", Path::new("nodes"))
    }

    async fn namespace(&self, namespace: &str) -> Outcome {
        let mut pods = Value::Null;
        for (group, resource, kind) in PER_NAMESPACE {
            let list = self.session.json(Call::get(format!("{group}/namespaces/{namespace}/{resource}"))).await?;
            if *resource == "pods" {
                pods = list.clone();
            }
            let file = if *resource == "replicationcontrollers" { "replication-controllers" } else { resource };
            self.object(list, kind, &Path::new(namespace).join(file))?;
        }
        for pod in pods["items"].as_array().into_iter().flatten() {
            self.logs(namespace, pod).await?;
        }
        Ok(())
    }

    fn object(&self, mut list: Value, kind: &str, file: &Path) -> Outcome {
        hide_managed_fields(&mut list);
        list["kind"] = json!(kind);
        match &self.folder {
            None => self.format.print(&list, ""),
            Some(folder) => {
                let (text, end) = match self.format {
                    Format::Yaml => (wire::yaml::to_string(&list), "yaml"),
                    _ => (format!("{}\n", crate::print::json::pretty(&list)), "json"),
                };
                write(&folder.join(file).with_extension(end), text.as_bytes())
            }
        }
    }

    async fn logs(&self, namespace: &str, pod: &Value) -> Outcome {
        let name = name_of(pod);
        let mut text = Vec::new();
        for list in ["initContainers", "containers"] {
            for container in pod["spec"][list].as_array().into_iter().flatten() {
                let container = container["name"].as_str().unwrap_or_default();
                text.extend_from_slice(
                    format!("==== START logs for container {container} of pod {namespace}/{name} ====\n").as_bytes(),
                );
                let call = Call::get(format!("/api/v1/namespaces/{namespace}/pods/{name}/log")).accept("*/*");
                match self.session.send(call.query("container", container)).await {
                    Ok(log) => text.extend_from_slice(&log),
                    // A container without a log does not keep the others from being dumped.
                    Err(failure) => text.extend_from_slice(format!("Request log error: {failure}\n").as_bytes()),
                }
                text.extend_from_slice(
                    format!("==== END logs for container {container} of pod {namespace}/{name} ====\n").as_bytes(),
                );
            }
        }
        match &self.folder {
            None => {
                out(&String::from_utf8_lossy(&text));
                Ok(())
            }
            Some(folder) => write(&folder.join(namespace).join(name).join("logs.txt"), &text),
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Outcome {
    let failed = |why: std::io::Error| Failure::message(format!("open {}: {}", path.display(), io_text(&why)));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, bytes).map_err(failed)
}
