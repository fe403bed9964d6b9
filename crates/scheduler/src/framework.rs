//! What a plugin is: a name, its weight, the rule it judges nodes by, and the news that may change
//! its mind. Plugins are pure; everything they look at is in [`Case`] and [`Snapshot`].

use crate::cluster::Cluster;
use crate::config::Args;
use crate::news::News;
use crate::node::Node;
use crate::pod::{PodItem, PodSpec};
use crate::snapshot::Snapshot;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Deref;

pub const MAX_SCORE: i64 = 100;

/// Why a node does not take a pod, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub reasons: Reasons,
    /// Evicting others would not help.
    pub is_final: bool,
    /// Whose it is, as a bit of [`crate::plugins::bit`].
    pub by: u32,
}

/// One as a rule: thousands of nodes may say it, and it is not worth an allocation each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reasons {
    One(Cow<'static, str>),
    Several(Vec<Cow<'static, str>>),
}

impl Deref for Reasons {
    type Target = [Cow<'static, str>];

    fn deref(&self) -> &Self::Target {
        match self {
            Reasons::One(reason) => std::slice::from_ref(reason),
            Reasons::Several(reasons) => reasons,
        }
    }
}

impl Rejection {
    pub fn of(reason: impl Into<Cow<'static, str>>) -> Self {
        Rejection { reasons: Reasons::One(reason.into()), is_final: false, by: 0 }
    }

    /// For several reasons, none of which rules evictions out.
    pub fn of_all(reasons: Vec<Cow<'static, str>>) -> Self {
        Rejection { reasons: Reasons::Several(reasons), is_final: false, by: 0 }
    }

    pub fn is_final(mut self) -> Self {
        self.is_final = true;
        self
    }
}

/// The pod being judged, under the profile that judges it.
#[derive(Clone, Copy)]
pub struct Case<'c> {
    pub pod: &'c PodItem,
    pub spec: &'c PodSpec,
    pub args: &'c Args,
    pub cluster: &'c Cluster,
}

impl<'c> Case<'c> {
    pub fn new(pod: &'c PodItem, args: &'c Args, cluster: &'c Cluster) -> Self {
        Case { pod, spec: &pod.view.spec, args, cluster }
    }
}

pub type Filter = fn(&Case<'_>, &Node) -> Result<(), Rejection>;
pub type Score = fn(&Case<'_>, &Node, &Snapshot) -> i64;
/// The names of the nodes that can do at all; None: any.
pub type Only = fn(&Case<'_>) -> Result<Option<BTreeSet<String>>, Rejection>;
/// Looks at all nodes first. None: nothing to do for this pod.
pub type Prepare = fn(&Case<'_>, &mut Snapshot) -> Result<Option<Box<dyn Prepared>>, Rejection>;
/// Whether news may let a pod in that this plugin kept out.
pub type Hint = fn(&Case<'_>, &News<'_>) -> bool;

/// How raw scores become 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalize {
    /// They are already.
    No,
    /// The highest becomes 100.
    Scale,
    /// The highest becomes 0.
    ScaleReversed,
}

/// What a plugin does.
#[derive(Clone, Copy)]
pub enum Rule {
    /// Judges a node by itself: the verdict stands until the node changes.
    Local(Local),
    /// Judges a node by what is on others.
    Spanning(Prepare),
    /// Has its place in the queue, the preemption or the binding; the name turns it on and off.
    Elsewhere,
}

#[derive(Clone, Copy)]
pub struct Local {
    pub only: Option<Only>,
    pub filter: Option<Filter>,
    pub score: Option<(Score, Normalize)>,
}

/// A spanning rule, made ready for one pod.
pub trait Prepared: Send {
    fn filter(&self, _case: &Case<'_>, _snapshot: &Snapshot, _slot: usize) -> Result<(), Rejection> {
        Ok(())
    }

    /// 0 to 100 for each of the nodes that fit; None: the rule does not tell them apart.
    fn score(&self, _case: &Case<'_>, _snapshot: &mut Snapshot, _nodes: &[usize]) -> Option<Vec<i64>> {
        None
    }
}

/// A plugin under upstream's name.
pub struct Plugin {
    pub name: &'static str,
    /// Upstream's; 0 where it does not score.
    pub weight: i64,
    pub rule: Rule,
    /// Bits of [`crate::news`] that may let in what it kept out.
    pub wakes_on: u32,
    pub hint: Hint,
}

impl Plugin {
    pub const fn local(name: &'static str, filter: Filter, wakes_on: u32, hint: Hint) -> Self {
        let local = Local { only: None, filter: Some(filter), score: None };
        Plugin { name, weight: 0, rule: Rule::Local(local), wakes_on, hint }
    }

    pub const fn spanning(name: &'static str, prepare: Prepare, weight: i64, wakes_on: u32, hint: Hint) -> Self {
        Plugin { name, weight, rule: Rule::Spanning(prepare), wakes_on, hint }
    }

    /// One that only scores.
    pub const fn scoring(name: &'static str, score: Score, normalize: Normalize, weight: i64) -> Self {
        let local = Local { only: None, filter: None, score: Some((score, normalize)) };
        Plugin { name, weight, rule: Rule::Local(local), wakes_on: 0, hint: never }
    }

    pub const fn elsewhere(name: &'static str, wakes_on: u32, hint: Hint) -> Self {
        Plugin { name, weight: 0, rule: Rule::Elsewhere, wakes_on, hint }
    }

    pub const fn score(mut self, score: Score, normalize: Normalize, weight: i64) -> Self {
        if let Rule::Local(local) = &mut self.rule {
            local.score = Some((score, normalize));
        }
        self.weight = weight;
        self
    }

    pub const fn only(mut self, only: Only) -> Self {
        if let Rule::Local(local) = &mut self.rule {
            local.only = Some(only);
        }
        self
    }
}

fn never(_case: &Case<'_>, _news: &News<'_>) -> bool {
    false
}

/// Brings raw scores into 0 to 100.
pub fn normalize(scores: &mut [i64], how: Normalize) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        *score = match how {
            Normalize::No => *score,
            Normalize::Scale if highest == 0 => 0,
            Normalize::ScaleReversed if highest == 0 => MAX_SCORE,
            Normalize::Scale => *score * MAX_SCORE / highest,
            Normalize::ScaleReversed => MAX_SCORE - *score * MAX_SCORE / highest,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_end_up_between_0_and_100() {
        for (how, given, wanted) in [
            (Normalize::Scale, vec![0, 2, 4], vec![0, 50, 100]),
            (Normalize::ScaleReversed, vec![0, 2, 4], vec![100, 50, 0]),
            (Normalize::ScaleReversed, vec![0, 0], vec![100, 100]),
            (Normalize::No, vec![7], vec![7]),
        ] {
            let mut scores = given;
            normalize(&mut scores, how);
            assert_eq!(scores, wanted);
        }
    }
}
