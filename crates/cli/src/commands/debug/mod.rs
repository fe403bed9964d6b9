//! `kubectl debug`: an ephemeral container in a pod, a copy of a pod changed for debugging, or a
//! pod on a node with the node's own namespaces and files.

mod profile;

use self::profile::{Profile, Style};
use super::exec::attach_to;
use super::logs::default_container;
use crate::changes::{STRATEGIC, Write};
use crate::command::{Command, Done, FILES};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, repeat, text};
use crate::output::{error_line, line};
use crate::print::{name_of, namespace_of};
use crate::session::{Call, Session};
use crate::shared_flags::STREAMS;
use crate::targets::{fetched, targets};
use serde_json::{Value, json};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(250);
/// What is attached to must run by then.
const START_LIMIT: Duration = Duration::from_secs(60);

const FLAGS: &[Flag] = &[
    boolean(
        "arguments-only",
        "If specified, everything after -- will be passed to the new container as Args instead of Command.",
    ),
    boolean(
        "attach",
        "If true, wait for the container to start running, and then attach as if 'kubectl attach ...' were called. Default false, unless '-i/--stdin' is set, in which case the default is true.",
    ),
    text("container", "", "Container name to use for debug container.").short('c'),
    text("copy-to", "", "Create a copy of the target Pod with this name."),
    text(
        "custom",
        "",
        "Path to a JSON or YAML file containing a partial container spec to customize built-in debug profiles.",
    ),
    repeat("env", "Environment variables to set in the container."),
    text("image", "", "Container image to use for debug container."),
    text("image-pull-policy", "", "The image pull policy for the container."),
    boolean("keep-annotations", "If true, keep the original pod annotations."),
    Flag {
        default: "true",
        ..boolean("keep-init-containers", "Run the init containers for the pod. Defaults to true.")
    },
    boolean("keep-labels", "If true, keep the original pod labels."),
    boolean("keep-liveness", "If true, keep the original pod liveness probes."),
    boolean("keep-readiness", "If true, keep the original pod readiness probes."),
    boolean("keep-startup", "If true, keep the original startup probes."),
    text(
        "profile",
        "general",
        "Options are \"legacy\", \"general\", \"baseline\", \"netadmin\", \"restricted\" or \"sysadmin\".",
    ),
    boolean("replace", "When used with '--copy-to', delete the original Pod."),
    boolean("same-node", "When used with '--copy-to', schedule the copy of target Pod on the same node."),
    repeat(
        "set-image",
        "When used with '--copy-to', a list of name=image pairs for changing container images, similar to how 'kubectl set image' works.",
    ),
    Flag {
        default: "true",
        ..boolean("share-processes", "When used with '--copy-to', enable process namespace sharing in the copy.")
    },
    text("target", "", "When using an ephemeral container, target processes in this container name."),
];

pub static COMMAND: Command = Command {
    name: "debug",
    usage: "debug (POD | TYPE[[.VERSION].GROUP]/NAME) [ -- COMMAND [args...] ] [options]",
    short: "Create debugging sessions for troubleshooting workloads and nodes",
    long: "Pods are debugged by an ephemeral container added to them, or by a copy with --copy-to; nodes by a pod in the node's namespaces, with its files below /host.",
    examples: "# Create an interactive debugging session in pod mypod and immediately attach to it\nkubectl debug mypod -it --image=busybox\n\n# Create a copy of mypod changing the command of mycontainer\nkubectl debug mypod -it --copy-to=my-debugger --container=mycontainer -- sh\n\n# Create an interactive debugging session on a node and immediately attach to it\nkubectl debug node/mynode -it --image=busybox",
    flags: &[FILES, STREAMS, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

struct Debug<'a> {
    session: &'a Session,
    args: &'a Args,
    profile: Profile,
    command: &'a [String],
    write: Write,
}

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let split = args.before_dash.unwrap_or(args.words.len());
        let (words, command) = args.words.split_at(split);
        check(&args, words)?;
        let profile = Profile::of(args.text("profile"))?;
        if profile == Profile::Legacy {
            error_line(
                "--profile=legacy is deprecated and will be removed in the future. It is recommended to explicitly specify a profile, for example \"--profile=general\".",
            );
        }
        let words: Vec<String> =
            words.iter().map(|word| if word.contains('/') { word.clone() } else { format!("pod/{word}") }).collect();
        let debug = Debug { session, args: &args, profile, command, write: Write::of(&args, "kubectl-debug")? };
        for (_, object) in fetched(session, &args, targets(session, &args, &words).await?).await? {
            let (pod, container) = match object["kind"].as_str().unwrap_or_default() {
                "Pod" if args.text("copy-to").is_empty() => debug.ephemeral(&object).await?,
                "Pod" => debug.copy(&object).await?,
                "Node" => debug.node(&object).await?,
                kind => return Err(Failure::message(format!("{kind:?} not supported by debug"))),
            };
            if attaches(&args) {
                debug.attach(&pod, &container).await?;
            }
        }
        Ok(())
    })
}

