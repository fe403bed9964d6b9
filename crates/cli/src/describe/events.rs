//! The events of an object, at the end of its page.

use super::Subject;
use super::page::{Page, items, plain};
use crate::failure::Outcome;
use crate::print::age::since;
use crate::session::Call;
use serde_json::Value;

/// Writes the events that regard the subject, the latest last.
pub async fn events(subject: &Subject<'_>, page: &mut Page) -> Outcome {
    if !subject.events {
        return Ok(());
    }
    let metadata = &subject.object["metadata"];
    let is_node = subject.target.resource.kind == "Node";
    let uids =
        if is_node { vec![plain(&metadata["uid"]), plain(&metadata["name"])] } else { vec![plain(&metadata["uid"])] };
    let mut found = Vec::new();
    for uid in uids {
        found.extend(list(subject, &uid).await?);
    }
    found.sort_by_key(|event| plain(&event["lastTimestamp"]));
    write(subject, page, &found);
    Ok(())
}

async fn list(subject: &Subject<'_>, uid: &str) -> Outcome<Vec<Value>> {
    let metadata = &subject.object["metadata"];
    let namespace = plain(&metadata["namespace"]);
    let mut fields = vec![("involvedObject.name", plain(&metadata["name"])), ("involvedObject.uid", uid.to_owned())];
    let path = if namespace.is_empty() {
        "/api/v1/events".to_owned()
    } else {
        fields.push(("involvedObject.namespace", namespace.clone()));
        format!("/api/v1/namespaces/{namespace}/events")
    };
    if subject.target.resource.kind != "Pod" {
        fields.push(("involvedObject.kind", subject.target.resource.kind.clone()));
    }
    let fields: Vec<String> =
        fields.iter().map(|(field, value)| format!("{field}={}", meta::fields::escape(value))).collect();
    let answer = subject.session.json(Call::get(path).query("fieldSelector", fields.join(","))).await;
    // Events are an addition: without leave to see them the page is still good.
    let Ok(mut list) = answer else { return Ok(Vec::new()) };
    Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

fn write(subject: &Subject<'_>, page: &mut Page, events: &[Value]) {
    if events.is_empty() {
        page.field(0, "Events", "<none>");
        return;
    }
    page.flush();
    page.line(0, "Events:\n  Type\tReason\tAge\tFrom\tMessage");
    page.line(1, "----\t------\t----\t----\t-------");
    let now = subject.session.env.clock.now();
    for event in events {
        let source = plain(&event["source"]["component"]);
        let source = if source.is_empty() { plain(&event["reportingComponent"]) } else { source };
        let message = plain(&event["message"]);
        let (kind, reason) = (plain(&event["type"]), plain(&event["reason"]));
        page.line(1, format!("{kind}\t{reason}\t{}\t{source}\t{}", age(event, now), message.trim()));
    }
    page.flush();
}

fn age(event: &Value, now: base::Timestamp) -> String {
    let first = match event["eventTime"].as_str() {
        Some(time) => time,
        None => event["firstTimestamp"].as_str().unwrap_or_default(),
    };
    let first = since(first, now);
    let (count, last) = match &event["series"] {
        Value::Null => (event["count"].as_i64().unwrap_or_default(), &event["lastTimestamp"]),
        series => (series["count"].as_i64().unwrap_or_default(), &series["lastObservedTime"]),
    };
    if count > 1 {
        return format!("{} (x{count} over {first})", since(last.as_str().unwrap_or_default(), now));
    }
    first
}

/// The pods that a selector finds and the object controls, by what they do.
pub async fn pod_counts(subject: &Subject<'_>, selector: &str) -> Outcome<[i64; 4]> {
    let namespace = subject.target.namespace.as_deref().unwrap_or_default();
    let call = Call::get(format!("/api/v1/namespaces/{namespace}/pods")).query("labelSelector", selector);
    let list = subject.session.json(call).await?;
    let uid = &subject.object["metadata"]["uid"];
    let mut counts = [0; 4];
    for pod in items(&list["items"]) {
        let owned =
            items(&pod["metadata"]["ownerReferences"]).any(|owner| owner["controller"] == true && owner["uid"] == *uid);
        let place =
            ["Running", "Pending", "Succeeded", "Failed"].iter().position(|phase| pod["status"]["phase"] == *phase);
        if let Some(place) = place.filter(|_| owned) {
            counts[place] += 1;
        }
    }
    Ok(counts)
}
