//! `kubectl autoscale`: a HorizontalPodAutoscaler for what already runs.

use crate::changes::Write;
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, int, text};
use crate::print::{DryRun, Teller, name_of};
use crate::session::Session;
use crate::shared_flags::{RECORD, SAVE_CONFIG};
use crate::targets::{Target, fetched, targets};
use meta::quantity::Quantity;
use serde_json::{Value, json};

const FLAGS: &[Flag] = &[
    DRY_RUN,
    text(
        "cpu",
        "",
        "Target CPU utilization over all the pods. As a percentage (e.g. \"70%\" of requested CPU) it is an average utilization, as a quantity (e.g. \"500m\") an average value; without a unit it is thousandths of a CPU.",
    ),
    int(
        "cpu-percent",
        "-1",
        "The target average CPU utilization (represented as a percent of requested CPU) over all the pods. If it's not specified or negative, a default autoscaling policy will be used.",
    ),
    text("field-manager", "kubectl-autoscale", "Name of the manager used to track field ownership."),
    int("max", "-1", "The upper limit for the number of pods that can be set by the autoscaler. Required."),
    text(
        "memory",
        "",
        "Target memory utilization over all the pods. As a percentage (e.g. \"60%\" of requested memory) it is an average utilization, as a quantity (e.g. \"200Mi\") an average value; without a unit it is mebibytes.",
    ),
    int(
        "min",
        "-1",
        "The lower limit for the number of pods that can be set by the autoscaler. If it's not specified or negative, the server will apply a default value.",
    ),
    text(
        "name",
        "",
        "The name for the newly created object. If not specified, the name of the input resource will be used.",
    ),
    RECORD,
    SAVE_CONFIG,
];

pub static COMMAND: Command = Command {
    name: "autoscale",
    usage: "autoscale (-f FILENAME | TYPE NAME | TYPE/NAME) [--min=MINPODS] --max=MAXPODS [--cpu=CPU] [--memory=MEMORY] [options]",
    short: "Auto-scale a deployment, replica set, stateful set, or replication controller",
    long: "Creates an autoscaler that automatically chooses and sets the number of pods that run in a Kubernetes cluster.",
    examples: "# Auto scale a deployment \"foo\", with the number of pods between 2 and 10, no target CPU utilization specified so a default autoscaling policy will be used\nkubectl autoscale deployment foo --min=2 --max=10\n\n# Auto scale a replication controller \"foo\", with the number of pods between 1 and 5, target CPU utilization at 80%\nkubectl autoscale rc foo --max=5 --cpu=80%",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        check(&args)?;
        let metrics = metrics(&args)?;
        let (teller, write) = (Teller::of(&args)?, Write::of(&args, "kubectl-autoscale")?);
        let chosen = targets(session, &args, &args.words).await?;
        if chosen.iter().any(|target| target.name.is_empty()) {
            return Err(Failure::message("resource(s) were provided, but no name was specified"));
        }
        for (target, object) in fetched(session, &args, chosen).await? {
            let resource = &target.resource;
            if !resource.subresources.iter().any(|name| name == "scale") {
                let what = format!("{}/{}, Resource={}", resource.group, resource.version, resource.name);
                let why = format!("could not find scale subresource for {what} in discovery information");
                return Err(Failure::message(format!("cannot autoscale a {}: {why}", resource.kind)));
            }
            let mut autoscaler = autoscaler(session, &args, &target, &object, &metrics);
            crate::change_cause::note(&session.path, &args, &mut autoscaler);
            if args.bool("save-config") {
                crate::last_applied::record(&mut autoscaler);
            }
            let kind = session.resource("horizontalpodautoscalers.autoscaling").await?;
            let shown = kind.shown();
            if write.dry_run != DryRun::Client {
                let place = Target { name: String::new(), resource: kind, ..target };
                autoscaler = write.create(session, place.collection(), &autoscaler).await?;
            }
            teller.tell(&autoscaler, &shown, "autoscaled")?;
        }
        Ok(())
    })
}