fn attaches(args: &Args) -> bool {
    if args.has("attach") { args.bool("attach") } else { args.bool("stdin") }
}

fn check(args: &Args, words: &[String]) -> Outcome {
    let given = |flag: &str| !args.text(flag).is_empty();
    let copies = given("copy-to");
    let why = if !given("image") && !copies {
        "you must specify --image when not using --copy-to."
    } else if words.is_empty() && !crate::targets::gives_files(args)? {
        "NAME or filename is required for debug"
    } else if given("image") && !args.list("set-image").is_empty() && !copies {
        "--set-image may only be used with --copy-to"
    } else if copies && given("target") {
        "--target is incompatible with --copy-to. Use --share-processes instead."
    } else if !copies && !args.list("set-image").is_empty() {
        "--set-image may only be used with --copy-to"
    } else if copies
        && !given("image")
        && args.list("set-image").is_empty()
        && !given("container")
        && words.len() == args.words.len()
    {
        "you must specify --container or create a new container using --image in order to set the command"
    } else if args.bool("tty") && !args.bool("stdin") {
        "-i/--stdin is required for containers with -t/--tty=true"
    } else if args.bool("replace") && !copies {
        "--replace may only be used with --copy-to."
    } else if args.bool("same-node") && !copies {
        "--same-node may only be used with --copy-to."
    } else {
        return Ok(());
    };
    Err(Failure::message(why))
}

