//! Handshakes in memory between our servers and clients.

use super::*;
use auth::pki::{Authority, Profile};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

struct Parties {
    ca: Authority,
    served: Arc<Served>,
}

fn parties() -> Parties {
    let now = base::Clock::real().now();
    let ca = Authority::generate("kubernetes", now).unwrap();
    let server = ca.issue(&Profile::server("kube-apiserver", vec!["kubernetes".to_owned()]), now).unwrap();
    Parties { served: Served::new(&server).unwrap(), ca }
}

/// What the server learns of its client: the common name, if it showed a certificate.
async fn handshake(parties: &Parties, client: ClientConfig, name: &'static str) -> Result<Option<String>, String> {
    let server = server_config(parties.served.clone(), parties.ca.certificate(), &["h2", "http/1.1"]).unwrap();
    let (near, far) = duplex(64 * 1024);
    let connecting = async {
        let name = ServerName::try_from(name).unwrap();
        let mut stream =
            TlsConnector::from(Arc::new(client)).connect(name, near).await.map_err(|error| error.to_string())?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        stream.write_all(b"x").await.map_err(|error| error.to_string())?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await.map(drop).map_err(|error| error.to_string())
    };
    let accepting = async {
        let mut stream = TlsAcceptor::from(Arc::new(server)).accept(far).await.map_err(|error| error.to_string())?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first().cloned());
        let mut byte = [0];
        stream.read_exact(&mut byte).await.map_err(|error| error.to_string())?;
        stream.write_all(b"y").await.map_err(|error| error.to_string())?;
        Ok::<_, String>(shown.map(|der| pki::Parsed::new(&der).unwrap().common_name))
    };
    let (client, server) = tokio::join!(connecting, accepting);
    client.and(server)
}

#[tokio::test]
async fn clients_may_show_a_certificate_and_servers_must_show_the_right_one() {
    let parties = parties();
    let now = base::Clock::real().now();
    let jane = parties.ca.issue(&Profile::client("jane", &[]), now).unwrap();
    let stranger_ca = Authority::generate("other", now).unwrap();
    let stranger = stranger_ca.issue(&Profile::client("eve", &[]), now).unwrap();
    let config = |ca: &Authority, identity| client_config(ca.certificate(), identity, &["h2"]).unwrap();
    assert_eq!(handshake(&parties, config(&parties.ca, Some(&jane)), "kubernetes").await, Ok(Some("jane".to_owned())));
    assert_eq!(handshake(&parties, config(&parties.ca, None), "kubernetes").await, Ok(None));
    assert!(handshake(&parties, config(&parties.ca, Some(&stranger)), "kubernetes").await.is_err());
    assert!(handshake(&parties, config(&stranger_ca, None), "kubernetes").await.is_err());
    assert!(handshake(&parties, config(&parties.ca, None), "elsewhere").await.is_err());
    // A renewed certificate counts for the next connection.
    let renewed = parties.ca.issue(&Profile::server("s", vec!["elsewhere".to_owned()]), now).unwrap();
    parties.served.replace(&renewed).unwrap();
    assert_eq!(handshake(&parties, config(&parties.ca, None), "elsewhere").await, Ok(None));
}

#[test]
fn what_cannot_be_used_is_refused() {
    let parties = parties();
    assert!(matches!(server_config(parties.served.clone(), "", &[]), Err(Error::Authority(_))));
    assert!(matches!(client_config("", None, &[]), Err(Error::Authority(_))));
    let broken = Identity { certificate: parties.ca.certificate().to_owned(), key: "x".to_owned() };
    assert!(matches!(parties.served.replace(&broken), Err(Error::Key(_))));
}
