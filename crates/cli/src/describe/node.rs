//! Nodes: their state, and what runs on them against what they have.

use super::events::events;
use super::page::{Page, items, or_none, plain, time};
use super::{Subject, Written};
use crate::print::age::since;
use crate::session::Call;
use meta::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

pub fn node<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let (metadata, spec, status) =
            (&subject.object["metadata"], &subject.object["spec"], &subject.object["status"]);
        page.field(0, "Name", plain(&metadata["name"]));
        page.field(0, "Roles", or_none(roles(&metadata["labels"])));
        page.pairs("", "Labels", &metadata["labels"]);
        page.annotations("", &metadata["annotations"]);
        page.field(0, "CreationTimestamp", time(&metadata["creationTimestamp"]));
        taints(page, &spec["taints"]);
        page.field(0, "Unschedulable", spec["unschedulable"] == true);
        lease(subject, page).await;
        conditions(page, &status["conditions"]);
        page.line(0, "Addresses:");
        for address in items(&status["addresses"]) {
            page.field(1, &plain(&address["type"]), plain(&address["address"]));
        }
        for (label, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
            let Some(map) = status[field].as_object().filter(|map| !map.is_empty()) else { continue };
            page.line(0, format!("{label}:"));
            map.iter().for_each(|(name, amount)| page.field(1, name, plain(amount)));
        }
        system(page, &status["nodeInfo"]);
        page.text(0, "PodCIDR", &spec["podCIDR"]);
        if items(&spec["podCIDRs"]).next().is_some() {
            page.field(0, "PodCIDRs", items(&spec["podCIDRs"]).map(plain).collect::<Vec<_>>().join(","));
        }
        page.text(0, "ProviderID", &spec["providerID"]);
        pods(subject, page).await;
        events(subject, page).await
    })
}

fn roles(labels: &Value) -> String {
    let role = |(key, value): (&String, &Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) if !role.is_empty() => Some(role.to_owned()),
        _ => (key == "kubernetes.io/role").then(|| plain(value)),
    };
    labels.as_object().into_iter().flatten().filter_map(role).collect::<Vec<_>>().join(",")
}

fn taints(page: &mut Page, list: &Value) {
    let mut all: Vec<&Value> = items(list).collect();
    all.sort_by_key(|taint| (plain(&taint["effect"]), plain(&taint["key"])));
    let line = |taint: &Value| {
        let value = plain(&taint["value"]);
        let value = if value.is_empty() { String::new() } else { format!("={value}") };
        format!("{}{value}:{}", plain(&taint["key"]), plain(&taint["effect"]))
    };
    let mut lines: Vec<String> = all.into_iter().map(line).collect();
    if lines.is_empty() {
        lines.push("<none>".to_owned());
    }
    page.column("", "Taints", &lines);
}

async fn lease(subject: &Subject<'_>, page: &mut Page) {
    let name = plain(&subject.object["metadata"]["name"]);
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
    match subject.session.json(Call::get(path)).await {
        Err(why) => page.field(
            0,
            "Lease",
            format!(
                "Failed to get lease: {}",
                why.status().map_or_else(|| why.to_string(), |status| status.message.clone())
            ),
        ),
        Ok(lease) => {
            page.line(0, "Lease:");
            let holder = &lease["spec"]["holderIdentity"];
            page.field(1, "HolderIdentity", super::page::unset(holder));
            for (label, field) in [("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")] {
                let at = &lease["spec"][field];
                page.field(1, label, if at.is_null() { "<unset>".to_owned() } else { time(at) });
            }
        }
    }
}

fn conditions(page: &mut Page, list: &Value) {
    if items(list).next().is_none() {
        return;
    }
    page.line(0, "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
    page.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for condition in items(list) {
        let text = |field: &str| plain(&condition[field]);
        let (seen, changed) = (time(&condition["lastHeartbeatTime"]), time(&condition["lastTransitionTime"]));
        page.line(
            1,
            format!(
                "{} \t{} \t{seen} \t{changed} \t{} \t{}",
                text("type"),
                text("status"),
                text("reason"),
                text("message")
            ),
        );
    }
}

fn system(page: &mut Page, info: &Value) {
    page.line(0, "System Info:");
    for (label, field) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
        ("Kube-Proxy Version", "kubeProxyVersion"),
    ] {
        page.field(1, label, plain(&info[field]));
    }
}

type Amounts = BTreeMap<String, Quantity>;

