//! Maps files, and says which ones may be believed.
