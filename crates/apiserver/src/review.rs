//! The review kinds: objects that are answered, never stored.

use crate::answer::Answer;
use crate::resources::Resource;
use crate::server::Server;
use crate::write::{Caller, Expected, Media, decode};
use auth::Attributes;
use client::Request;
use meta::{Status, User};
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Server {
    pub(crate) async fn review(
        &self,
        resource: &Resource,
        request: &Request,
        media: Media,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Status> {
        let mut review = decode(&Expected::of(resource), &request.body, media, &request.options, caller)?;
        let status = match resource.kind.kind.as_ref() {
            "TokenReview" => self.token_review(&review)?,
            "SubjectAccessReview" => self.access_review(&subject(&review), &review),
            "LocalSubjectAccessReview" => {
                check_namespace(request, &review)?;
                self.access_review(&subject(&review), &review)
            }
            "SelfSubjectAccessReview" => self.access_review(caller.user, &review),
            "SelfSubjectRulesReview" => self.rules_review(caller.user, &review)?,
            "SelfSubjectReview" => json!({"userInfo": caller.user}),
            _ => return Err(Status::method_not_supported(&resource.group_resource(), "create")),
        };
        review["status"] = status;
        let json = wire::encode::to_json(&review, resource.schema(), resource.type_id()).into();
        Ok(Answer::Other { json, type_id: resource.type_id(), created: true })
    }

    fn rules_review(&self, user: &User, review: &Value) -> Result<Value, Status> {
        let namespace = review.pointer("/spec/namespace").and_then(Value::as_str).unwrap_or_default();
        if namespace.is_empty() {
            return Err(Status::bad_request("no namespace on request"));
        }
        let index = self.access.rbac.as_ref();
        Ok(index.map(|index| auth::rbac::review(index, user, namespace).to_json()).unwrap_or_default())
    }

    fn token_review(&self, review: &Value) -> Result<Value, Status> {
        let token = review.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
        if token.is_empty() {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
        let audiences = review.pointer("/spec/audiences").and_then(Value::as_array);
        let audiences: Vec<String> =
            audiences.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect();
        Ok(match self.authenticator.review(token, &audiences, self.env.clock.now()) {
            Ok((user, audiences)) => json!({"authenticated": true, "user": user, "audiences": audiences}),
            Err(why) => json!({"user": {}, "error": why}),
        })
    }

    fn access_review(&self, user: &User, review: &Value) -> Value {
        let field_selector = selector(review, "fieldSelector");
        let label_selector = selector(review, "labelSelector");
        let text = |path: &str| review.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let attributes = if review.pointer("/spec/nonResourceAttributes").is_some() {
            Attributes::path(user, text("/spec/nonResourceAttributes/verb"), text("/spec/nonResourceAttributes/path"))
        } else {
            let at = |field: &str| text(&format!("/spec/resourceAttributes/{field}"));
            Attributes {
                user,
                verb: at("verb"),
                group: at("group"),
                version: at("version"),
                resource: at("resource"),
                subresource: at("subresource"),
                namespace: at("namespace"),
                name: at("name"),
                path: "",
                field_selector: &field_selector,
                label_selector: &label_selector,
            }
        };
        let decision = self.access.authorizer.authorize(&attributes);
        let mut status = json!({"allowed": decision.is_allowed()});
        if matches!(decision, auth::Decision::Deny { .. }) {
            status["denied"] = true.into();
        }
        if !decision.reason().is_empty() {
            status["reason"] = decision.reason().into();
        }
        status
    }
}

/// A selector of a review as a query would write it. What cannot be understood is left out: the
/// question is then about more than what was meant, never about less.
fn selector(review: &Value, name: &str) -> String {
    let Some(given) = review.pointer(&format!("/spec/resourceAttributes/{name}")) else { return String::new() };
    if let Some(raw) = given["rawSelector"].as_str().filter(|raw| !raw.is_empty()) {
        return raw.to_owned();
    }
    let requirements = given["requirements"].as_array().into_iter().flatten();
    let terms = requirements.filter_map(|one| {
        let key = one["key"].as_str().filter(|key| !key.is_empty())?;
        let values = one["values"].as_array().into_iter().flatten();
        let values: Vec<&str> = values.filter_map(Value::as_str).collect();
        match (name, one["operator"].as_str()?, values.as_slice()) {
            ("fieldSelector", "In", [value]) => Some(format!("{key}={}", meta::fields::escape(value))),
            ("fieldSelector", "NotIn", [value]) => Some(format!("{key}!={}", meta::fields::escape(value))),
            ("labelSelector", "In", [_, ..]) => Some(format!("{key} in ({})", values.join(","))),
            ("labelSelector", "NotIn", [_, ..]) => Some(format!("{key} notin ({})", values.join(","))),
            ("labelSelector", "Exists", []) => Some(key.to_owned()),
            ("labelSelector", "DoesNotExist", []) => Some(format!("!{key}")),
            _ => None,
        }
    });
    terms.collect::<Vec<_>>().join(",")
}

fn subject(review: &Value) -> User {
    let texts = |value: Option<&Value>| -> Vec<String> {
        let list = value.and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let text = |path: &str| review.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let extra: BTreeMap<String, Vec<String>> = review
        .pointer("/spec/extra")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, values)| (key.clone(), texts(Some(values))))
        .collect();
    User { name: text("/spec/user"), uid: text("/spec/uid"), groups: texts(review.pointer("/spec/groups")), extra }
}

fn check_namespace(request: &Request, review: &Value) -> Result<(), Status> {
    let asked = review.pointer("/spec/resourceAttributes/namespace").and_then(Value::as_str).unwrap_or_default();
    let namespace = request.namespace.as_deref().unwrap_or_default();
    if asked == namespace {
        return Ok(());
    }
    let path = meta::field::Path::new("spec.resourceAttributes.namespace");
    let why = format!("must match metadata.namespace: {namespace}");
    let error = meta::field::FieldError::invalid(&path, asked, &why);
    Err(meta::field::invalid("authorization.k8s.io", "LocalSubjectAccessReview", "", &[error]))
}

impl Server {
    /// What others need to check this cluster's service account tokens.
    pub(crate) fn openid_configuration(&self) -> Option<Value> {
        let issuer = self.issuer.as_ref()?;
        let keys = self.authenticator.web_keys();
        let algorithms: std::collections::BTreeSet<&str> = keys.iter().filter_map(|key| key["alg"].as_str()).collect();
        Some(json!({
            "issuer": issuer.issuer,
            "jwks_uri": format!("{}/openid/v1/jwks", issuer.issuer),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        }))
    }

    pub(crate) fn jwks(&self) -> Option<Value> {
        self.issuer.as_ref().map(|_| json!({"keys": self.authenticator.web_keys()}))
    }
}
