//! Upstream's extension points, as far as the default plugins use them: filters that say no with a
//! reason, and scores from 0 to 100 with a weight.

use crate::node::Node;
use crate::pod::Candidate;

pub const MAX_SCORE: i64 = 100;

/// Why a node does not take a pod, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub reasons: Vec<String>,
    /// Evicting others would not help.
    pub is_final: bool,
}

impl Rejection {
    pub fn of(reason: impl Into<String>) -> Self {
        Rejection { reasons: vec![reason.into()], is_final: false }
    }

    pub fn is_final(mut self) -> Self {
        self.is_final = true;
        self
    }
}

pub type Filter = fn(&Candidate, &Node) -> Result<(), Rejection>;
pub type Score = fn(&Candidate, &Node) -> i64;

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

/// A plugin: a name and what it does at each point.
pub struct Plugin {
    pub name: &'static str,
    pub filter: Option<Filter>,
    pub score: Option<Score>,
    pub normalize: Normalize,
    pub weight: i64,
}

impl Plugin {
    pub const fn filter(name: &'static str, filter: Filter) -> Self {
        Plugin { name, filter: Some(filter), score: None, normalize: Normalize::No, weight: 0 }
    }

    pub const fn score(mut self, score: Score, normalize: Normalize, weight: i64) -> Self {
        self.score = Some(score);
        self.normalize = normalize;
        self.weight = weight;
        self
    }
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
