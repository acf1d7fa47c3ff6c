//! The one mapping of a process, and how it is exchanged.
