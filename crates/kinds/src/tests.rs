//! The tables are read whole and agree with each other.

mod fixtures;

use super::*;
use wire::schema::{ListKind, Shape};

#[test]
fn every_line_of_the_type_table_is_read() {
    let text = include_str!("types.tbl");
    let structs = text.lines().filter(|line| line.starts_with(':')).count();
    let fields = text.lines().filter(|line| !line.starts_with(['!', '^', ':'])).count();
    assert_eq!(schema().types.len(), structs);
    assert_eq!(schema().types.iter().map(|row| row.fields.len()).sum::<usize>(), fields);
    assert!(structs > 1200 && fields > 5000);
}

#[test]
fn every_line_of_the_resource_table_is_read() {
    let lines = include_str!("resources.tbl").lines().filter(|line| !line.starts_with(['#', '='])).count();
    assert_eq!(all().iter().filter(|row| row.stability != Stability::Legacy).count(), lines);
    for row in all() {
        assert_eq!(row.has_verb("list"), row.list_type_id.is_some(), "{}", row.kind);
        assert_eq!(row.is_stored(), row.has_verb("watch"), "{}", row.kind);
        for sub in &row.subresources {
            assert!(type_of(&sub.group, &sub.version, &sub.kind).is_some(), "{} of {}", sub.kind, row.resource);
        }
    }
}

#[test]
fn fields_say_what_upstream_declares() {
    let spec = schema().get(type_id("core.v1.ServiceSpec").unwrap());
    let Shape::List(ports) = &spec.field("ports").unwrap().shape else { panic!("ports is no list") };
    assert_eq!(ports.kind, ListKind::Map { keys: vec!["port".into(), "protocol".into()] });
    assert_eq!(ports.patch.merge_key.as_deref(), Some("port"));
    let port = schema().get(type_id("core.v1.ServicePort").unwrap());
    assert_eq!(port.field("protocol").unwrap().default, Some("TCP".into()));
    let volume = schema().get(type_id("core.v1.Volume").unwrap());
    assert_eq!(volume.field("emptyDir").unwrap().number, 2 << 8 | 2);
    assert!(schema().get(type_id("core.v1.ObjectReference").unwrap()).atomic);
    assert_eq!(enum_values("core.v1.RestartPolicy"), ["Always", "OnFailure", "Never"]);
}

#[test]
fn kinds_are_found_by_either_name() {
    let row = find("apps", "v1", "deployments").unwrap();
    assert_eq!(
        (row.kind.as_ref(), row.short_names.as_slice(), row.namespaced),
        ("Deployment", &["deploy".into()][..], true)
    );
    let scale = row.subresource("scale").unwrap();
    assert_eq!((scale.group.as_ref(), scale.version.as_ref(), scale.kind.as_ref()), ("autoscaling", "v1", "Scale"));
    assert_eq!(find_kind("", "v1", "Pod").unwrap().resource, "pods");
    assert_eq!(find_resource("autoscaling", "horizontalpodautoscalers").unwrap().version, "v2");
    assert_eq!(find("events.k8s.io", "v1", "events").unwrap().storage_group, "");
    assert_eq!(schema().get(type_of("apps", "v1", "DeleteOptions").unwrap()).name, "meta.v1.DeleteOptions");
}
