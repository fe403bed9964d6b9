//! `kubectl apply`: client-side by a three-way patch, or server-side.

mod last;
mod prune;
mod set;
mod upgrade;

use crate::changes::{MERGE, STRATEGIC, Write};
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT, SELECTOR, VALIDATE};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, repeat, text};
use crate::last_applied;
use crate::output::warning;
use crate::print::{DryRun, Teller, hide_managed_fields, list_of};
use crate::session::Session;
use crate::shared_flags::{ALL, DELETION, FIELD_MANAGER, RECORD, SUBRESOURCE};
use crate::targets::{Target, from_files};
use serde_json::{Value, json};
use std::sync::Mutex;

/// How often a patch is found anew when somebody else was quicker.
const ATTEMPTS: usize = 5;

const FLAGS: &[Flag] = &[
    DRY_RUN,
    VALIDATE,
    SELECTOR,
    ALL,
    FIELD_MANAGER,
    text(
        "applyset",
        "",
        "[alpha] The name of the ApplySet that tracks which resources are being managed, for the purposes of determining what to prune. Live resources that are part of the ApplySet but have been removed from the provided configs will be deleted. Format: [RESOURCE][.GROUP]/NAME. A Secret will be used if no resource or group is specified. Needs KUBECTL_APPLYSET=true.",
    ),
    boolean("force-conflicts", "If true, server-side apply will force the changes against conflicts."),
    Flag {
        default: "true",
        ..boolean(
            "openapi-patch",
            "If true, use openapi to calculate diff when the openapi presents and the resource can be found in the openapi spec.",
        )
    },
    Flag {
        default: "true",
        ..boolean(
            "overwrite",
            "Automatically resolve conflicts between the modified and live configuration by using values from the modified configuration",
        )
    },
    RECORD,
    boolean("prune", "Automatically delete resource objects, that do not appear in the configs."),
    repeat("prune-allowlist", "Overwrite the default allowlist with <group/version/kind> for --prune"),
    boolean("server-side", "If true, apply runs in the server instead of the client."),
    SUBRESOURCE,
];

pub static COMMAND: Command = Command {
    name: "apply",
    usage: "apply (-f FILENAME | -k DIRECTORY) [options]",
    short: "Apply a configuration to a resource by file name or stdin",
    long: "The resource name must be specified. This resource will be created if it doesn't exist yet.",
    examples: "# Apply the configuration in pod.json to a pod\nkubectl apply -f ./pod.json\n\n# Apply the JSON passed into stdin to a pod\ncat pod.json | kubectl apply -f -",
    flags: &[PRINT, FILES, DELETION, FLAGS],
    run: Some(run),
    children: &[&last::EDIT, &last::SET, &last::VIEW],
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if !crate::targets::gives_files(&args)? {
            return Err(Failure::message("must specify one of -f and -k"));
        }
        if let Some(word) = args.words.first() {
            return Err(Failure::usage(&session.path, format!("Unexpected args: [{word}]")));
        }
        check(session, &args)?;
        let set = set::Set::of(session, &args).await?;
        prune::check(&args)?;
        let manager = if args.bool("server-side") { "kubectl" } else { "kubectl-client-side-apply" };
        let (teller, write) = (Teller::of(&args)?, Write::of(&args, manager)?);
        let mut targets = chosen(session, &args).await?;
        for object in targets.iter_mut().filter_map(|target| target.object.as_mut()) {
            crate::change_cause::note(&session.path, &args, object);
        }
        if targets.is_empty() {
            return Err(Failure::message("no objects passed to apply"));
        }
        let set = match set {
            Some(set) => Some(set.begin(session, &write, &mut targets).await?),
            None => None,
        };
        let apply = Apply { session, args: &args, teller, write, kept: Mutex::default(), shown: Mutex::default() };
        let mut failures = Vec::new();
        let mut namespaces: Vec<String> = Vec::new();
        for target in targets {
            if let Some(namespace) = target.namespace.clone().filter(|one| !namespaces.contains(one)) {
                namespaces.push(namespace);
            }
            let done =
                if args.bool("server-side") { apply.on_server(target).await } else { apply.on_client(target).await };
            failures.extend(done.err());
        }
        if failures.is_empty() {
            apply.tell_whole()?;
        }
        if args.bool("prune") && failures.is_empty() {
            let kept = apply.kept.lock().map(|kept| kept.clone()).unwrap_or_default();
            match set {
                Some(set) => set.prune(session, &args, &kept, &apply.write, &apply.teller).await?,
                None => prune::prune(session, &args, &kept, &namespaces, &apply.teller).await?,
            }
        }
        Failure::collect(failures)
    })
}

