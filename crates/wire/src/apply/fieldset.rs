//! A set of field paths: a tree of path elements, which `fieldsV1` spells as a tree of JSON maps whose
//! keys are these elements (`f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`).
//!
//! In JSON a node is a member of the set itself when it is empty or holds the key `.`. Names are
//! borrowed from the objects that the paths lead through: sets are made and dropped with every write.

use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

/// The key that says of a node with others below that it is a member itself.
pub(super) const SELF: &str = ".";

#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldSet<'a>(pub(super) Node<'a>);

/// What stands below one element. Nodes with nothing below them are members, but for the root.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Node<'a> {
    /// The path that ends here is in the set.
    pub member: bool,
    /// Sorted; made by [`Node::above`].
    pub below: Vec<(Element<'a>, Node<'a>)>,
}

/// Says of an element of another set whether it counts as a member, and what to tell of those below it.
type Judge<'f, C> = dyn FnMut(&C, &(Element<'_>, Node<'_>)) -> (bool, C) + 'f;

/// One step of a path. Sorted as its text is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element<'a> {
    /// The letter before the colon; 0 where there is none.
    kind: u8,
    rest: Cow<'a, str>,
}

impl<'a> Element<'a> {
    pub fn field(name: &'a str) -> Self {
        Element { kind: b'f', rest: Cow::Borrowed(name) }
    }

    /// An item by its keys, as a JSON object.
    pub fn keys(keys: String) -> Self {
        Element { kind: b'k', rest: Cow::Owned(keys) }
    }

    /// An item of a set.
    pub fn value(value: &Value) -> Self {
        Element { kind: b'v', rest: Cow::Owned(value.to_string()) }
    }

    pub fn index(at: usize) -> Self {
        Element { kind: b'i', rest: Cow::Owned(at.to_string()) }
    }

    fn read(text: &'a str) -> Self {
        match text.as_bytes() {
            [kind, b':', ..] => Element { kind: *kind, rest: Cow::Borrowed(&text[2..]) },
            _ => Element { kind: 0, rest: Cow::Borrowed(text) },
        }
    }

    /// The name, where it is a field's.
    pub fn name(&self) -> Option<&str> {
        (self.kind == b'f').then_some(&*self.rest)
    }

    /// Made for every node that is written, so without the machinery of formatting.
    pub fn into_text(self) -> String {
        if self.kind == 0 {
            return self.rest.into_owned();
        }
        let mut text = String::with_capacity(self.rest.len() + 2);
        text.push(char::from(self.kind));
        text.push(':');
        text.push_str(&self.rest);
        text
    }

    /// As upstream prints it in paths.
    pub fn printed(&self) -> String {
        let rest = &self.rest;
        match self.kind {
            b'f' => format!(".{rest}"),
            b'i' => format!("[{rest}]"),
            b'v' => format!("[={rest}]"),
            b'k' => {
                let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
                let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("[{}]", pairs.join(","))
            }
            0 => rest.clone().into_owned(),
            kind => format!("{}:{rest}", char::from(kind)),
        }
    }

    fn into_owned(self) -> Element<'static> {
        Element { kind: self.kind, rest: Cow::Owned(self.rest.into_owned()) }
    }
}

impl<'a> FieldSet<'a> {
    /// Reads the JSON form; None where it is no object.
    pub fn of(json: &'a Value) -> Option<Self> {
        match json {
            Value::Object(map) => Some(FieldSet(Node { member: false, ..Node::read(map) })),
            Value::Null => Some(FieldSet::default()),
            _ => None,
        }
    }

    /// The same of JSON that does not live on.
    #[allow(clippy::needless_pass_by_value, reason = "what the callers have")]
    pub fn from_json(json: Value) -> Option<FieldSet<'static>> {
        FieldSet::of(&json).map(FieldSet::into_owned)
    }

    pub fn into_json(self) -> Value {
        self.0.into_json()
    }

    pub fn into_owned(self) -> FieldSet<'static> {
        FieldSet(self.0.into_owned())
    }

    pub fn is_empty(&self) -> bool {
        self.0.below.is_empty()
    }

    /// Whether all members are members of the other set.
    pub fn is_within(&self, other: &FieldSet<'_>) -> bool {
        self.0.is_within(&other.0)
    }

    pub fn union(&mut self, other: FieldSet<'a>) {
        self.0.union(other.0);
    }

    /// Says whether there was anything to take away.
    pub fn subtract(&mut self, other: &FieldSet<'_>) -> bool {
        self.0.subtract(&other.0)
    }

    pub fn intersection(&self, other: &FieldSet<'_>) -> FieldSet<'a> {
        FieldSet(self.0.intersection(&other.0))
    }

    /// Takes a path and all below it away; `path` is dotted field names.
    pub fn remove_below(&mut self, path: &str) {
        let names: Vec<&str> = path.split('.').collect();
        self.0.remove(&names, true);
    }

    /// Takes the member at a path of field names away, but nothing below it.
    pub fn remove_member(&mut self, path: &[&str]) {
        self.0.remove(path, false);
    }

    /// All members as upstream prints paths: `.spec.containers[name="a"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.0.collect("", &mut paths);
        paths
    }
}

