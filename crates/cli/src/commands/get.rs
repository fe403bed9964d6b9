//! `kubectl get`: objects, as a table made by the server or in any other form; and watching them.

use crate::command::{Command, Done, FILES, PRINT, SELECTOR};
use crate::discovery::Resource;
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, list, text};
use crate::jsonpath::{Template, text_of};
use crate::output::{error_line, line, out};
use crate::print::table::{self, View, aligned};
use crate::print::{Format, columns_table, hide_managed_fields, list_of};
use crate::session::{Call, JSON, Session};
use crate::shared_flags::{ALL_NAMESPACES, CHUNK_SIZE, FIELD_SELECTOR, NO_HEADERS, SUBRESOURCE};
use crate::targets::{Target, targets};
use serde_json::{Value, json};

pub const TABLE: &str =
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

const FLAGS: &[Flag] = &[
    ALL_NAMESPACES,
    CHUNK_SIZE,
    FIELD_SELECTOR,
    boolean("ignore-not-found", "If set to true, suppresses NotFound error for specific objects that do not exist."),
    list("label-columns", "Accepts a comma separated list of labels that are going to be presented as columns.")
        .short('L'),
    NO_HEADERS,
    boolean("output-watch-events", "Output watch event objects when --watch or --watch-only is used."),
    text("raw", "", "Raw URI to request from the server."),
    SELECTOR,
    Flag {
        default: "true",
        ..boolean("server-print", "If true, have the server return the appropriate table output.")
    },
    boolean("show-kind", "If present, list the resource type for the requested object(s)."),
    boolean("show-labels", "When printing, show all labels as the last column (default hide labels column)"),
    text("sort-by", "", "If non-empty, sort list types using this field specification."),
    SUBRESOURCE,
    boolean("watch", "After listing/getting the requested object, watch for changes.").short('w'),
    boolean("watch-only", "Watch for changes to the requested object(s), without listing/getting first."),
];

pub static COMMAND: Command = Command {
    name: "get",
    aliases: &[],
    usage: "get [(-o|--output=)json|yaml|name|jsonpath|custom-columns|wide] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE[.VERSION][.GROUP]/NAME ...) [flags] [options]",
    short: "Display one or many resources",
    long: "Prints a table of the most important information about the specified resources.",
    examples: "# List all pods in ps output format\nkubectl get pods\n\n# List all pods in ps output format with more information (such as node name)\nkubectl get pods -o wide\n\n# List a single pod in JSON output format\nkubectl get -o json pod web-pod-13je7\n\n# Return only the phase value of the specified pod\nkubectl get -o template pod/web-pod-13je7 --template={{.status.phase}}",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if args.has("raw") {
            let body = session.send(Call::get(args.text("raw")).accept("*/*")).await?;
            crate::output::out_bytes(&body);
            return Ok(());
        }
        if args.words.is_empty() && !crate::targets::gives_files(&args)? {
            error_line(
                "You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported resources.\n",
            );
            let text = "Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description of that resource (e.g. kubectl explain pods)";
            return Err(Failure::plain(format!("error: {text}.\nSee '{} -h' for help and examples", session.path)));
        }
        let format = Format::of(&args, true)?;
        let targets = targets(session, &args, &args.words).await?;
        let selects = !args.text("selector").is_empty() || !args.text("field-selector").is_empty();
        if selects && targets.iter().any(|target| !target.name.is_empty()) && args.list("filename").is_empty() {
            return Err(Failure::message("name cannot be provided when a selector is specified"));
        }
        if args.bool("all-namespaces")
            && targets.iter().any(|target| !target.name.is_empty() && target.resource.namespaced)
        {
            return Err(Failure::message("a resource cannot be retrieved by name across all namespaces"));
        }
        let get = Get { session, args: &args, format };
        if args.bool("watch") || args.bool("watch-only") {
            let limit = args.duration("request-timeout");
            if limit.is_zero() {
                return get.watch(targets).await;
            }
            // That its time is over is no failure of a watch.
            return session.env.clock.timeout(limit, get.watch(targets)).await.unwrap_or(Ok(()));
        }
        match get.format {
            Format::Default | Format::Wide => get.tables(targets).await,
            _ => get.objects(targets).await,
        }
    })
}

struct Get<'a> {
    session: &'a Session,
    args: &'a Args,
    format: Format,
}

