//! Migrations on the fake API server.

use super::*;
use crate::kinds::resource::{CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, STORAGE_VERSION_MIGRATIONS};
use crate::testing::Stage as Scene;
use client::Error;
use meta::Status;

fn migration(group: &str, plural: &str) -> Value {
    json!({"metadata": {"name": "m", "uid": "m"}, "spec": {"resource": {"group": group, "resource": plural}}})
}

fn conditions_of(scene: &Scene) -> Vec<String> {
    let migration = scene.api.get(&STORAGE_VERSION_MIGRATIONS, "", "m").unwrap();
    let all = migration["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let shown = |one: &Value| {
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        format!("{} {} {} {}", text("type"), text("status"), text("reason"), text("message")).trim_end().to_owned()
    };
    all.iter().map(shown).collect()
}

const DONE: [&str; 2] =
    ["Running False StorageVersionMigrationSucceeded", "Succeeded True StorageVersionMigrationSucceeded"];

#[tokio::test(start_paused = true)]
async fn every_object_is_patched_once() {
    let (maps, migrations) = (CONFIG_MAPS, STORAGE_VERSION_MIGRATIONS);
    let map =
        |name: usize| json!({"metadata": {"namespace": "ns", "name": format!("c{name}"), "uid": name.to_string()}});
    let mut objects: Vec<_> = (0..5).map(|name| (&maps, map(name))).collect();
    objects.push((&migrations, migration("", "configmaps")));
    let scene = Scene::new(&DEF, &objects).await;
    scene.settle(5).await;
    assert_eq!(conditions_of(&scene), DONE);
    let written = scene.api.get(&migrations, "", "m").unwrap();
    assert!(!written["status"]["resourceVersion"].as_str().unwrap_or_default().is_empty());
    let writes = scene.writes();
    for name in 0..5 {
        let patched = format!("patch configmaps ns/c{name}");
        assert_eq!(writes.iter().filter(|write| write.starts_with(&patched)).count(), 1, "{writes:?}");
    }
    scene.settle(3600).await;
    let again: Vec<String> = scene.writes().into_iter().filter(|write| !write.starts_with("list")).collect();
    assert!(again.is_empty(), "what is over stays over: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_custom_resource_is_stored_in_one_version_afterwards() {
    let widgets = GroupVersionResource::of("example.com", "v2", "widgets");
    let definition = json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "names": {"plural": "widgets"}, "versions": [
            {"name": "v1", "served": true, "storage": false}, {"name": "v2", "served": true, "storage": true},
        ]},
        "status": {"storedVersions": ["v1", "v2"]},
    });
    let objects = [
        (&CUSTOM_RESOURCE_DEFINITIONS, definition),
        (&widgets, json!({"metadata": {"namespace": "ns", "name": "w", "uid": "w"}})),
        (&STORAGE_VERSION_MIGRATIONS, migration("example.com", "widgets")),
    ];
    let scene = Scene::new(&DEF, &objects).await;
    scene.settle(5).await;
    assert_eq!(conditions_of(&scene), DONE);
    assert!(scene.writes().iter().any(|write| write.starts_with("patch widgets ns/w")));
    let definition = scene.api.get(&CUSTOM_RESOURCE_DEFINITIONS, "", "widgets.example.com").unwrap();
    assert_eq!(definition["status"]["storedVersions"], json!(["v2"]));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_migrated_fails_and_what_changed_meanwhile_is_let_be() {
    let scene = Scene::new(&DEF, &[(&STORAGE_VERSION_MIGRATIONS, migration("example.com", "gadgets"))]).await;
    scene.settle(5).await;
    assert_eq!(conditions_of(&scene), ["Failed True StorageVersionMigrationFailed resource not found"]);
    let refusals = [
        (
            Status::conflict(&meta::GroupResource { group: "".into(), resource: "configmaps".into() }, "c", "changed"),
            &DONE[..],
        ),
        (
            Status::internal("broken"),
            &[
                "Running False StorageVersionMigrationFailed",
                "Failed True StorageVersionMigrationFailed migration encountered unhandled error",
            ],
        ),
    ];
    for (refusal, wanted) in refusals {
        let map = json!({"metadata": {"namespace": "ns", "name": "c", "uid": "c"}});
        let scene = Scene::new(&DEF, &[(&CONFIG_MAPS, map)]).await;
        scene.refuse("patch configmaps", Error::from(refusal));
        scene.api.put(&STORAGE_VERSION_MIGRATIONS, migration("", "configmaps"));
        scene.settle(5).await;
        assert_eq!(conditions_of(&scene), wanted);
    }
}
