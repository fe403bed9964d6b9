//! What upstream's controllers say of the objects they make and end, each in its own words.

use client::events::ObjectRef;

/// Whom to tell, and in whose words.
#[derive(Debug, Clone, PartialEq)]
pub struct Announce {
    pub about: ObjectRef,
    pub voice: Voice,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Voice {
    /// The pod of a ReplicaSet, a DaemonSet, a Job.
    Pod,
    /// The pod of a StatefulSet.
    Member,
    /// The claim of this pod of a StatefulSet.
    ClaimOf(String),
    /// The job of a CronJob.
    Job,
}

impl Announce {
    pub fn created(&self, name: &str) -> String {
        let set = &self.about.name;
        match &self.voice {
            Voice::Pod => format!("Created pod: {name}"),
            Voice::Member => format!("create Pod {name} in StatefulSet {set} successful"),
            Voice::ClaimOf(pod) => format!("create Claim {name} Pod {pod} in StatefulSet {set} success"),
            Voice::Job => format!("Created job {name}"),
        }
    }

    pub fn not_created(&self, name: &str, error: &client::Error) -> String {
        let set = &self.about.name;
        match &self.voice {
            Voice::Pod => format!("Error creating: {error}"),
            Voice::Member => format!("create Pod {name} in StatefulSet {set} failed error: {error}"),
            Voice::ClaimOf(pod) => {
                format!("create Claim {name} for Pod {pod} in StatefulSet {set} failed error: {error}")
            }
            Voice::Job => format!("Error creating job: {error}"),
        }
    }

    pub fn deleted(&self, name: &str) -> String {
        let set = &self.about.name;
        match &self.voice {
            Voice::Pod => format!("Deleted pod: {name}"),
            Voice::Member => format!("delete Pod {name} in StatefulSet {set} successful"),
            Voice::ClaimOf(pod) => format!("delete Claim {name} Pod {pod} in StatefulSet {set} success"),
            Voice::Job => format!("Deleted job {name}"),
        }
    }

    pub fn not_deleted(&self, name: &str, error: &client::Error) -> String {
        let set = &self.about.name;
        match &self.voice {
            Voice::Pod => format!("Error deleting: {error}"),
            Voice::Member => format!("delete Pod {name} in StatefulSet {set} failed error: {error}"),
            Voice::ClaimOf(pod) => {
                format!("delete Claim {name} for Pod {pod} in StatefulSet {set} failed error: {error}")
            }
            Voice::Job => format!("Deleted job: {error}"),
        }
    }
}
