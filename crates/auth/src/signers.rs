//! What Kubernetes' own signers sign: pure rules on certificate requests, for the controller that
//! approves and signs and for the API server's defaults.

use crate::names;
use crate::pki::Request;

pub const API_SERVER_CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// Whether `signer` may sign `request` for `usages`; a signer that is not ours signs nothing here.
///
/// # Errors
/// Why not, in upstream's words.
pub fn check(signer: &str, request: &Request, usages: &[&str]) -> Result<(), String> {
    match signer {
        KUBELET_CLIENT => {
            of_a_node(request)?;
            for (present, what) in [
                (!request.names.dns.is_empty(), "DNS"),
                (!request.names.emails.is_empty(), "Email"),
                (!request.names.addresses.is_empty(), "IP"),
                (!request.names.uris.is_empty(), "URI"),
            ] {
                if present {
                    return Err(format!("{what} subjectAltNames are not allowed"));
                }
            }
            exactly(usages, "client auth")
        }
        KUBELET_SERVING => {
            of_a_node(request)?;
            if request.names.dns.is_empty() && request.names.addresses.is_empty() {
                return Err("DNS or IP subjectAltName is required".to_owned());
            }
            for (present, what) in
                [(!request.names.emails.is_empty(), "Email"), (!request.names.uris.is_empty(), "URI")]
            {
                if present {
                    return Err(format!("{what} subjectAltNames are not allowed"));
                }
            }
            exactly(usages, "server auth")
        }
        API_SERVER_CLIENT => {
            const FINE: [&str; 4] = ["signing", "digital signature", "key encipherment", "client auth"];
            match usages.iter().all(|usage| FINE.contains(usage)) && usages.contains(&"client auth") {
                true => Ok(()),
                false => Err(format!("usages did not match {FINE:?}")),
            }
        }
        LEGACY => Ok(()),
        other => Err(format!("unrecognized signerName: {other}")),
    }
}

fn of_a_node(request: &Request) -> Result<(), String> {
    if request.organizations != [names::NODES] {
        return Err(format!("subject organization is not {}", names::NODES));
    }
    if !request.common_name.starts_with(names::NODE_PREFIX) {
        return Err(format!("subject common name does not begin with {}", names::NODE_PREFIX));
    }
    Ok(())
}

/// Digital signature and `purpose`; key encipherment too, which RSA keys need.
fn exactly(usages: &[&str], purpose: &str) -> Result<(), String> {
    let wanted = ["digital signature", purpose];
    let fine = |usage: &&str| wanted.contains(usage) || *usage == "key encipherment";
    if wanted.iter().all(|usage| usages.contains(usage)) && usages.iter().all(fine) {
        return Ok(());
    }
    Err(format!("usages did not match {wanted:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Key;

    fn request(common_name: &str, groups: &[&str], names: &[&str]) -> Request {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let pem = Request::create(&Key::generate().unwrap(), common_name, groups, &names).unwrap();
        Request::from_pem(pem.as_bytes()).unwrap()
    }

    #[test]
    fn signers_sign_what_they_are_for() {
        let node = "system:node:a";
        let nodes: &[&str] = &["system:nodes"];
        let client: &[&str] = &["digital signature", "client auth"];
        let server: &[&str] = &["digital signature", "key encipherment", "server auth"];
        for (signer, asked, usages, refusal) in [
            (KUBELET_CLIENT, request(node, nodes, &[]), client, None),
            (KUBELET_CLIENT, request(node, nodes, &[]), server, Some("usages did not match")),
            (KUBELET_CLIENT, request(node, nodes, &["a"]), client, Some("DNS subjectAltNames are not allowed")),
            (KUBELET_CLIENT, request(node, nodes, &["10.0.0.1"]), client, Some("IP subjectAltNames are not allowed")),
            (
                KUBELET_CLIENT,
                request(node, &["system:masters"], &[]),
                client,
                Some("subject organization is not system:nodes"),
            ),
            (
                KUBELET_CLIENT,
                request(node, &["system:nodes", "x"], &[]),
                client,
                Some("subject organization is not system:nodes"),
            ),
            (
                KUBELET_CLIENT,
                request("a", nodes, &[]),
                client,
                Some("subject common name does not begin with system:node:"),
            ),
            (KUBELET_SERVING, request(node, nodes, &["a", "10.0.0.1"]), server, None),
            (KUBELET_SERVING, request(node, nodes, &[]), server, Some("DNS or IP subjectAltName is required")),
            (API_SERVER_CLIENT, request("jane", &["devs"], &[]), client, None),
            (API_SERVER_CLIENT, request("jane", &[], &[]), server, Some("usages did not match")),
            (LEGACY, request("x", &[], &["y"]), server, None),
            ("example.com/a", request("x", &[], &[]), client, Some("unrecognized signerName: example.com/a")),
        ] {
            let outcome = check(signer, &asked, usages);
            match refusal {
                None => assert_eq!(outcome, Ok(()), "{signer}"),
                Some(why) => {
                    assert!(outcome.as_ref().is_err_and(|error| error.starts_with(why)), "{signer} {outcome:?} {why}")
                }
            }
        }
    }
}
