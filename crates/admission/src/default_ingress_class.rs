//! DefaultIngressClass: an Ingress that names no class gets the default one.

use crate::default_storage_class::newest;
use crate::paths::{annotation, at, slot, text};
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;
use serde_json::json;

const GROUP: &str = "networking.k8s.io";

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(DefaultIngressClass)
}

struct DefaultIngressClass;

impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn admit(&self, request: &mut Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let ingress = request.is(GROUP, "ingresses") || request.is("extensions", "ingresses");
        let chosen = at(&request.object, &["spec", "ingressClassName"]).is_some()
            || annotation(&request.object, "kubernetes.io/ingress.class").is_some();
        if !ingress || chosen || !request.object["spec"].is_object() {
            return Ok(());
        }
        let classes = lookup.list(GROUP, "ingressclasses", "");
        if let Some(class) = newest(classes, &["ingressclass.kubernetes.io/is-default-class"])
            && let Some(place) = slot(&mut request.object, &["spec", "ingressClassName"])
        {
            *place = json!(text(&class, &["metadata", "name"]));
        }
        Ok(())
    }
}
