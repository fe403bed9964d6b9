//! `kubectl api-resources`: the kinds served, in their preferred versions.

use crate::command::{Command, Done};
use crate::discovery::Resource;
use crate::failure::Failure;
use crate::flags::{Args, Flag, boolean, list, text};
use crate::output::{line, out};
use crate::print::table::aligned;
use crate::session::Session;
use crate::shared_flags::NO_HEADERS;

const FLAGS: &[Flag] = &[
    text("api-group", "", "Limit to resources in the specified API group."),
    boolean("cached", "Use the cached list of resources if available."),
    list("categories", "Limit to resources that belong to the specified categories."),
    Flag {
        default: "true",
        ..boolean(
            "namespaced",
            "If false, non-namespaced resources will be returned, otherwise returning namespaced resources by default.",
        )
    },
    NO_HEADERS,
    text("output", "", "Output format. One of: (wide, name).").short('o'),
    text(
        "sort-by",
        "",
        "If non-empty, sort list of resources using specified field. The field can be either 'name' or 'kind'.",
    ),
    list("verbs", "Limit to resources that support the specified verbs."),
];

pub static COMMAND: Command = Command {
    name: "api-resources",
    usage: "api-resources [flags] [options]",
    short: "Print the supported API resources on the server",
    examples: "# Print the supported API resources\nkubectl api-resources\n\n# Print the supported API resources with more information\nkubectl api-resources -o wide\n\n# Print the supported namespaced resources\nkubectl api-resources --namespaced=true",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let output = args.text("output");
        if !["", "wide", "name"].contains(&output) {
            return Err(Failure::message(format!("--output {output} is not available")));
        }
        let discovery = session.discovery().await?;
        let verbs = args.list("verbs");
        let categories = args.list("categories");
        let wanted = |one: &&Resource| {
            discovery.is_preferred(one)
                && !one.verbs.is_empty()
                && (!args.has("api-group") || args.text("api-group") == one.group)
                && (!args.has("namespaced") || args.bool("namespaced") == one.namespaced)
                && verbs.iter().all(|verb| one.has_verb(verb))
                && categories.iter().all(|category| one.categories.contains(category))
        };
        let mut found: Vec<&Resource> = discovery.resources().iter().filter(wanted).collect();
        found.sort_by_key(|one| match args.text("sort-by") {
            "kind" => (one.kind.clone(), String::new()),
            "name" => (one.name.clone(), String::new()),
            _ => (one.group.clone(), one.name.clone()),
        });
        if output == "name" {
            found.iter().for_each(|one| line(&one.qualified()));
            return Ok(());
        }
        let wide = output == "wide";
        let mut rows = Vec::new();
        if !args.bool("no-headers") {
            let mut header = vec!["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
            header.extend(wide.then_some(["VERBS", "CATEGORIES"]).into_iter().flatten());
            rows.push(header.into_iter().map(str::to_owned).collect());
        }
        for one in found {
            let mut row = vec![
                one.name.clone(),
                one.short_names.join(","),
                one.api_version(),
                one.namespaced.to_string(),
                one.kind.clone(),
            ];
            if wide {
                row.extend([one.verbs.join(","), one.categories.join(",")]);
            }
            rows.push(row);
        }
        out(&aligned(&rows));
        Ok(())
    })
}
