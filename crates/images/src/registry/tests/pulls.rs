//! What a pull does with good and bad answers.
#![allow(clippy::unwrap_used)]

use super::fake::{Asked, Fake, Reply, serve_parts};
use super::{Bench, Parts};
use crate::service::{ImageError, ImageService, RegistryAuth};
use crate::testing::{Item, tar};
use crate::{Image, ImagesOptions};
use base64::Engine as _;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

fn auth(username: &str, password: &str) -> RegistryAuth {
    RegistryAuth { username: username.into(), password: password.into(), ..RegistryAuth::default() }
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}")))
}

async fn pull(fake: &Fake, auths: &[RegistryAuth]) -> (Bench, Result<Image, ImageError>) {
    let bench = Bench::new(ImagesOptions::default());
    let pulled = bench.images.pull(&fake.image(), auths).await;
    (bench, pulled)
}

/// Wants the token `good`, which its own token server gives as `check` says.
fn with_tokens(parts: Parts, check: fn(&Asked) -> Option<&'static str>) -> Fake {
    Fake::new(move |asked| {
        if asked.path.starts_with("/token") {
            return check(asked).map_or_else(|| Reply::new(401, "{}"), |answer| Reply::new(200, answer));
        }
        if asked.authorization == "Bearer good" {
            return serve_parts(&parts, asked);
        }
        let error = if asked.authorization.is_empty() { "" } else { ",error=\"insufficient_scope\"" };
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s v\"{error}", asked.host);
        Reply::new(401, "{}").with("WWW-Authenticate", challenge)
    })
}

#[tokio::test]
async fn an_image_with_an_index_is_pulled_once() {
    let parts = Parts::new().behind_index();
    let (digest, config) = (parts.digest.clone(), parts.config.clone());
    let fake = Fake::new(move |asked| serve_parts(&parts, asked));
    let (bench, pulled) = pull(&fake, &[]).await;
    let image = pulled.unwrap();
    assert_eq!(image.id, config.to_string());
    assert_eq!(image.repo_tags, [fake.image()]);
    assert_eq!(image.repo_digests, [format!("{}/a/b@{digest}", fake.address)]);
    assert_eq!(std::fs::read(image.layers[1].join("low")).unwrap(), b"1");
    assert_eq!(std::fs::read(image.layers[0].join("high")).unwrap().len(), 300_000);
    assert!(image.size > 100 && image.size < 100_000, "{}", image.size);
    // Here by every name; another pull asks only whether the tag has moved.
    let by_digest = format!("{}/a/b@{digest}", fake.address);
    for name in [&fake.image(), &by_digest, &image.id, &config.hex().to_owned()] {
        assert_eq!(bench.images.present(name).await.unwrap().as_ref(), Some(&image), "{name}");
    }
    assert_eq!(bench.images.present("a/b:1").await.unwrap(), None);
    let gets = fake.count("GET", "");
    assert_eq!(bench.images.pull(&fake.image(), &[]).await.unwrap(), image);
    assert_eq!(bench.images.pull(&by_digest, &[]).await.unwrap(), image);
    assert_eq!(fake.count("GET", ""), gets);
    bench.images.remove(&fake.image()).await.unwrap();
    assert!(bench.images.list().await.unwrap().is_empty() && bench.layers_on_disk() == 0);
}

#[tokio::test]
async fn pulls_at_once_share_their_work() {
    let parts = Parts::new();
    let fake = Fake::new(move |asked| serve_parts(&parts, asked));
    let bench = Bench::new(ImagesOptions::default());
    let image = fake.image();
    let pulls = (0..8).map(|_| bench.images.pull(&image, &[]));
    let pulled = futures_util::future::join_all(pulls).await;
    assert!(pulled.iter().all(|image| image.as_ref().unwrap() == pulled[0].as_ref().unwrap()));
    assert_eq!((fake.count("GET", "blobs/"), fake.count("GET", "manifests/")), (3, 1));
}

