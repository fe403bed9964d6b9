//! DefaultPreemption: makes room by evicting pods of lower priority. Its work is in
//! `crate::preemption`, which runs when no node takes a pod.

use crate::framework::Plugin;
use crate::news::{POD_DELETE, always};

pub const PLUGIN: Plugin = Plugin::elsewhere("DefaultPreemption", POD_DELETE, always);
