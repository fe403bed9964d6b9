//! Lists in chunks.

use crate::rig::{Rig, parse, place};
use client::{Api, List, Options, Response, Verb};
use meta::{GroupVersionResource, Reason};
use serde_json::{Value, json};

const TEMPLATES: GroupVersionResource = GroupVersionResource::of("", "v1", "podtemplates");
const MANY: usize = 400;

async fn create(rig: &Rig, name: &str) {
    let template = json!({"spec": {"containers": [{"name": "test", "image": "test2"}]}});
    rig.create(&TEMPLATES, &json!({"metadata": {"name": name}, "template": template})).await.unwrap();
}

async fn filled(rig: &Rig) {
    for number in 0..MANY {
        create(rig, &format!("template-{number:04}")).await;
    }
}

async fn come_and_go(rig: &Rig, name: &str) {
    create(rig, name).await;
    rig.send(place(Verb::Delete, &TEMPLATES).name(name)).await.unwrap();
}

async fn page(rig: &Rig, options: Options) -> Result<List, client::Error> {
    match rig.api.call(place(Verb::List, &TEMPLATES).options(options)).await? {
        Response::List(list) => Ok(list),
        _ => panic!("no list"),
    }
}

fn names(list: &List) -> Vec<String> {
    let name = |item: Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    list.items.iter().map(|item| name(parse(item))).collect()
}

#[tokio::test]
async fn a_list_comes_in_chunks_of_one_moment() {
    let rig = Rig::start().await;
    filled(&rig).await;
    for limit in [17, 133, MANY as u64] {
        let mut options = Options { limit: Some(limit), ..Options::default() };
        let (mut seen, mut version) = (Vec::new(), None);
        loop {
            let chunk = page(&rig, options.clone()).await.unwrap();
            assert!(chunk.items.len() as u64 <= limit, "{limit}");
            seen.extend(names(&chunk));
            let left = i64::try_from(MANY - seen.len()).unwrap();
            assert_eq!(chunk.remaining.unwrap_or(0), left, "{limit}");
            assert_eq!(*version.get_or_insert(chunk.resource_version.clone()), chunk.resource_version);
            assert_eq!(chunk.continue_token.is_some(), left > 0);
            // What comes meanwhile belongs to another moment.
            if limit == 133 && left > 0 {
                come_and_go(&rig, "template-9999").await;
            }
            match chunk.continue_token {
                Some(token) => options.continue_token = Some(token),
                None => break,
            }
        }
        let wanted: Vec<String> = (0..MANY).map(|number| format!("template-{number:04}")).collect();
        assert_eq!(seen, wanted, "{limit}");
    }
    assert_eq!(page(&rig, Options::default()).await.unwrap().items.len(), MANY);
}

#[tokio::test]
async fn a_forgotten_list_goes_on_as_of_now() {
    let rig = Rig::start().await;
    filled(&rig).await;
    let options = Options { limit: Some(40), ..Options::default() };
    let first = page(&rig, options.clone()).await.unwrap();
    let token = first.continue_token.clone().unwrap();
    for name in ["template-0000", "template-0399"] {
        rig.send(place(Verb::Delete, &TEMPLATES).name(name)).await.unwrap();
    }
    rig.server.forget_history(rig.server.revision()).await;

    let again = Options { continue_token: Some(token), ..options.clone() };
    let refusal = page(&rig, again).await.unwrap_err();
    assert!(refusal.is(Reason::Expired), "{refusal}");
    let status = refusal.status().unwrap();
    assert_eq!(status.code, 410);
    let message = "Continuing with the provided token results in an inconsistent list";
    assert!(status.message.contains(message), "{}", status.message);
    let token = status.metadata.continue_.clone();
    assert!(!token.is_empty());

    // The state is another one, so the next token is of that one; where the list was is not lost.
    let second = page(&rig, Options { continue_token: Some(token), ..options }).await.unwrap();
    assert_eq!(names(&second)[0], "template-0040");
    assert_eq!((second.items.len(), second.remaining), (40, Some(MANY as i64 - 81)));
    assert_ne!(second.resource_version, first.resource_version);
    let rest = Options { continue_token: second.continue_token, ..Options::default() };
    let rest = page(&rig, rest).await.unwrap();
    assert_eq!(names(&rest).last().map(String::as_str), Some("template-0398"));
    assert_eq!((rest.items.len(), &rest.resource_version), (MANY - 81, &second.resource_version));
}
