//! What the scheduler does when something changes: the snapshot follows, and pods that wait are
//! told if it may help them.

use crate::cluster::DeviceClaimView;
use crate::cycle::Scheduler;
use crate::framework::Case;
use crate::news::{self, News, Subject};
use crate::node::NodeView;
use crate::plugins::ALL;
use crate::pod::{CLAIMING, PodItem, PodView};
use client::cache::{Cache, Change, Projection};
use std::sync::Arc;

impl Scheduler {
    /// Keeps snapshot and queue current from here on.
    pub fn subscribe(self: Arc<Self>) {
        let own = Arc::downgrade(&self);
        self.nodes.subscribe(move |change| {
            if let Some(scheduler) = own.upgrade() {
                scheduler.node_changed(change);
            }
        });
        let own = Arc::downgrade(&self);
        self.pods.subscribe(move |change| {
            if let Some(scheduler) = own.upgrade() {
                scheduler.pod_changed(change);
            }
        });
        let own = Arc::downgrade(&self);
        self.cluster.claims.subscribe(move |change| {
            if let (Some(scheduler), Some(claim)) = (own.upgrade(), change.latest()) {
                scheduler.pass_on(&News { kinds: news::CLAIM, subject: Subject::Claim(&claim.key) });
            }
        });
        let own = Arc::downgrade(&self);
        self.cluster.device_claims.subscribe(move |change| {
            if let Some(scheduler) = own.upgrade() {
                scheduler.device_claim_changed(change);
            }
        });
        self.follow(&self.cluster.device_classes, news::DEVICE_CLASS);
        self.follow(&self.cluster.slices, news::DEVICES);
        // Where a taint goes, devices are to be had as well.
        let own = Arc::downgrade(&self);
        self.cluster.taint_rules.subscribe(move |_| {
            if let Some(scheduler) = own.upgrade() {
                scheduler.pass_on(&News { kinds: news::DEVICES, subject: Subject::Other });
            }
        });
        self.follow(&self.cluster.volumes, news::VOLUME);
        self.follow(&self.cluster.classes, news::CLASS);
        self.follow(&self.cluster.csi_nodes, news::CSI_NODE);
        self.follow(&self.cluster.csi_drivers, news::CSI_DRIVER);
        self.follow(&self.cluster.capacities, news::CAPACITY);
    }

    fn follow<P: Projection>(self: &Arc<Self>, cache: &Cache<P>, kinds: u32) {
        let own = Arc::downgrade(self);
        cache.subscribe(move |change| {
            if let Some(scheduler) = own.upgrade().filter(|_| change.new.is_some()) {
                scheduler.pass_on(&News { kinds, subject: Subject::Other });
            }
        });
    }

    /// Pods that name the claim come into the queue once all of theirs are there, and leave it with them.
    fn device_claim_changed(&self, change: &Change<DeviceClaimView>) {
        let Some(latest) = change.latest() else { return };
        for pod in self.pods.by_index(CLAIMING, latest.key.as_str()) {
            match (self.wants(&pod), self.queue.has(&pod.key)) {
                (true, false) => self.queue.add(pod),
                (false, true) => self.queue.remove(&pod.key),
                _ => {}
            }
        }
        match &change.new {
            Some(new) => {
                let subject = Subject::DeviceClaim { old: change.old.as_deref(), new };
                self.pass_on(&News { kinds: news::DEVICE_CLAIM, subject });
            }
            // What it had is free, though nobody was told that it was taken back.
            None => self.pass_on(&News { kinds: news::DEVICE_CLAIM, subject: Subject::Other }),
        }
    }

    pub(crate) fn pass_on(&self, news: &News<'_>) {
        self.queue.tell(news.kinds, |pod, place| {
            let Some(lane) = self.lane_of(pod) else { return false };
            let case = Case::new(pod, &lane.profile.args, &self.cluster);
            (ALL[place].hint)(&case, news)
        });
    }

    fn node_changed(&self, change: &Change<NodeView>) {
        // A heartbeat changes nothing that anybody here looks at, but the node's bytes.
        self.state().snapshot.observe_node(change);
        if let Some(news) = News::of_node(change.old.as_ref(), change.new.as_ref()) {
            self.pass_on(&news);
        }
    }

    fn pod_changed(&self, change: &Change<PodView>) {
        let takes_room = |pod: &&PodItem| !pod.view.node_name.is_empty() && !pod.view.is_over;
        let (before, after) = (change.old.as_ref().filter(takes_room), change.new.as_ref().filter(takes_room));
        let freed = {
            let mut state = self.state();
            let freed = state.snapshot.observe_pod(change);
            let nominated = |pod: Option<&PodItem>| pod.map_or(String::new(), |pod| pod.view.nominated_node.clone());
            let is_open = change.new.as_ref().filter(|pod| pod.view.node_name.is_empty() && !pod.view.is_over);
            match (is_open, change.latest()) {
                (None, Some(latest)) if state.snapshot.has_nominations() => state.snapshot.nominate(latest, ""),
                (Some(pod), _) if nominated(change.old.as_ref()) != pod.view.nominated_node => {
                    state.snapshot.nominate(pod, &pod.view.nominated_node);
                }
                _ => {}
            }
            freed
        };
        if let Some(news) = News::of_pod(before.or(freed.as_ref()), after) {
            self.pass_on(&news);
        }
        let Some(latest) = change.latest() else { return };
        match &change.new {
            Some(pod) if self.wants(pod) => {
                // Its own status must not make it try again: only what was asked for counts.
                let is_news = change.old.as_ref().is_none_or(|old| {
                    old.meta.generation != pod.meta.generation || old.meta.labels != pod.meta.labels || !self.wants(old)
                });
                if is_news { self.queue.add(pod.clone()) } else { self.queue.refresh(pod) }
            }
            _ => self.queue.remove(&latest.key),
        }
    }
}