fn check(session: &Session, args: &Args) -> Outcome {
    if args.has("applyset") && !set::is_switched_on() {
        let path = &session.path;
        return Err(Failure::plain(format!("error: unknown flag: --applyset\nSee '{path} --help' for usage.")));
    }
    if args.bool("force-conflicts") && !args.bool("server-side") {
        return Err(Failure::message("--force-conflicts only works with --server-side"));
    }
    if args.bool("server-side") && DryRun::of(args)? == DryRun::Client {
        return Err(Failure::message(
            "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)",
        ));
    }
    Ok(())
}

/// The objects of the files, as the selector narrows them.
async fn chosen(session: &Session, args: &Args) -> Outcome<Vec<Target>> {
    let selector =
        meta::labels::Selector::parse(args.text("selector")).map_err(|why| Failure::message(why.to_string()))?;
    let mut targets = from_files(session, args).await?;
    targets.retain(|target| {
        let labels = target.object.as_ref().map(|object| &object["metadata"]["labels"]);
        selector.matches_with(|key| labels.and_then(|labels| labels[key].as_str()))
    });
    Ok(targets)
}

struct Apply<'a> {
    session: &'a Session,
    args: &'a Args,
    teller: Teller,
    write: Write,
    /// The uids of what was applied: it must not be pruned.
    kept: Mutex<Vec<String>>,
    /// What is printed as a whole, once all is applied.
    shown: Mutex<Vec<Value>>,
}

