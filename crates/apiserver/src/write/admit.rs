//! The two phases of admission for one request: plugins, then what has to be waited for.

use super::{Caller, Judged};
use crate::lookup::Memory;
use crate::server::Server;
use admission::resource_quota::can_count;
use meta::Status;
use serde_json::Value;

impl Server {
    /// The changing phase.
    pub(crate) async fn admit(
        &self,
        judged: &Judged<'_>,
        object: &mut Value,
        old: Option<&Value>,
        caller: &mut Caller<'_>,
    ) -> Result<(), Status> {
        let memory = Memory { server: self };
        let mut attributes = judged.attributes(object, old);
        caller.warnings.extend(self.chain.admit(&mut attributes, &memory)?);
        Ok(())
    }

    /// The judging phase. Quotas come last: what they are charged is about to be written.
    pub(crate) async fn judge(
        &self,
        judged: &Judged<'_>,
        object: &mut Value,
        old: Option<&Value>,
        caller: &mut Caller<'_>,
    ) -> Result<(), Status> {
        let memory = Memory { server: self };
        let mut attributes = judged.attributes(object, old);
        caller.warnings.extend(self.chain.validate(&mut attributes, &memory)?);
        if can_count(&attributes) {
            self.charge(&attributes).await?;
        }
        Ok(())
    }
}