impl Get<'_> {
    fn call(&self, target: &Target) -> Call<'_> {
        let sub = Some(self.args.text("subresource")).filter(|sub| !sub.is_empty());
        let mut call = Call::get(target.path(sub));
        if target.name.is_empty() {
            call = call
                .query("labelSelector", self.args.text("selector"))
                .query("fieldSelector", self.args.text("field-selector"));
        }
        call
    }

    /// Fetches a list to its end, chunk by chunk; tables add up by rows, lists by items.
    async fn fetch(&self, target: &Target, accept: &str) -> Outcome<Value> {
        let chunk = self.args.int("chunk-size");
        let mut whole = Value::Null;
        let mut token = String::new();
        loop {
            let mut call = self.call(target).accept(accept);
            if target.name.is_empty() && chunk > 0 {
                call = call.query("limit", chunk.to_string()).query("continue", token.clone());
            }
            if !self.args.text("sort-by").is_empty() && accept == TABLE {
                call = call.query("includeObject", "Object");
            }
            let page = self.session.json(call).await;
            let mut page = page.map_err(|failure| crate::targets::selecting(failure, self.args, &target.resource))?;
            token = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if whole.is_null() {
                whole = page;
            } else {
                for part in ["rows", "items"] {
                    let more = page.get_mut(part).and_then(Value::as_array_mut).map(std::mem::take);
                    if let (Some(all), Some(more)) = (whole[part].as_array_mut(), more) {
                        all.extend(more);
                    }
                }
            }
            if token.is_empty() || !target.name.is_empty() {
                return Ok(whole);
            }
        }
    }

    /// What could be found, and the failures of what could not; absent objects count as found
    /// where that was asked for.
    async fn fetch_all(&self, targets: &[Target], accept: &str) -> (Vec<(usize, Value)>, Vec<Failure>) {
        let mut found = Vec::new();
        let mut failures = Vec::new();
        for (at, target) in targets.iter().enumerate() {
            match self.fetch(target, accept).await {
                Ok(value) => found.push((at, value)),
                Err(failure) if failure.is_not_found() && self.args.bool("ignore-not-found") => {}
                // A selection of several kinds goes on without those that may not be listed.
                Err(failure) => failures.push(failure),
            }
        }
        (found, failures)
    }

    async fn objects(&self, targets: Vec<Target>) -> Outcome {
        let (found, failures) = self.fetch_all(&targets, JSON).await;
        let single = targets.len() == 1 && !targets[0].name.is_empty();
        let mut objects = Vec::new();
        for (at, value) in found {
            let resource = &targets[at].resource;
            match value.get("items").and_then(Value::as_array) {
                Some(items) if targets[at].name.is_empty() => {
                    objects.extend(items.iter().map(|item| (typed(item.clone(), resource), resource.clone())));
                }
                _ => objects.push((value, resource.clone())),
            }
        }
        if !self.args.bool("show-managed-fields") && self.format.is_whole() {
            objects.iter_mut().for_each(|(object, _)| hide_managed_fields(object));
        }
        if let Some(path) = Some(self.args.text("sort-by")).filter(|path| !path.is_empty()) {
            sort(&mut objects, path, |(object, _)| object)?;
        }
        match &self.format {
            Format::Name => {
                for (object, resource) in &objects {
                    self.format.print(object, &resource.shown())?;
                }
            }
            Format::Columns(columns) => {
                let all: Vec<&Value> = objects.iter().map(|(object, _)| object).collect();
                out(&columns_table(columns, &all, !self.args.bool("no-headers")));
            }
            format => {
                let mut all: Vec<Value> = objects.into_iter().map(|(object, _)| object).collect();
                let whole = if single && all.len() == 1 { all.remove(0) } else { list_of(all) };
                if !single || failures.is_empty() {
                    format.print(&whole, "")?;
                }
            }
        }
        Failure::collect(failures)
    }

    fn view(&self, targets: &[Target]) -> View {
        let all_namespaces = self.args.bool("all-namespaces");
        View {
            wide: self.format == Format::Wide,
            headers: !self.args.bool("no-headers"),
            namespaces: all_namespaces && targets.iter().any(|target| target.resource.namespaced),
            kind: None,
            show_labels: self.args.bool("show-labels"),
            label_columns: self.args.list("label-columns"),
            events: self.args.bool("output-watch-events"),
        }
    }

    async fn tables(&self, targets: Vec<Target>) -> Outcome {
        let (found, failures) = self.fetch_all(&targets, TABLE).await;
        let first = found.first().map(|(at, _)| &targets[*at].resource);
        let several_kinds = found.iter().any(|(at, _)| Some(&targets[*at].resource) != first);
        let mut view = self.view(&targets);
        view.events = false;
        let mut printed = 0;
        let mut last: Option<&Resource> = None;
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (at, mut table) in found {
            let resource = &targets[at].resource;
            if table["rows"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            if let Some(path) = Some(self.args.text("sort-by")).filter(|path| !path.is_empty())
                && let Some(list) = table["rows"].as_array_mut()
            {
                sort(list, path, |row| &row["object"])?;
            }
            let again = last == Some(resource);
            if !again && !rows.is_empty() {
                out(&aligned(&std::mem::take(&mut rows)));
                line("");
            }
            let namespaces = view.namespaces && resource.namespaced;
            let kind = (several_kinds || self.args.bool("show-kind")).then(|| resource.shown());
            let shown = View { kind, namespaces, headers: view.headers && !again, ..view.clone() };
            rows.extend(table::rows(&table, &shown));
            last = Some(resource);
            printed += 1;
        }
        if !rows.is_empty() {
            out(&aligned(&rows));
        }
        if printed == 0 && failures.is_empty() && !self.args.bool("ignore-not-found") {
            let namespace = targets.first().and_then(|target| target.namespace.clone());
            match namespace {
                Some(namespace) => error_line(&format!("No resources found in {namespace} namespace.")),
                None => error_line("No resources found"),
            }
        }
        Failure::collect(failures)
    }

    /// Lists, then tells every change as it comes, until interrupted.
    async fn watch(&self, targets: Vec<Target>) -> Outcome {
        let [target] = targets.as_slice() else {
            return Err(Failure::message("you may only specify a single resource type"));
        };
        let as_table = matches!(self.format, Format::Default | Format::Wide);
        let accept = if as_table { TABLE } else { JSON };
        let listed = self.fetch(target, accept).await?;
        let mut columns = table::columns(&listed);
        let mut widths = Vec::new();
        let mut view = self.view(&targets);
        if !self.args.bool("watch-only") {
            if as_table {
                let rows = table::rows(&listed, &view);
                out(&remembered(&rows, &mut widths));
                view.headers &= listed["rows"].as_array().is_none_or(Vec::is_empty);
            } else {
                let items = listed["items"].as_array().cloned().unwrap_or_else(|| vec![listed.clone()]);
                items.into_iter().try_for_each(|item| self.tell(typed(item, &target.resource), target, "ADDED"))?;
            }
        }
        let version = listed["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let mut call = Call::get(target.collection())
            .query("labelSelector", self.args.text("selector"))
            .query("watch", "true")
            .query("resourceVersion", version)
            .accept(accept);
        let field = if target.name.is_empty() {
            self.args.text("field-selector").to_owned()
        } else {
            format!("metadata.name={}", meta::fields::escape(&target.name))
        };
        call = call.query("fieldSelector", field);
        let mut body = self.session.stream(call).await?;
        let mut pending = Vec::new();
        while let Some(piece) = body.next().await {
            let Ok(piece) = piece else { return Ok(()) };
            pending.extend_from_slice(&piece);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let event: Vec<u8> = pending.drain(..=end).collect();
                let Ok(event) = serde_json::from_slice::<Value>(&event) else { continue };
                let kind = event["type"].as_str().unwrap_or_default().to_owned();
                if kind == "ERROR" {
                    let status = serde_json::from_value::<meta::Status>(event["object"].clone());
                    return status.map_or(Ok(()), |status| Err(status.into()));
                }
                if kind == "BOOKMARK" {
                    continue;
                }
                if !as_table {
                    self.tell(event["object"].clone(), target, &kind)?;
                    continue;
                }
                let found = table::columns(&event["object"]);
                if !found.is_empty() {
                    columns = found;
                }
                let rows = table::rows_of(&columns, &event["object"], &view, Some(&kind));
                view.headers = false;
                out(&remembered(&rows, &mut widths));
            }
        }
        Ok(())
    }

    fn tell(&self, mut object: Value, target: &Target, event: &str) -> Outcome {
        if !self.args.bool("show-managed-fields") && self.format.is_whole() {
            hide_managed_fields(&mut object);
        }
        let object =
            if self.args.bool("output-watch-events") { json!({"type": event, "object": object}) } else { object };
        if self.format == Format::Yaml {
            line("---");
        }
        self.format.print(&object, &target.resource.shown())
    }
}