#[tokio::test]
async fn tokens_are_fetched_with_what_the_user_has() {
    type Check = fn(&Asked) -> Option<&'static str>;
    let user: Check = |asked| {
        let right = asked.authorization == basic("u", "p") && asked.path.contains("account=u");
        (right && asked.path.contains("service=s%20v") && asked.path.contains("scope=repository%3Aa%2Fb%3Apull"))
            .then_some(r#"{"token":"good"}"#)
    };
    let anonymous: Check = |asked| asked.authorization.is_empty().then_some(r#"{"access_token":"good"}"#);
    let identity: Check = |asked| {
        let right = asked.body.contains("grant_type=refresh_token") && asked.body.contains("refresh_token=id");
        (right && asked.method == "POST").then_some(r#"{"access_token":"good"}"#)
    };
    let weak: Check = |_| Some(r#"{"token":"weak"}"#);
    let never: Check = |_| None;
    let identity_token = RegistryAuth { identity_token: "id".into(), ..RegistryAuth::default() };
    let registry_token = RegistryAuth { registry_token: "good".into(), ..RegistryAuth::default() };
    let weak_error = "pull access denied, repository does not exist or may require authorization: \
        server message: insufficient_scope: authorization failed";
    for (name, check, auths, expected) in [
        ("anonymous", anonymous, vec![], Ok(())),
        ("a password", user, vec![auth("u", "p")], Ok(())),
        ("the second user", user, vec![auth("x", "y"), auth("u", "p")], Ok(())),
        ("an identity token", identity, vec![identity_token], Ok(())),
        ("a token of its own", never, vec![registry_token], Ok(())),
        (
            "a wrong password",
            user,
            vec![auth("u", "q")],
            Err("failed to authorize: failed to fetch oauth token: unexpected status"),
        ),
        ("nobody", user, vec![], Err("failed to authorize: failed to fetch anonymous token: unexpected status")),
        ("too little", weak, vec![auth("u", "p")], Err(weak_error)),
    ] {
        let fake = with_tokens(Parts::new(), check);
        let (_bench, pulled) = pull(&fake, &auths).await;
        match (pulled, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{name}: {error}"),
            (pulled, expected) => panic!("{name}: {pulled:?} but expected {expected:?}"),
        }
    }
}

#[tokio::test]
async fn credentials_stay_with_their_registry() {
    let parts = Parts::new();
    let store = Fake::new({
        let parts = Parts::new();
        move |asked| serve_parts(&parts, asked)
    });
    let elsewhere = store.address;
    let fake = Fake::new(move |asked| match asked.authorization.as_str() {
        "" => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
        _ if asked.path.contains("/blobs/") => {
            Reply::new(307, "").with("Location", format!("http://{elsewhere}{}", asked.path))
        }
        sent if sent == basic("u", "p") => serve_parts(&parts, asked),
        _ => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
    });
    let (_bench, pulled) = pull(&fake, &[auth("u", "p")]).await;
    pulled.unwrap();
    assert_eq!(store.asked().len(), 3);
    assert!(store.asked().iter().all(|asked| asked.authorization.is_empty()));
    // Nobody, and somebody else.
    let error = pull(&fake, &[]).await.1.unwrap_err();
    assert!(
        error.to_string().ends_with("may require authorization: authorization failed: no basic auth credentials"),
        "{error}"
    );
    let error = pull(&fake, &[auth("u", "x")]).await.1.unwrap_err();
    let expected = "/v2/a/b/manifests/1: 401 Unauthorized";
    assert!(matches!(error, ImageError::Unauthorized { .. }) && error.to_string().ends_with(expected), "{error}");
}

#[tokio::test]
async fn mirrors_come_first_and_see_no_credentials() {
    let (parts, empty) = (Parts::new(), Fake::new(|_| Reply::new(404, "")));
    let mirror = Fake::new(move |asked| serve_parts(&parts, asked));
    let gone = "http://127.0.0.1:1".to_owned();
    let mirrors = vec![gone, format!("http://{}", empty.address), format!("http://{}/", mirror.address)];
    let options = ImagesOptions { mirrors: BTreeMap::from([("quay.io".to_owned(), mirrors)]), ..Default::default() };
    let bench = Bench::new(options);
    let image = bench.images.pull("quay.io/a/b:1", &[auth("u", "p")]).await.unwrap();
    assert_eq!(image.repo_tags, ["quay.io/a/b:1"]);
    assert_eq!(empty.count("HEAD", "/v2/a/b/manifests/1?ns=quay.io"), 1);
    assert!(mirror.asked().iter().all(|asked| asked.authorization.is_empty()));
}

#[tokio::test]
async fn a_broken_connection_goes_on_where_it_ended() {
    for ranges in [true, false] {
        let parts = Parts::of(&[tar(&[Item::File("noise", &noise())])]);
        let tries = AtomicUsize::new(0);
        let layer = parts.layers[0].to_string();
        let fake = Fake::new(move |asked| {
            let asked = if ranges { asked.clone() } else { Asked { range: String::new(), ..asked.clone() } };
            let mut reply = serve_parts(&parts, &asked);
            if asked.path.contains(&layer) && tries.fetch_add(1, Ordering::Relaxed) < 2 {
                reply.cut = reply.body.len() / 2;
            }
            reply
        });
        let (_bench, pulled) = pull(&fake, &[]).await;
        assert_eq!(std::fs::read(pulled.unwrap().layers[0].join("noise")).unwrap(), noise());
        let ranges: Vec<_> =
            fake.asked().into_iter().filter(|asked| asked.path.contains("blobs/")).map(|asked| asked.range).collect();
        assert_eq!(ranges.iter().filter(|range| range.starts_with("bytes=")).count(), 2, "{ranges:?}");
    }
}

/// Bytes that gzip cannot make much smaller.
fn noise() -> Vec<u8> {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(400_000)
    .collect()
}

#[tokio::test]
async fn refusals_and_damage_are_told_apart() {
    let parts = Parts::new();
    let (layer, config) = (parts.layers[1].to_string(), parts.config.to_string());
    let damaged = |what: String| {
        move |asked: &Asked, reply: &mut Reply| {
            if asked.path.contains(&what) {
                *reply.body.last_mut().unwrap() ^= 1;
            }
        }
    };
    type Change = Box<dyn Fn(&Asked, &mut Reply) + Send + Sync>;
    let cases: Vec<(&str, Change, &str)> = vec![
        ("no such tag", Box::new(|_, reply| *reply = Reply::new(404, "")), ": not found"),
        ("trouble", Box::new(|_, reply| *reply = Reply::new(500, "")), "500 Internal Server Error"),
        ("a bad layer", Box::new(damaged(layer)), "failed to copy: unexpected digest sha256:"),
        ("a bad config", Box::new(damaged(config)), "failed to copy: unexpected digest sha256:"),
        ("a bad manifest", Box::new(damaged("manifests/sha256:".to_owned())), "unexpected digest sha256:"),
        (
            "an old manifest",
            Box::new(|asked, reply| {
                if asked.path.contains("manifests/") {
                    let old = br#"{"schemaVersion":1}"#;
                    let digest = crate::digest::Digest::of(old).to_string();
                    *reply = Reply::new(200, old).with("Docker-Content-Digest", digest);
                }
            }),
            "unsupported manifest media type",
        ),
        (
            "redirects without end",
            Box::new(|asked, reply| *reply = Reply::new(302, "").with("Location", asked.path.clone())),
            "stopped after 10 redirects",
        ),
    ];
    for (name, change, expected) in cases {
        let parts = Parts::new();
        let fake = Fake::new(move |asked| {
            let mut reply = serve_parts(&parts, asked);
            change(asked, &mut reply);
            reply
        });
        let (bench, pulled) = pull(&fake, &[]).await;
        let error = pulled.expect_err(name);
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert!(error.to_string().contains(&fake.image()), "{name}: {error}");
        assert!(bench.images.list().await.unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn errors_have_the_words_users_know() {
    let missing = Fake::new(|_| Reply::new(404, ""));
    let image = missing.image();
    let error = pull(&missing, &[]).await.1.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": \
             failed to resolve reference \"{image}\": {image}: not found"
        )
    );
    let bench = Bench::new(ImagesOptions::default());
    let error = bench.images.pull("127.0.0.1:1/x", &[]).await.unwrap_err().to_string();
    let expected = "failed to pull and unpack image \"127.0.0.1:1/x:latest\": failed to resolve reference \
        \"127.0.0.1:1/x:latest\": failed to do request: Head \"http://127.0.0.1:1/v2/x/manifests/latest\": \
        dial tcp 127.0.0.1:1: connect: connection refused";
    assert_eq!(error, expected);
    let error = bench.images.pull("Bad", &[]).await.unwrap_err().to_string();
    assert_eq!(error, "invalid reference format: repository name (library/Bad) must be lowercase");
}
