//! DefaultBinder: binds by POSTing to the pod's `binding`. Its work is in `crate::binding`; the
//! name lets a profile leave the binding to an extender.

use crate::framework::Plugin;
use crate::news::always;

pub const PLUGIN: Plugin = Plugin::elsewhere("DefaultBinder", 0, always);
