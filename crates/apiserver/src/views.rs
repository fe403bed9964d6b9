//! Answers in the version that was asked for: objects are kept in one version, and shown in others
//! as they are wanted.

use crate::answer::Answer;
use crate::object::Object;
use crate::resources::Resource;
use crate::server::Server;
use meta::Status;
use std::sync::Arc;

impl Resource {
    /// Whether stored objects are shown as they are.
    pub fn shows_stored(&self) -> bool {
        self.kept_as.is_none() && self.custom.is_none()
    }

    /// A stored object in this row's version.
    ///
    /// # Errors
    /// The stored bytes are no JSON.
    pub fn show(&self, object: &Arc<Object>) -> Result<Arc<Object>, Status> {
        // What was written through this very row needs no second look.
        if self.shows_stored() || object.index.form == self.number {
            return Ok(object.clone());
        }
        object.view(self.number, || {
            let value = match &self.custom {
                Some(custom) => custom.shown(object.value()?, &self.api_version()),
                None => self.into_down(object.value()?),
            };
            let json = self.encode(&value);
            Ok(Object::new(object.revision, json.into(), object.index.clone()))
        })
    }
}

impl Server {
    /// An answer in a row's version; watches see to it themselves.
    pub(crate) async fn show_answer(&self, row: &Resource, answer: Answer) -> Result<Answer, Status> {
        if row.shows_stored() {
            return Ok(answer);
        }
        Ok(match answer {
            Answer::Object { object, created } => Answer::Object { object: self.show(row, &object).await?, created },
            Answer::List(mut list) => {
                list.items = self.show_all(row, list.items).await?;
                Answer::List(list)
            }
            other => other,
        })
    }
}
