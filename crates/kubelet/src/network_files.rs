//! What a pod reads about the network: its host name, resolv.conf and hosts file.

use k8s_openapi::api::core::v1::{HostAlias, Pod, PodDNSConfig};
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

/// What resolvers are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    pub nameservers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

/// How the cluster resolves names.
#[derive(Debug, Clone, Default)]
pub struct ClusterDns {
    pub servers: Vec<IpAddr>,
    pub domain: String,
    /// The node's own.
    pub host: Dns,
}

/// A message that belongs into an event, by reason.
pub type Complaint = (&'static str, String);

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_LETTERS: usize = 2048;
const MAX_HOSTNAME: usize = 63;
const MAX_FQDN: usize = 64;

impl Dns {
    pub fn parse(text: &str) -> Self {
        let mut dns = Dns::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let key = words.next().unwrap_or("");
            let rest = || words.map(str::to_owned).collect::<Vec<_>>();
            match key {
                "nameserver" => dns.nameservers.extend(rest().into_iter().next()),
                // The last one counts.
                "search" | "domain" => dns.searches = rest().into_iter().filter(|path| path != ".").collect(),
                "options" => dns.options = rest(),
                _ => {}
            }
        }
        dns
    }

    /// The node's resolvers: those behind systemd-resolved's stub, which pods cannot reach.
    pub fn of_host() -> Self {
        let stub = |dns: &Dns| dns.nameservers.iter().all(|server| server.starts_with("127."));
        let read = |path: &str| std::fs::read_to_string(path).map(|text| Dns::parse(&text)).unwrap_or_default();
        let own = read("/etc/resolv.conf");
        if !stub(&own) {
            return own;
        }
        let behind = read("/run/systemd/resolve/resolv.conf");
        if behind.nameservers.is_empty() { own } else { behind }
    }

    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        if !self.searches.is_empty() {
            let _ = writeln!(text, "search {}", self.searches.join(" "));
        }
        for server in &self.nameservers {
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.options.is_empty() {
            let _ = writeln!(text, "options {}", self.options.join(" "));
        }
        text
    }
}

/// The pod's resolv.conf by its dnsPolicy and dnsConfig.
pub fn resolv_conf(pod: &Pod, cluster: &ClusterDns) -> (Dns, Vec<Complaint>) {
    let spec = pod.spec.clone().unwrap_or_default();
    let mut complaints = Vec::new();
    let host_network = spec.host_network == Some(true);
    let name = pod.metadata.name.as_deref().unwrap_or("");
    let cluster_first = match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "None" => return (limit(with_config(Dns::default(), spec.dns_config), &mut complaints), complaints),
        "Default" => false,
        "ClusterFirstWithHostNet" => true,
        _ => !host_network,
    };
    let dns = if cluster_first && !cluster.servers.is_empty() {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let domain = &cluster.domain;
        let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
        searches.extend(cluster.host.searches.iter().cloned());
        let nameservers = cluster.servers.iter().map(ToString::to_string).collect();
        Dns { nameservers, searches, options: vec!["ndots:5".to_owned()] }
    } else {
        if cluster_first {
            let text = format!(
                "pod: {name:?}. kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. Falling back to \"Default\" policy."
            );
            complaints.push(("MissingClusterDNS", text));
        }
        cluster.host.clone()
    };
    (limit(with_config(dns, spec.dns_config), &mut complaints), complaints)
}

fn with_config(mut dns: Dns, config: Option<PodDNSConfig>) -> Dns {
    let Some(config) = config else { return dns };
    append(&mut dns.nameservers, config.nameservers.unwrap_or_default());
    append(&mut dns.searches, config.searches.unwrap_or_default());
    for option in config.options.unwrap_or_default() {
        let name = option.name.unwrap_or_default();
        dns.options.retain(|own| own.split(':').next() != Some(name.as_str()));
        dns.options.push(match option.value.filter(|value| !value.is_empty()) {
            Some(value) => format!("{name}:{value}"),
            None => name,
        });
    }
    dns
}

fn append(list: &mut Vec<String>, more: Vec<String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// What the C library would not read is left out, and told.
fn limit(mut dns: Dns, complaints: &mut Vec<Complaint>) -> Dns {
    let count = dns.searches.len();
    dns.searches.truncate(MAX_SEARCHES);
    while dns.searches.join(" ").len() > MAX_SEARCH_LETTERS {
        dns.searches.pop();
    }
    if dns.searches.len() < count {
        let text = format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            dns.searches.join(" ")
        );
        complaints.push(("DNSConfigForming", text));
    }
    if dns.nameservers.len() > MAX_NAMESERVERS {
        dns.nameservers.truncate(MAX_NAMESERVERS);
        let text = format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            dns.nameservers.join(" ")
        );
        complaints.push(("DNSConfigForming", text));
    }
    dns
}

/// Host name and domain of a pod, and what `hostname` prints in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hostname {
    pub short: String,
    /// Empty without a subdomain.
    pub domain: String,
    pub shown: String,
}

