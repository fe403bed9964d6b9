//! Every controller a folder: observe, a pure plan, one shared executor.
