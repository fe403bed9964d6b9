//! DefaultBinder: binds by POSTing to the pod's `binding`. Its work is in `crate::binding`; a profile
//! cannot do without it, as upstream's cannot.

use crate::framework::Plugin;
use crate::news::always;

pub const PLUGIN: Plugin = Plugin::elsewhere("DefaultBinder", 0, always);