impl<'a> Node<'a> {
    pub fn leaf() -> Self {
        Node { member: true, below: Vec::new() }
    }

    /// A node above others, in whatever order they come; of two with one name the later counts.
    pub fn above(mut below: Vec<(Element<'a>, Node<'a>)>) -> Self {
        if !below.is_sorted_by(|(one, _), (next, _)| one < next) {
            below.sort_by(|(a, _), (b, _)| a.cmp(b));
            below.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Node { member: false, below }
    }

    pub fn is_empty(&self) -> bool {
        self.below.is_empty()
    }

    pub fn get(&self, element: &Element<'_>) -> Option<&Node<'a>> {
        let at = self.below.binary_search_by(|(own, _)| own.cmp(element)).ok()?;
        Some(&self.below[at].1)
    }

    fn read(map: &'a Map<String, Value>) -> Self {
        let mut member = map.is_empty();
        let mut below = Vec::with_capacity(map.len());
        for (key, value) in map {
            if key == SELF {
                member = true;
                continue;
            }
            let node = value.as_object().map(Node::read);
            // What says nothing is passed over.
            below.extend(node.filter(|node| node.member || !node.is_empty()).map(|node| (Element::read(key), node)));
        }
        Node { member, ..Node::above(below) }
    }

    fn into_json(self) -> Value {
        let own = (self.member && !self.is_empty()).then(|| (SELF.to_owned(), Value::Object(Map::new())));
        let below = self.below.into_iter().map(|(element, node)| (element.into_text(), node.into_json()));
        // All at once: sorted as they are, nothing is looked for.
        Value::Object(own.into_iter().chain(below).collect())
    }

    fn into_owned(self) -> Node<'static> {
        let below = self.below.into_iter().map(|(element, node)| (element.into_owned(), node.into_owned()));
        Node { member: self.member, below: below.collect() }
    }

    fn is_within(&self, other: &Node<'_>) -> bool {
        if self.member && !other.member {
            return false;
        }
        self.below.iter().all(|(element, node)| other.get(element).is_some_and(|theirs| node.is_within(theirs)))
    }

    fn union(&mut self, other: Node<'a>) {
        self.member |= other.member;
        let mut ours = std::mem::take(&mut self.below).into_iter().peekable();
        let mut theirs = other.below.into_iter().peekable();
        let mut all = Vec::with_capacity(ours.len().max(theirs.len()));
        while let (Some((one, _)), Some((other, _))) = (ours.peek(), theirs.peek()) {
            match one.cmp(other) {
                Ordering::Less => all.extend(ours.next()),
                Ordering::Greater => all.extend(theirs.next()),
                Ordering::Equal => {
                    let (Some((element, mut node)), Some((_, other))) = (ours.next(), theirs.next()) else { break };
                    node.union(other);
                    all.push((element, node));
                }
            }
        }
        all.extend(ours.chain(theirs));
        self.below = all;
    }

    fn subtract(&mut self, other: &Node<'_>) -> bool {
        self.subtract_all(other, &mut |(), (_, theirs)| (theirs.member, ()), &())
    }

    /// Takes the members of another tree away, as `is_member` sees them: told with what it made of the
    /// node above.
    pub fn subtract_all<C>(&mut self, other: &Node<'_>, is_member: &mut Judge<'_, C>, context: &C) -> bool {
        let mut changed = false;
        let mut theirs = other.below.iter().peekable();
        self.below.retain_mut(|(element, ours)| {
            let element: &Element<'_> = element;
            while theirs.next_if(|(other, _)| other < element).is_some() {}
            let Some(found) = theirs.next_if(|(other, _)| other == element) else { return true };
            let (gone, inner) = is_member(context, found);
            if ours.member && gone {
                ours.member = false;
                changed = true;
            }
            changed |= ours.subtract_all(&found.1, is_member, &inner);
            ours.member || !ours.is_empty()
        });
        changed
    }

    fn intersection(&self, other: &Node<'_>) -> Node<'a> {
        let common = self.below.iter().filter_map(|(element, ours)| {
            let theirs = other.get(element)?;
            let inner = Node { member: ours.member && theirs.member, ..ours.intersection(theirs) };
            (inner.member || !inner.is_empty()).then(|| (element.clone(), inner))
        });
        Node { member: false, below: common.collect() }
    }

    fn remove(&mut self, path: &[&str], with_all_below: bool) {
        let Some((first, rest)) = path.split_first() else { return };
        let wanted = Element::field(first);
        let Ok(at) = self.below.binary_search_by(|(own, _)| own.cmp(&wanted)) else { return };
        let inner = &mut self.below[at].1;
        match (rest, with_all_below) {
            ([], true) => *inner = Node::default(),
            ([], false) => inner.member = false,
            _ => inner.remove(rest, with_all_below),
        }
        if inner.is_empty() && !inner.member {
            self.below.remove(at);
        }
    }

    fn collect(&self, path: &str, paths: &mut Vec<String>) {
        for (element, inner) in &self.below {
            let path = format!("{path}{}", element.printed());
            inner.collect(&path, paths);
            if inner.member {
                paths.push(path);
            }
        }
    }
}