/// What a pod asks for: the sum of its containers, or its largest init container where that is
/// more, and the overhead.
fn asked(pod: &Value, field: &str) -> Amounts {
    let mut sum = Amounts::new();
    let each = |container: &Value| -> Vec<(String, Quantity)> {
        let map = container["resources"][field].as_object();
        let pairs = map.into_iter().flatten();
        pairs.filter_map(|(name, amount)| Some((name.clone(), amount.as_str()?.parse().ok()?))).collect()
    };
    let add = |sum: &mut Amounts, name: String, amount: Quantity| *sum.entry(name).or_default() += amount;
    for container in items(&pod["spec"]["containers"]) {
        each(container).into_iter().for_each(|(name, amount)| add(&mut sum, name, amount));
    }
    let mut sidecars = Amounts::new();
    let mut largest = Amounts::new();
    for container in items(&pod["spec"]["initContainers"]) {
        let lasting = container["restartPolicy"] == "Always";
        for (name, amount) in each(container) {
            if lasting {
                add(&mut sum, name.clone(), amount);
                add(&mut sidecars, name, amount);
            } else {
                let with_sidecars = amount + sidecars.get(&name).copied().unwrap_or_default();
                let most = largest.entry(name).or_default();
                *most = (*most).max(with_sidecars);
            }
        }
    }
    for (name, amount) in largest {
        let total = sum.entry(name).or_default();
        *total = (*total).max(amount);
    }
    for (name, amount) in pod["spec"]["overhead"].as_object().into_iter().flatten() {
        if let Some(amount) = amount.as_str().and_then(|text| text.parse().ok())
            && (field == "requests" || sum.contains_key(name))
        {
            add(&mut sum, name.clone(), amount);
        }
    }
    sum
}

async fn pods(subject: &Subject<'_>, page: &mut Page) {
    let name = plain(&subject.object["metadata"]["name"]);
    let fields = format!("spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed");
    let Ok(list) = subject.session.json(Call::get("/api/v1/pods").query("fieldSelector", fields)).await else {
        page.field(0, "Pods", "not authorized");
        return;
    };
    let status = &subject.object["status"];
    let available = if status["allocatable"].is_object() { &status["allocatable"] } else { &status["capacity"] };
    let share = |name: &str, amount: Quantity| {
        let all: Quantity = available[name].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
        let (part, whole) = (amount.milli_value(), all.milli_value());
        let percent = if whole == 0 { 0 } else { i128::from(part) * 100 / i128::from(whole) };
        format!("{amount} ({percent}%)")
    };
    let count = items(&list["items"]).count();
    page.field(0, "Non-terminated Pods", format!("({count} in total)"));
    page.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    page.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let now = subject.session.env.clock.now();
    let mut totals = (Amounts::new(), Amounts::new());
    for pod in items(&list["items"]) {
        let (requests, limits) = (asked(pod, "requests"), asked(pod, "limits"));
        let of = |map: &Amounts, name: &str| share(name, map.get(name).copied().unwrap_or_default());
        let age = since(pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default(), now);
        page.line(
            1,
            format!(
                "{}\t{}\t\t{}\t{}\t{}\t{}\t{age}",
                plain(&pod["metadata"]["namespace"]),
                plain(&pod["metadata"]["name"]),
                of(&requests, "cpu"),
                of(&limits, "cpu"),
                of(&requests, "memory"),
                of(&limits, "memory")
            ),
        );
        requests.into_iter().for_each(|(name, amount)| *totals.0.entry(name).or_default() += amount);
        limits.into_iter().for_each(|(name, amount)| *totals.1.entry(name).or_default() += amount);
    }
    page.line(0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)");
    page.line(1, "Resource\tRequests\tLimits");
    page.line(1, "--------\t--------\t------");
    let mut rows: Vec<String> = ["cpu", "memory", "ephemeral-storage"].map(str::to_owned).to_vec();
    let names = available.as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let (pages, extended): (Vec<String>, Vec<String>) =
        names.filter(|name| !rows.contains(name) && name != "pods").partition(|name| name.starts_with("hugepages-"));
    rows.extend(pages);
    for name in &rows {
        let of = |map: &Amounts| share(name, map.get(name).copied().unwrap_or_default());
        page.line(1, format!("{name}\t{}\t{}", of(&totals.0), of(&totals.1)));
    }
    for name in extended {
        let of = |map: &Amounts| map.get(&name).copied().unwrap_or_default();
        page.line(1, format!("{name}\t{}\t{}", of(&totals.0), of(&totals.1)));
    }
}
