//! What a request to the node needs permission for: upstream's mapping of paths to subresources of
//! `nodes`.

use http::Method;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub verb: &'static str,
    /// Any of them is enough.
    pub subresources: &'static [&'static str],
}

pub(crate) fn of(method: &Method, path: &str) -> Access {
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    };
    let below = |prefix: &str| path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    let subresources: &[&str] = match path {
        _ if below("/stats") => &["stats"],
        _ if below("/metrics") => &["metrics"],
        _ if below("/logs") => &["log"],
        _ if below("/checkpoint") => &["checkpoint"],
        _ if below("/healthz") => &["healthz", "proxy"],
        _ if below("/pods") || below("/runningpods") => &["pods", "proxy"],
        _ if below("/configz") => &["configz", "proxy"],
        _ => &["proxy"],
    };
    Access { verb, subresources }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_need_upstreams_subresources() {
        for (method, path, verb, subresources) in [
            (Method::GET, "/stats/summary", "get", &["stats"][..]),
            (Method::GET, "/metrics/resource", "get", &["metrics"]),
            (Method::GET, "/pods", "get", &["pods", "proxy"]),
            (Method::POST, "/exec/a/b/c", "create", &["proxy"]),
            (Method::GET, "/podsx", "get", &["proxy"]),
        ] {
            assert_eq!(of(&method, path), Access { verb, subresources }, "{path}");
        }
    }
}