impl Apply<'_> {
    async fn on_server(&self, target: Target) -> Outcome {
        let Some(object) = &target.object else { return Ok(()) };
        if target.name.is_empty() {
            return Err(Failure::message("metadata.name is required to apply"));
        }
        let sub = Some(self.args.text("subresource")).filter(|sub| !sub.is_empty());
        let force = self.args.bool("force-conflicts");
        let applied = self.write.apply(self.session, target.path(sub), object, force).await;
        let applied = applied.map_err(|failure| match failure.status() {
            Some(status) if status.code == 409 && status.reason == "Conflict" => {
                Failure::message(format!("{}\n{RESOLVE}", status.message))
            }
            _ => failure,
        })?;
        let applied = match upgrade::upgrade(self.session, &self.write, &target, &applied).await {
            Ok(false) => applied,
            // Only now can the server see what is no longer applied.
            Ok(true) => self.write.apply(self.session, target.path(sub), object, force).await?,
            Err(failure) => {
                warning(&format!("server-side apply migration failed: {failure}"));
                applied
            }
        };
        self.tell(&applied, &target.resource.shown(), "serverside-applied")
    }

    async fn on_client(&self, target: Target) -> Outcome {
        let Some(wanted) = target.object.clone() else { return Ok(()) };
        if target.name.is_empty() && wanted["metadata"]["generateName"].is_string() {
            let name = wanted["metadata"]["generateName"].as_str().unwrap_or_default();
            return Err(Failure::message(format!("from {name}: cannot use generate name with apply")));
        }
        let shown = target.resource.shown();
        let mut modified = wanted;
        last_applied::record(&mut modified);
        let mut live = match target.get(self.session).await {
            Ok(live) => live,
            Err(failure) if failure.is_not_found() => return self.create(&target, modified).await,
            Err(failure) => {
                let context = format!("retrieving current configuration of:\n{}\nfrom server for", self.named(&target));
                return Err(failure.during(&context, &target.source));
            }
        };
        if last_applied::of(&live).is_none() {
            let name = format!("{}/{}", target.resource.name, target.name);
            warning(&format!(
                "resource {name} is missing the {} annotation which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically.",
                last_applied::KEY
            ));
        }
        self.keep(&live);
        if self.write.dry_run == DryRun::Client {
            // As upstream: what is there is shown, as nothing was sent.
            return self.tell(&live, &shown, "configured");
        }
        for attempt in 1.. {
            let (media_type, patch) = patch_of(&live, &modified)?;
            if patch.as_object().is_some_and(serde_json::Map::is_empty) {
                return self.tell(&live, &shown, "unchanged");
            }
            match self.write.patch(self.session, target.path(None), media_type, patch.to_string()).await {
                Ok(applied) => return self.tell(&applied, &shown, "configured"),
                Err(failure) if failure.is_conflict() && attempt < ATTEMPTS => live = target.get(self.session).await?,
                Err(failure) => {
                    let context = format!("applying patch:\n{patch}\nto:\n{}\nfor:", self.named(&target));
                    return Err(failure.during(&context, &target.source));
                }
            }
        }
        Ok(())
    }

    fn tell(&self, object: &Value, shown: &str, told: &str) -> Outcome {
        self.keep(object);
        if let (true, Ok(mut shown)) = (self.teller.format.is_whole(), self.shown.lock()) {
            shown.push(object.clone());
            return Ok(());
        }
        self.teller.tell(object, shown, told)
    }

    /// Several objects are one list.
    fn tell_whole(&self) -> Outcome {
        let mut all = self.shown.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default();
        match all.len() {
            0 => Ok(()),
            1 => self.teller.tell(&all.remove(0), "", ""),
            _ => {
                if !self.args.bool("show-managed-fields") {
                    all.iter_mut().for_each(hide_managed_fields);
                }
                let mut list = list_of(all);
                list["metadata"] = json!({});
                self.teller.tell(&list, "", "")
            }
        }
    }

    fn keep(&self, object: &Value) {
        if let (Some(uid), Ok(mut kept)) = (object["metadata"]["uid"].as_str(), self.kept.lock()) {
            kept.push(uid.to_owned());
        }
    }

    async fn create(&self, target: &Target, mut object: Value) -> Outcome {
        if self.write.dry_run != DryRun::Client {
            let created = self.write.create(self.session, target.collection(), &object).await;
            object = created.map_err(|failure| failure.during("creating", &target.source))?;
        }
        self.tell(&object, &target.resource.shown(), "created")
    }

    fn named(&self, target: &Target) -> String {
        let resource = &target.resource;
        let group_version = resource.api_version();
        format!(
            "Resource: \"{group_version}, Resource={}\", GroupVersionKind: \"{group_version}, Kind={}\"\nName: {:?}, Namespace: {:?}",
            resource.name,
            resource.kind,
            target.name,
            target.namespace.as_deref().unwrap_or_default()
        )
    }
}

/// What changes `live` into `modified` and takes away what was applied before and no longer is.
pub fn patch_of(live: &Value, modified: &Value) -> Outcome<(&'static str, Value)> {
    let original: Value =
        last_applied::of(live).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}));
    let text = |field: &str| modified[field].as_str().unwrap_or_default();
    let Some(id) = kinds::type_of_version(text("apiVersion"), text("kind")) else {
        return Ok((MERGE, wire::patch::json_merge_diff(&original, modified, live)));
    };
    let cursor = kinds::schema().cursor(id);
    let patch = wire::patch::strategic_diff(&original, modified, live, &cursor)
        .map_err(|why| Failure::message(format!("creating patch with:\n{why}")))?;
    Ok((STRATEGIC, patch))
}

const RESOLVE: &str = "Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts";
