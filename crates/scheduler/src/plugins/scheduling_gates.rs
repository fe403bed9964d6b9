//! SchedulingGates: a pod with gates is not looked at. The cycle asks before it queues a pod.

use crate::framework::Plugin;
use crate::news::always;

pub const PLUGIN: Plugin = Plugin::elsewhere("SchedulingGates", 0, always);
