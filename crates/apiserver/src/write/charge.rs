//! Charges ResourceQuotas: what a write takes is added to each quota's status before the object is
//! committed, by compare-and-swap, so that two writes never both get the last of something.
//!
//! What is charged for a write that then fails stays charged until the quota controller counts
//! again, which it does soon: too much for a moment, never too little.

use super::Draft;
use crate::object::Object;
use crate::resources::Resource;
use crate::server::{CommitError, Server};
use admission::resource_quota::{Charge, charges};
use admission::{Attributes, Operation};
use meta::Status;
use serde_json::Value;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use store::Expect;
use tokio::sync::Mutex;

/// Writes that count in the same namespace wait for each other rather than run into conflicts.
pub(crate) struct Tills([Mutex<()>; 64]);

impl Default for Tills {
    fn default() -> Self {
        Tills(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Tills {
    fn of(&self, namespace: &str) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        namespace.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % self.0.len() as u64).unwrap_or(0);
        &self.0[at]
    }
}

impl Server {
    /// Nothing where the namespace has no quotas; for a dry run only the check.
    pub(super) async fn charge(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let Some(resource) = &self.resources.find_any_version("", "resourcequotas") else { return Ok(()) };
        if !self.chain.has("ResourceQuota") || self.quotas(resource, request.namespace).is_empty() {
            return Ok(());
        }
        let _turn = self.tills.of(request.namespace).lock().await;
        let mut patience = self.patience();
        loop {
            let quotas = self.quotas(resource, request.namespace);
            let values: Vec<Arc<Value>> =
                quotas.iter().map(|quota| quota.value().map(Arc::new)).collect::<Result<_, _>>()?;
            let charges = charges(request, &values, self.env.clock.now())?;
            if request.dry_run || self.stands(request) || self.book(resource, &quotas, charges).await? {
                return Ok(());
            }
            patience.again().await?;
        }
    }

    /// What is about to be refused as it exists already is not charged for.
    fn stands(&self, request: &Attributes<'_>) -> bool {
        let resource = self.resources.find_any_version(&request.resource.group, &request.resource.resource);
        let collection = resource.and_then(|resource| resource.collection.clone());
        let key = Object::key(request.namespace, request.object_name());
        request.operation == Operation::Create && collection.is_some_and(|collection| collection.get(&key).is_some())
    }

    fn quotas(&self, resource: &Resource, namespace: &str) -> Vec<Arc<Object>> {
        let collection = resource.collection.as_ref();
        collection.map(|collection| collection.in_namespace(namespace)).unwrap_or_default()
    }

    /// False where somebody else changed a quota meanwhile. A quota booked before then stays charged,
    /// and is charged again: the controller puts it right.
    async fn book(&self, resource: &Resource, quotas: &[Arc<Object>], charges: Vec<Charge>) -> Result<bool, Status> {
        for charge in charges {
            let Some(current) = quotas.iter().find(|quota| quota.index.name == charge.quota) else { continue };
            let mut value = current.value()?;
            value["status"]["used"] = quota::to_json(&charge.used);
            let draft = Draft::new(resource, value);
            match draft.put(self, resource, Expect::Revision(current.revision)).await {
                Ok(_) => {}
                Err(CommitError::Conflict) => return Ok(false),
                Err(CommitError::Failed(status)) => return Err(status),
            }
        }
        Ok(true)
    }
}
