//! The two phases of admission for one request: plugins, then what has to be waited for.

use super::shape::{self, Shape};
use super::{Caller, Judged};
use crate::lookup::Memory;
use crate::server::Server;
use admission::resource_quota::can_count;
use admission::webhook::Reinvocation;
use admission::{Notes, Subject, policy};
use meta::Status;
use serde_json::Value;

impl Server {
    /// The changing phase.
    pub(crate) async fn admit(
        &self,
        judged: &Judged<'_>,
        object: impl Into<Subject<'_>>,
        old: Option<&Value>,
        caller: &mut Caller<'_>,
    ) -> Result<(), Status> {
        let memory = Memory { server: self };
        let asks = self.webhooks.any_mutating() && self.chain.has("MutatingAdmissionWebhook");
        let rules = self.policies.any_mutating() && self.chain.has(policy::MUTATING);
        if !asks && !rules {
            let mut attributes = judged.attributes(object.into(), old);
            let told = self.chain.admit(&mut attributes, &memory);
            caller.note(std::mem::take(&mut attributes.audit));
            caller.warnings.extend(told?);
            return Ok(());
        }
        let shape = Shape { server: self, judged };
        let options = shape::options(judged);
        let mut attributes = judged.attributes(object.into(), old);
        attributes.options = &options;
        let mut rounds = Reinvocation::default();
        loop {
            caller.warnings.extend(self.chain.admit(&mut attributes, &memory)?);
            let mut notes = Notes::default();
            if rules {
                self.policies.mutate(&mut attributes, &memory, &shape, &mut rounds)?;
            }
            let outcome = match asks {
                true => self.webhooks.mutate(&mut attributes, &memory, &shape, &mut rounds, &mut notes).await,
                false => Ok(()),
            };
            caller.note(notes.audit);
            caller.warnings.append(&mut notes.warnings);
            outcome?;
            if !rounds.begin_second() {
                return Ok(());
            }
        }
    }

    /// The judging phase. Quotas come last: what they are charged is about to be written.
    pub(crate) async fn judge(
        &self,
        judged: &Judged<'_>,
        object: impl Into<Subject<'_>>,
        old: Option<&Value>,
        caller: &mut Caller<'_>,
    ) -> Result<(), Status> {
        let memory = Memory { server: self };
        let asks = self.webhooks.any_validating() && self.chain.has("ValidatingAdmissionWebhook");
        let rules = self.policies.any_validating() && self.chain.has(policy::VALIDATING);
        let options = if asks || rules { shape::options(judged) } else { Value::Null };
        let mut attributes = judged.attributes(object.into(), old);
        attributes.options = &options;
        let told = self.chain.validate(&mut attributes, &memory);
        caller.note(std::mem::take(&mut attributes.audit));
        caller.warnings.extend(told?);
        if asks || rules {
            let shape = Shape { server: self, judged };
            let mut notes = Notes::default();
            let ruled = match rules {
                true => self.policies.validate(&attributes, &memory, &shape, &mut notes),
                false => Ok(()),
            };
            let outcome = match (ruled, asks) {
                (Ok(()), true) => self.webhooks.validate(&attributes, &memory, &shape, &mut notes).await,
                (ruled, _) => ruled,
            };
            attributes.audit.append(&mut notes.audit);
            caller.warnings.append(&mut notes.warnings);
            outcome?;
        }
        if can_count(&attributes) {
            self.charge(&attributes).await?;
        }
        Ok(())
    }
}