/// # Errors
/// A full name that the kernel could not hold.
pub fn hostname(pod: &Pod, cluster_domain: &str, node: &str) -> Result<Hostname, String> {
    let spec = pod.spec.clone().unwrap_or_default();
    if spec.host_network == Some(true) {
        return Ok(Hostname { short: node.to_owned(), domain: String::new(), shown: node.to_owned() });
    }
    if let Some(name) = spec.hostname_override.filter(|name| !name.is_empty()) {
        return Ok(Hostname { short: name.clone(), domain: String::new(), shown: name });
    }
    let name = pod.metadata.name.clone().unwrap_or_default();
    let mut short = spec.hostname.filter(|name| !name.is_empty()).unwrap_or(name);
    if short.len() > MAX_HOSTNAME {
        short.truncate(MAX_HOSTNAME);
        short = short.trim_end_matches(['-', '.']).to_owned();
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let domain = match spec.subdomain.filter(|subdomain| !subdomain.is_empty()) {
        Some(subdomain) => format!("{subdomain}.{namespace}.svc.{cluster_domain}"),
        None => String::new(),
    };
    let full = if domain.is_empty() { short.clone() } else { format!("{short}.{domain}") };
    if spec.set_hostname_as_fqdn != Some(true) {
        return Ok(Hostname { shown: short.clone(), short, domain });
    }
    if full.len() > MAX_FQDN {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long ({MAX_FQDN} characters is the max, {} characters requested)",
            full.len()
        ));
    }
    Ok(Hostname { short, domain, shown: full })
}

/// The text of the hosts file that the node manages for the pod.
pub fn hosts_file(pod: &Pod, addresses: &[IpAddr], hostname: &Hostname) -> String {
    let spec = pod.spec.clone().unwrap_or_default();
    let mut text = if spec.host_network == Some(true) {
        let own = std::fs::read_to_string(Path::new("/etc/hosts")).unwrap_or_default();
        format!("# Kubernetes-managed hosts file (host network).\n{own}")
    } else {
        let mut text = "# Kubernetes-managed hosts file.\n\
            127.0.0.1\tlocalhost\n\
            ::1\tlocalhost ip6-localhost ip6-loopback\n\
            fe00::0\tip6-localnet\n\
            fe00::0\tip6-mcastprefix\n\
            fe00::1\tip6-allnodes\n\
            fe00::2\tip6-allrouters\n"
            .to_owned();
        for address in addresses {
            // Writing to a String cannot fail.
            let _ = if hostname.domain.is_empty() {
                writeln!(text, "{address}\t{}", hostname.short)
            } else {
                writeln!(text, "{address}\t{}.{}\t{}", hostname.short, hostname.domain, hostname.short)
            };
        }
        text
    };
    aliases(&mut text, spec.host_aliases.as_deref().unwrap_or(&[]));
    text
}

fn aliases(text: &mut String, aliases: &[HostAlias]) {
    if aliases.is_empty() {
        return;
    }
    text.push_str("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or(&[]).join("\t");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}\t{names}", alias.ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec})).unwrap()
    }

    fn cluster() -> ClusterDns {
        ClusterDns {
            servers: vec!["10.96.0.10".parse().unwrap()],
            domain: "cluster.local".to_owned(),
            host: Dns::parse("# c\nnameserver 9.9.9.9\nsearch corp.example\noptions timeout:1\n"),
        }
    }

    #[test]
    fn policies_choose_the_resolver() {
        let first = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5\n";
        let host = "search corp.example\nnameserver 9.9.9.9\noptions timeout:1\n";
        for (spec, expected) in [
            (json!({"containers": []}), first),
            (json!({"containers": [], "dnsPolicy": "Default"}), host),
            (json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirst"}), host),
            (json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}), first),
            (
                json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"],
                    "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
                "search a.b\nnameserver 1.1.1.1\noptions ndots:2 edns0\n",
            ),
        ] {
            assert_eq!(resolv_conf(&pod(spec.clone()), &cluster()).0.render(), expected, "{spec}");
        }
        let options = json!({"containers": [], "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}});
        assert_eq!(resolv_conf(&pod(options), &cluster()).0.options, ["ndots:1"]);
        let none = ClusterDns { servers: Vec::new(), ..cluster() };
        let (dns, complaints) = resolv_conf(&pod(json!({"containers": []})), &none);
        assert_eq!((dns.render().as_str(), complaints[0].0), (host, "MissingClusterDNS"));
    }

    #[test]
    fn names_and_hosts_files() {
        let named = pod(json!({"containers": [], "hostname": "db", "subdomain": "pg",
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}));
        let name = hostname(&named, "cluster.local", "node").unwrap();
        assert_eq!(name.shown, "db");
        let text = hosts_file(&named, &["10.0.0.5".parse().unwrap()], &name);
        assert!(text.contains("\n10.0.0.5\tdb.pg.shop.svc.cluster.local\tdb\n"), "{text}");
        assert!(text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), "{text}");
        let full = pod(json!({"containers": [], "subdomain": "pg", "setHostnameAsFQDN": true}));
        assert_eq!(hostname(&full, "cluster.local", "n").unwrap().shown, "web-0.pg.shop.svc.cluster.local");
        let long =
            pod(json!({"containers": [], "hostname": "x".repeat(60), "subdomain": "pg", "setHostnameAsFQDN": true}));
        assert!(hostname(&long, "cluster.local", "n").is_err());
    }
}
