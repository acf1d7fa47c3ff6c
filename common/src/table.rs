//! The table: answers that a lookup finds without leaving its process.
//!
//! One file, `/run/rollcall/table`, written by the daemon and mapped by every
//! process of the host. What the daemon knows lies in it as records; a hash index
//! leads from a name or an id to its record. A lookup is one probe of the
//! index, one comparison, one copy.
//!
//! # How readers and the writer keep out of each other's way
//!
//! There is one writer and any number of readers, who can't be asked anything:
//! they may be stopped, killed, forked at every instruction, and so may the
//! writer. So nobody ever waits, and readers never write.
//!
//! **Records never change** once a slot of the index leads to them, but for the
//! time at which they expire, which is one word. A changed entry is a new record. The
//! space of the old one isn't used again within this file.
//!
//! **A change is published as a whole.** It may touch many slots: a renamed user
//! has an old and a new name and an id. The writer puts a *link* into each of them
//! first: the number of the change, what the slot leads to from then on, and
//! what it has led to until now. Then it stores the number of the change in the
//! header. That single store is the publication: before it every reader
//! follows every link to the old side, after it to the new one. At its leisure
//! the writer then replaces the links by what they lead to. A writer that
//! is killed in between leaves links whose number never comes, which lead
//! to the old side for ever.
//!
//! **A slot keeps its key** until the key is gone, so a reader that probes past it
//! misses nothing that was there all the time.
//!
//! **A full or wasteful file is replaced**: the writer builds another one, puts it
//! in the old one's place by a rename, and takes the old one's heartbeat away.
//! Readers look at the heartbeat in every lookup, so they look for the new file.
//!
//! # What readers believe
//!
//! The file's owner, as far as answers go: see [`map`]. For their own safety they
//! believe nothing: each offset and length that comes out of the file is checked
//! against the memory that is really mapped, all of it is read as atomic words
//! (so that a file which changes under a reader's hands is no undefined
//! behaviour), and each string that goes to a caller ends with its NUL. A file of
//! noise gives wrong answers at worst, and most likely none.
//!
//! | file | idea |
//! |---|---|
//! | [`layout`] | what lies where, byte by byte |
//! | [`reader`] | finds records |
//! | `records` | what is read out of a record |
//! | `entries` | all keys of a table (feature `writer`) |
//! | [`clock`] | the time that freshness is counted in |
//! | `heart` | whether the daemon lives, as far as the table can tell |
//! | [`map`] | maps files, and says which ones may be believed |
//! | `range` | memory that stays readable whatever is mapped there |
//! | [`shared`] | the one mapping of a process, and how it is exchanged |
//! | `writer` | the daemon's side (feature `writer`) |

#[allow(unsafe_code)] // FFI: clock_gettime
pub mod clock;
#[cfg(feature = "writer")]
mod entries;
mod heart;
pub mod layout;
#[allow(unsafe_code)] // FFI: mmap
pub mod map;
#[allow(unsafe_code)] // FFI: mmap
mod range;
pub mod reader;
mod records;
pub mod shared;
#[cfg(all(test, feature = "writer"))]
mod tests;
#[cfg(feature = "writer")]
pub mod writer;

pub use clock::Now;
pub use heart::Heart;
pub use layout::{Key, NEVER};
pub use reader::{Answer, Found, Table, View};
pub use records::{Damaged, Gids, GroupRecord, UserRecord};