/// The signs of generated names: no vowels, so no words.
const SIGNS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Debug<'_> {
    fn suffix(&self) -> String {
        let one = |_| {
            let at = self.session.env.rng.u64(0..SIGNS.len() as u64);
            char::from(SIGNS[usize::try_from(at).unwrap_or_default()])
        };
        (0..5).map(one).collect()
    }

    fn container_name(&self, taken: &[&str]) -> String {
        match self.args.text("container") {
            "" => loop {
                let name = format!("debugger-{}", self.suffix());
                if !taken.contains(&name.as_str()) {
                    if attaches(self.args) || !self.args.bool("quiet") {
                        line(&format!("Defaulting debug container name to {name}."));
                    }
                    return name;
                }
            },
            given => given.to_owned(),
        }
    }

    /// The debugging container without what its profile adds.
    fn container(&self, name: &str) -> Outcome<Value> {
        let mut container = json!({"name": name, "image": self.args.text("image"), "resources": {},
            "terminationMessagePolicy": "File"});
        if !self.args.text("image-pull-policy").is_empty() {
            container["imagePullPolicy"] = json!(self.args.text("image-pull-policy"));
        }
        for flag in ["stdin", "tty"] {
            if self.args.bool(flag) {
                container[flag] = json!(true);
            }
        }
        if !self.command.is_empty() {
            let field = if self.args.bool("arguments-only") { "args" } else { "command" };
            container[field] = json!(self.command);
        }
        let variables = self.variables()?;
        if !variables.is_empty() {
            container["env"] = json!(variables);
        }
        Ok(container)
    }

    fn variables(&self) -> Outcome<Vec<Value>> {
        let one = |pair: &String| {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| Failure::message(format!("invalid argument: {pair:?}")))?;
            Ok(json!({"name": name, "value": value}))
        };
        self.args.list("env").iter().map(one).collect()
    }

    /// What `--custom` says laid over the container.
    fn customised(&self, container: Value) -> Outcome<Value> {
        let path = self.args.text("custom");
        if path.is_empty() {
            return Ok(container);
        }
        let custom = wire::yaml::parse(&crate::targets::read(path.as_ref())?)
            .map_err(|why| Failure::message(format!("unable to parse {path}: {why}")))?;
        if ["name", "image", "command", "lifecycle", "volumeDevices"].iter().any(|field| custom.get(field).is_some()) {
            return Err(Failure::message(
                "name, command, image, lifecycle and volume devices are not modifiable via custom profile",
            ));
        }
        let patched = wire::patch::merge_patch(&container, custom.to_string().as_bytes());
        patched.map_err(|why| Failure::message(why.to_string()))
    }

    async fn ephemeral(&self, pod: &Value) -> Outcome<(Value, String)> {
        let name = self.container_name(&names(pod));
        let mut container = self.container(&name)?;
        if !self.args.text("target").is_empty() {
            container["targetContainerName"] = json!(self.args.text("target"));
            line(&format!(
                "Targeting container {:?}. If you don't see processes from this container it may be because the container runtime doesn't support this feature.",
                self.args.text("target")
            ));
        }
        self.profile.container(Style::Ephemeral, &mut container);
        let container = self.customised(container)?;
        let patch = json!({"spec": {"ephemeralContainers": [container]}});
        let path = format!("{}/ephemeralcontainers", path_of(pod));
        let patched = self.write.patch(self.session, path, STRATEGIC, patch.to_string()).await;
        let patched = patched.map_err(|failure| match failure.status() {
            Some(status) if status.code == 404 && status.details.as_ref().is_none_or(|own| own.name.is_empty()) => {
                Failure::message("ephemeral containers are disabled for this cluster")
            }
            _ => failure,
        })?;
        Ok((patched, name))
    }

    async fn copy(&self, pod: &Value) -> Outcome<(Value, String)> {
        let (mut copy, name) = self.copy_of(pod)?;
        let path = format!("/api/v1/namespaces/{}/pods", namespace_of(pod));
        let images: Vec<String> = self.args.list("set-image");
        set_images(&mut copy, &images)?;
        if self.args.bool("replace") {
            crate::changes::Deletion { propagation: "Background", ..Default::default() }
                .send(self.session, path_of(pod))
                .await?;
        }
        let made = self.write.create(self.session, path, &copy).await?;
        Ok((made, name))
    }

    /// The copy with a container more or one changed, and that container's name.
    fn copy_of(&self, pod: &Value) -> Outcome<(Value, String)> {
        let mut spec = pod["spec"].clone();
        let mut metadata = json!({"name": self.args.text("copy-to"), "namespace": namespace_of(pod)});
        for (flag, field) in [("keep-labels", "labels"), ("keep-annotations", "annotations")] {
            if self.args.bool(flag) && pod["metadata"][field].is_object() {
                metadata[field] = pod["metadata"][field].clone();
            }
        }
        if let Some(map) = spec.as_object_mut() {
            map.remove("ephemeralContainers");
            if !self.args.bool("same-node") {
                map.remove("nodeName");
            }
            if !self.args.bool("keep-init-containers") {
                map.remove("initContainers");
            }
            if self.args.bool("share-processes") {
                map.insert("shareProcessNamespace".to_owned(), json!(true));
            }
        }
        for (flag, field) in
            [("keep-liveness", "livenessProbe"), ("keep-readiness", "readinessProbe"), ("keep-startup", "startupProbe")]
        {
            for container in spec["containers"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                if !self.args.bool(flag) {
                    container.remove(field);
                }
            }
        }
        let known: Vec<String> = spec["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| crate::jsonpath::text_of(&one["name"]))
            .collect();
        let asked = self.args.text("container");
        let name = if asked.is_empty() && self.args.text("image").is_empty() {
            known.first().cloned().unwrap_or_default()
        } else {
            self.container_name(&known.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let place = known.iter().position(|one| *one == name);
        let Some(containers) = spec["containers"].as_array_mut() else {
            return Err(Failure::message("the pod has no containers"));
        };
        let style = match place {
            Some(at) => {
                self.change(&mut containers[at])?;
                self.profile.container(Style::Copy, &mut containers[at]);
                containers[at] = self.customised(containers[at].clone())?;
                Style::Copy
            }
            None => {
                if self.args.text("image").is_empty() {
                    return Err(Failure::message("you must specify image when creating new container"));
                }
                let mut container = self.container(&name)?;
                self.profile.container(Style::Copy, &mut container);
                containers.push(self.customised(container)?);
                Style::Copy
            }
        };
        let mut copy = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        self.profile.pod(style, &mut copy);
        Ok((copy, name))
    }

    /// Makes a container of the copy the debugging one.
    fn change(&self, container: &mut Value) -> Outcome {
        if !self.args.text("image").is_empty() {
            container["image"] = json!(self.args.text("image"));
        }
        if !self.command.is_empty() {
            if self.args.bool("arguments-only") {
                container["args"] = json!(self.command);
            } else {
                container["command"] = json!(self.command);
                container.as_object_mut().map(|map| map.remove("args"));
            }
        }
        for flag in ["stdin", "tty"] {
            if self.args.bool(flag) {
                container[flag] = json!(true);
            }
        }
        let variables = self.variables()?;
        if !variables.is_empty() {
            let mut all = container["env"].as_array().cloned().unwrap_or_default();
            all.retain(|one| variables.iter().all(|own| own["name"] != one["name"]));
            all.extend(variables);
            container["env"] = json!(all);
        }
        Ok(())
    }

    async fn node(&self, node: &Value) -> Outcome<(Value, String)> {
        let node = name_of(node);
        let name = match self.args.text("container") {
            "" => "debugger",
            given => given,
        };
        let pod_name = format!("node-debugger-{node}-{}", self.suffix());
        if self.args.text("image").is_empty() {
            return Err(Failure::message("you must specify --image when the target is a node"));
        }
        line(&format!("Creating debugging pod {pod_name} with container {name} on node {node}."));
        let mut container = self.container(name)?;
        self.profile.container(Style::Node, &mut container);
        let container = self.customised(container)?;
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod_name, "labels": {"app.kubernetes.io/managed-by": "kubectl-debug"}},
            "spec": {
                "containers": [container], "nodeName": node, "restartPolicy": "Never",
                "tolerations": [{"operator": "Exists"}],
            },
        });
        self.profile.pod(Style::Node, &mut pod);
        let namespace = self.session.namespace().await?;
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let made = self.write.create(self.session, path, &pod).await?;
        Ok((made, name.to_owned()))
    }

    /// Waits for the container to run and attaches, or shows what it said if it is over already.
    async fn attach(&self, pod: &Value, name: &str) -> Outcome {
        let clock = self.session.env.clock.clone();
        let path = path_of(pod);
        let name = if name.is_empty() { default_container(pod)? } else { name.to_owned() };
        let begun = async {
            loop {
                let pod = self.session.json(Call::get(path.clone())).await?;
                let lists = ["ephemeralContainerStatuses", "containerStatuses"];
                let mut all = lists.iter().flat_map(|list| pod["status"][*list].as_array().into_iter().flatten());
                if let Some(status) = all.find(|status| status["name"] == name.as_str()) {
                    let waiting = &status["state"]["waiting"];
                    if let Some("ErrImageNeverPull" | "InvalidImageName") = waiting["reason"].as_str() {
                        return Err(Failure::message(format!(
                            "container {name} cannot start: {}",
                            waiting["message"].as_str().unwrap_or_default()
                        )));
                    }
                    if status["state"]["running"].is_object() || status["state"]["terminated"].is_object() {
                        return Ok((status["state"]["running"].is_object(), pod.clone()));
                    }
                }
                clock.sleep(LOOK).await;
            }
        };
        let timed_out = |_| Failure::message("timed out waiting for the condition");
        let (runs, pod) = clock.timeout(START_LIMIT, begun).await.map_err(timed_out)??;
        if runs {
            return attach_to(self.session, &pod, &name, self.args).await.map(|_| ());
        }
        let log = Call::get(format!("{path}/log")).accept("*/*").query("container", name);
        crate::output::out_bytes(&self.session.send(log).await?);
        Ok(())
    }
}

fn path_of(pod: &Value) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", namespace_of(pod), name_of(pod))
}

fn names(pod: &Value) -> Vec<&str> {
    ["containers", "initContainers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str())
        .collect()
}

/// `name=image`, `*=image` for all.
fn set_images(pod: &mut Value, pairs: &[String]) -> Outcome {
    for (name, image) in
        pairs.iter().flat_map(|pairs| pairs.split(',')).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    {
        for list in ["containers", "initContainers"] {
            for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
                if name == "*" || container["name"] == name {
                    container["image"] = json!(image);
                }
            }
        }
    }
    Ok(())
}
