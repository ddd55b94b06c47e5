//! The chapter's library under one name: the next chapter runs these tests on its own.

include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chapter/library.in"));