/// Rows that come one by one keep to the widths of those before.
fn remembered(rows: &[Vec<String>], widths: &mut Vec<usize>) -> String {
    for row in rows {
        for (at, cell) in row.iter().take(row.len().saturating_sub(1)).enumerate() {
            if widths.len() <= at {
                widths.push(0);
            }
            widths[at] = widths[at].max(cell.chars().count() + 3).max(6);
        }
    }
    let mut text = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', widths[at] - cell.chars().count()));
            }
        }
        text.push('\n');
    }
    text
}

/// Items of a list go without apiVersion and kind; alone they have them.
fn typed(mut item: Value, resource: &Resource) -> Value {
    if let Some(map) = item.as_object_mut() {
        map.entry("apiVersion").or_insert_with(|| json!(resource.api_version()));
        map.entry("kind").or_insert_with(|| json!(resource.kind));
    }
    item
}

/// Sorts by what a path finds: numbers by value, the rest as text.
fn sort<T>(items: &mut [T], path: &str, object: impl Fn(&T) -> &Value) -> Outcome {
    let template = Template::relaxed(path)?;
    if !items.is_empty() && items.iter().all(|item| template.find(object(item)).is_empty()) {
        let bare = path.trim_start_matches('{').trim_end_matches('}').trim_start_matches('.');
        let text = format!("couldn't find any field with path \"{{.{bare}}}\" in the list of objects");
        return Err(Failure::message(text));
    }
    let key = |item: &T| template.find(object(item)).first().map(|value| (*value).clone()).unwrap_or_default();
    items.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => text_of(&a).cmp(&text_of(&b)),
        }
    });
    Ok(())
}
