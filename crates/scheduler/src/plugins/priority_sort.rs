//! PrioritySort: the higher priority first, then the longer wait. The queue's own order is this
//! one; the name is there for profiles to mention.

use crate::framework::Plugin;
use crate::news::always;

pub const PLUGIN: Plugin = Plugin::elsewhere("PrioritySort", 0, always);
