//! A request described once, for all who judge it: authorizers, flow control, audit's policy and the
//! plugins of admission.
//!
//! Nothing here judges; the words of a refusal are the same whoever says them, so they stand here too.

use crate::{GroupResource, Status, StatusDetails, User};
use std::borrow::Cow;

/// Who asks for what. For a path that is not a resource only `user`, `verb` and `path` are set.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    pub user: &'a User,
    pub verb: &'a str,
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// Empty for resources.
    pub path: &'a str,
    /// Of list, watch and deletecollection, as the client wrote it.
    pub field_selector: &'a str,
    pub label_selector: &'a str,
}

impl<'a> Attributes<'a> {
    pub fn path(user: &'a User, verb: &'a str, path: &'a str) -> Self {
        Attributes { path, ..Attributes::resource(user, verb, "", "") }
    }

    pub fn resource(user: &'a User, verb: &'a str, group: &'a str, resource: &'a str) -> Self {
        Attributes {
            user,
            verb,
            group,
            version: "",
            resource,
            subresource: "",
            namespace: "",
            name: "",
            path: "",
            field_selector: "",
            label_selector: "",
        }
    }

    pub fn namespace(self, namespace: &'a str) -> Self {
        Attributes { namespace, ..self }
    }

    pub fn name(self, name: &'a str) -> Self {
        Attributes { name, ..self }
    }

    pub fn subresource(self, subresource: &'a str) -> Self {
        Attributes { subresource, ..self }
    }

    pub fn is_resource(&self) -> bool {
        self.path.is_empty()
    }

    /// get, list and watch.
    pub fn is_read_only(&self) -> bool {
        matches!(self.verb, "get" | "list" | "watch")
    }

    /// Upstream's 403 for this request.
    pub fn forbidden(&self, reason: &str) -> Status {
        let user = escape(&self.user.name);
        let suffix = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        if !self.is_resource() {
            let what = format!("User \"{user}\" cannot {} path \"{}\"{suffix}", escape(self.verb), escape(self.path));
            return Status::forbidden(&group_resource("", ""), "", &what).with_details(StatusDetails::default());
        }
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        let scope = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", self.namespace)
        };
        let what = format!(
            "User \"{user}\" cannot {} resource \"{}{slash}{}\" in API group \"{}\" {scope}{suffix}",
            escape(self.verb),
            escape(self.resource),
            escape(self.subresource),
            escape(self.group)
        );
        Status::forbidden(&group_resource(self.group, self.resource), self.name, &what)
    }
}

/// Clients' words come back in the message; a browser must not take them for markup.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

fn group_resource(group: &str, resource: &str) -> GroupResource {
    GroupResource { group: group.to_owned().into(), resource: resource.to_owned().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_upstream_writes_them() {
        let jane = User::new("jane", &[]);
        let pods = Attributes::resource(&jane, "list", "", "pods");
        for (attributes, reason, message) in [
            (
                pods.namespace("default"),
                "",
                r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default""#,
            ),
            (
                pods.name("web").subresource("log"),
                "no",
                r#"pods "web" is forbidden: User "jane" cannot list resource "pods/log" in API group "" at the cluster scope: no"#,
            ),
            (Attributes::path(&jane, "get", "/metrics"), "", r#"forbidden: User "jane" cannot get path "/metrics""#),
            (Attributes::path(&jane, "get", "/<a>"), "", r#"forbidden: User "jane" cannot get path "/&lt;a&gt;""#),
        ] {
            let status = attributes.forbidden(reason);
            assert_eq!(status.message, message);
            assert_eq!(status.code, 403);
        }
    }
}