fn check(args: &Args) -> Outcome {
    if !args.has("max") {
        return Err(Failure::message("required flag(s) \"max\" not set"));
    }
    let (min, max) = (args.int("min"), args.int("max"));
    if max < 1 {
        return Err(Failure::message(format!("--max=MAXPODS is required and must be at least 1, max: {max}")));
    }
    if max < min {
        return Err(Failure::message(format!(
            "--max=MAXPODS must be larger or equal to --min=MINPODS, max: {max}, min: {min}"
        )));
    }
    if args.has("cpu") && args.has("cpu-percent") {
        let why = "if any flags in the group [cpu-percent cpu] are set none of the others can be; [cpu cpu-percent] were all set";
        return Err(Failure::message(why));
    }
    Ok(())
}

fn autoscaler(session: &Session, args: &Args, target: &Target, object: &Value, metrics: &[Value]) -> Value {
    let name = Some(args.text("name")).filter(|name| !name.is_empty()).unwrap_or(name_of(object));
    let reference =
        json!({"apiVersion": target.resource.api_version(), "kind": target.resource.kind, "name": target.name});
    let mut spec = json!({"maxReplicas": args.int("max")});
    if !metrics.is_empty() {
        spec["metrics"] = json!(metrics);
    }
    if args.int("min") > 0 {
        spec["minReplicas"] = json!(args.int("min"));
    }
    spec["scaleTargetRef"] = reference;
    let mut metadata = json!({"creationTimestamp": null, "name": name});
    if let Some(namespace) = session.given_namespace() {
        metadata["namespace"] = json!(namespace);
    }
    let status = json!({"currentMetrics": null, "desiredReplicas": 0});
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec, "status": status})
}

/// None: the server's own choice.
fn metrics(args: &Args) -> Outcome<Vec<Value>> {
    let mut metrics = Vec::new();
    if args.int("cpu-percent") >= 0 {
        metrics.push(resource("cpu", json!({"averageUtilization": args.int("cpu-percent"), "type": "Utilization"})));
    }
    for (flag, unit) in [("cpu", "m"), ("memory", "Mi")] {
        let text = args.text(flag);
        if !text.is_empty() {
            metrics.push(resource(flag, target(text, unit)?));
        }
    }
    Ok(metrics)
}

fn resource(name: &str, target: Value) -> Value {
    json!({"resource": {"name": name, "target": target}, "type": "Resource"})
}

/// A percentage of what is requested, or an amount; a bare number is in `unit`s.
fn target(text: &str, unit: &str) -> Outcome<Value> {
    let invalid = |why: String| Failure::message(format!("invalid value for resource target {text:?}: {why}"));
    if let Some(percent) = text.strip_suffix('%') {
        let percent: i32 =
            percent.parse().map_err(|_| invalid(format!("strconv.ParseInt: parsing {percent:?}: invalid syntax")))?;
        return Ok(json!({"averageUtilization": percent, "type": "Utilization"}));
    }
    let whole = if text.parse::<i64>().is_ok() { format!("{text}{unit}") } else { text.to_owned() };
    let amount = Quantity::parse(&whole).map_err(|why| invalid(why.to_string()))?;
    Ok(json!({"averageValue": amount.to_string(), "type": "AverageValue"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_percentages_or_amounts() {
        for (text, unit, wanted) in [
            ("70%", "m", json!({"averageUtilization": 70, "type": "Utilization"})),
            ("500m", "m", json!({"averageValue": "500m", "type": "AverageValue"})),
            ("500", "m", json!({"averageValue": "500m", "type": "AverageValue"})),
            ("200", "Mi", json!({"averageValue": "200Mi", "type": "AverageValue"})),
            ("1Gi", "Mi", json!({"averageValue": "1Gi", "type": "AverageValue"})),
        ] {
            assert_eq!(target(text, unit).unwrap(), wanted, "{text}");
        }
        assert!(target("x%", "m").is_err() && target("lots", "m").is_err());
    }
}
