//! Namespaces and what holds configuration: ConfigMaps, Secrets, ServiceAccounts.

use super::events::events;
use super::page::{Page, items, plain, time};
use super::{Subject, Written, quota};
use crate::print::table::label_text;
use crate::session::Call;
use base64::Engine;
use serde_json::Value;

fn decoded(value: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(plain(value)).unwrap_or_default()
}

pub fn config_map<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        page.head(object);
        page.line(0, "\nData\n====");
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            page.line(0, format!("{key}:\n----\n{}\n", plain(value)));
        }
        page.line(0, "\nBinaryData\n====");
        for (key, value) in object["binaryData"].as_object().into_iter().flatten() {
            page.line(0, format!("{key}: {} bytes", decoded(value).len()));
        }
        page.line(0, "");
        events(subject, page).await
    })
}

pub fn secret<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        page.head(object);
        page.line(0, format!("\nType:\t{}", plain(&object["type"])));
        page.line(0, "\nData\n====");
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            let bytes = decoded(value);
            if key == "token" && object["type"] == "kubernetes.io/service-account-token" {
                page.field(0, key, String::from_utf8_lossy(&bytes));
            } else {
                page.field(0, key, format!("{} bytes", bytes.len()));
            }
        }
        Ok(())
    })
}

pub fn service_account<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        page.head(object);
        let session = subject.session;
        let namespace = plain(&object["metadata"]["namespace"]);
        let call = Call::get(format!("/api/v1/namespaces/{namespace}/secrets"));
        let secrets = session.json(call).await.unwrap_or_default();
        let exists = |name: &str| items(&secrets["items"]).any(|secret| secret["metadata"]["name"] == name);
        let shown = |name: String| if exists(&name) { name } else { format!("{name} (not found)") };
        let names = |list: &Value| items(list).map(|one| shown(plain(&one["name"]))).collect::<Vec<_>>();
        let is_token = |secret: &&Value| {
            secret["type"] == "kubernetes.io/service-account-token"
                && secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] == object["metadata"]["name"]
        };
        let tokens = items(&secrets["items"]).filter(is_token).map(|secret| plain(&secret["metadata"]["name"]));
        for (label, mut lines) in [
            ("Image pull secrets", names(&object["imagePullSecrets"])),
            ("Mountable secrets", names(&object["secrets"])),
            ("Tokens", tokens.collect()),
        ] {
            if lines.is_empty() {
                lines.push("<none>".to_owned());
            }
            page.column("", label, &lines);
        }
        events(subject, page).await
    })
}

pub fn namespace<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        page.field(0, "Name", plain(&object["metadata"]["name"]));
        page.pairs("", "Labels", &object["metadata"]["labels"]);
        page.annotations("", &object["metadata"]["annotations"]);
        page.field(0, "Status", plain(&object["status"]["phase"]));
        if items(&object["status"]["conditions"]).next().is_some() {
            page.line(0, "Conditions:");
            page.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
            page.line(1, "----\t------\t------------------\t------\t-------");
            for condition in items(&object["status"]["conditions"]) {
                let text = |field: &str| plain(&condition[field]);
                let changed = time(&condition["lastTransitionTime"]);
                page.line(
                    1,
                    format!(
                        "{} \t{} \t{changed} \t{} \t{} ",
                        text("type"),
                        text("status"),
                        text("reason"),
                        text("message")
                    ),
                );
            }
        }
        let name = plain(&object["metadata"]["name"]);
        let list = |kind: &str| Call::get(format!("/api/v1/namespaces/{name}/{kind}"));
        quotas(page, &subject.session.json(list("resourcequotas")).await.unwrap_or_default());
        limits(page, &subject.session.json(list("limitranges")).await.unwrap_or_default());
        Ok(())
    })
}

fn quotas(page: &mut Page, list: &Value) {
    if items(&list["items"]).next().is_none() {
        page.line(0, "\nNo resource quota.");
        return;
    }
    page.line(0, "\nResource Quotas");
    for quota in items(&list["items"]) {
        page.field(1, "Name", plain(&quota["metadata"]["name"]));
        quota::scopes(page, 1, "* ", quota);
        page.line(1, "Resource\tUsed\tHard");
        page.line(1, "--------\t---\t---");
        for (name, hard) in quota["status"]["hard"].as_object().into_iter().flatten() {
            page.line(1, format!("{name}\t{}\t{}", plain(&quota["status"]["used"][name]), plain(hard)));
        }
    }
}

fn limits(page: &mut Page, list: &Value) {
    if items(&list["items"]).next().is_none() {
        page.line(0, "\nNo LimitRange resource.");
        return;
    }
    page.line(0, "\nResource Limits");
    quota::limit_table(page, " ", items(&list["items"]));
}

pub fn priority_class<'p>(subject: &'p Subject<'p>, page: &'p mut Page) -> Written<'p> {
    Box::pin(async move {
        let object = subject.object;
        page.field(0, "Name", plain(&object["metadata"]["name"]));
        page.field(0, "Value", plain(&object["value"]));
        page.field(0, "GlobalDefault", object["globalDefault"] == true);
        page.field(0, "PreemptionPolicy", plain(&object["preemptionPolicy"]));
        page.field(0, "Description", plain(&object["description"]));
        page.field(0, "Annotations", label_text(&object["metadata"]["annotations"]));
        events(subject, page).await
    })
}
