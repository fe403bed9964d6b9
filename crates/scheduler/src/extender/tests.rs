//! Extenders that answer, refuse, and never answer.

use super::*;
use crate::config::Tls;
use crate::fixture::{node, pod};
use client::fake::FakeApi;
use client::{Caches, Selection};
use meta::GroupVersionResource;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const NODES: GroupVersionResource = GroupVersionResource::of("", "v1", "nodes");

/// Answers every request alike; without an answer it keeps the caller waiting.
async fn serve(env: &Env, status: u16, answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    env.tasks.spawn("extender", async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 65_536];
            let _ = stream.read(&mut buffer).await;
            if let Some(body) = answer {
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                let _ = stream.write_all(head.as_bytes()).await;
            }
            kept.push(stream);
        }
    });
    format!("http://{address}/base")
}

fn extender(env: &Env, url: String, is_ignorable: bool) -> Extender {
    let config = config::Extender {
        url,
        filter: "filter".to_owned(),
        prioritize: "prioritize".to_owned(),
        preempt: String::new(),
        bind: "bind".to_owned(),
        weight: 3,
        timeout: Duration::from_millis(300),
        nodes_are_cached: true,
        is_ignorable,
        resources: ["example.com/foo".to_owned()].into(),
        tls: Tls::default(),
    };
    Extender::new(&config, env).unwrap()
}

async fn nodes(env: &Env) -> Arc<Cache<NodeView>> {
    let api = FakeApi::new();
    api.put(&NODES, node("a", serde_json::json!({})));
    let cache = Caches::new(Arc::new(api), env).watch::<NodeView>(Selection::all(NODES));
    cache.synced().await;
    cache
}

#[tokio::test]
async fn its_verdict_and_scores_are_taken() {
    let env = Env::real();
    let nodes = nodes(&env).await;
    let pod = pod(&serde_json::json!({}));
    let names = || vec!["a".to_owned(), "b".to_owned()];
    let answer = r#"{"NodeNames": ["a"], "FailedNodes": {"b": "too hot"}, "Error": ""}"#;
    let one = extender(&env, serve(&env, 200, Some(answer)).await, false);
    let kept = one.filter(&pod, &nodes, names()).await.unwrap();
    assert_eq!(kept.names, ["a"]);
    assert_eq!(*kept.failed[0].1.reasons, ["too hot"]);
    let one = extender(&env, serve(&env, 200, Some(r#"[{"Host": "a", "Score": 7}]"#)).await, false);
    assert_eq!(one.prioritize(&pod, &nodes, &names()).await["a"], 210);
    let one = extender(&env, serve(&env, 200, Some(r#"{"Error": "no"}"#)).await, false);
    assert_eq!(one.bind(&pod, "a").await, Err("no".to_owned()));
    assert!(!one.cares_for(&pod.view.spec));
    env.tasks.stop().await;
}

#[tokio::test]
async fn one_that_fails_or_never_answers_does_not_hang_the_scheduler() {
    let env = Env::real();
    let nodes = nodes(&env).await;
    let pod = pod(&serde_json::json!({}));
    let names = || vec!["a".to_owned()];
    let silent = serve(&env, 200, None).await;
    let error = extender(&env, silent.clone(), false).filter(&pod, &nodes, names()).await.err().unwrap();
    assert!(error.contains("context deadline exceeded"), "{error}");
    assert!(extender(&env, silent.clone(), false).prioritize(&pod, &nodes, &names()).await.is_empty());
    let kept = extender(&env, silent, true).filter(&pod, &nodes, names()).await.unwrap();
    assert_eq!(kept.names, ["a"]);
    let refusing = serve(&env, 500, Some("")).await;
    let error = extender(&env, refusing, false).filter(&pod, &nodes, names()).await.err().unwrap();
    assert!(error.starts_with("failed Filter with extender at URL") && error.ends_with("code 500"), "{error}");
    env.tasks.stop().await;
}
