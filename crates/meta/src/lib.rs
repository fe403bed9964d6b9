//! Words that every room shares: group, version and kind, object metadata, labels and selectors,
//! quantities, times, Status.
//!
//! Plain values and rules on them; nothing here does input or output.

pub mod age;
mod attributes;
pub mod conditions;
pub mod field;
pub mod fields;
pub mod labels;
pub mod names;
pub mod object;
pub mod quantity;
pub mod status;
pub mod time;
pub mod user;
pub mod validation;

pub use attributes::Attributes;
pub use names::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource, Name};
pub use object::{ObjectMeta, OwnerReference, TypeMeta, null_as_default};
pub use quantity::Quantity;
pub use status::{Cause, Reason, Status, StatusDetails};
pub use user::User;
