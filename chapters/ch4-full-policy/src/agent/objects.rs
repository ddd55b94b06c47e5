//! Kubernetes' objects: what is read of them, where they come from, and which have changed.

pub mod json;
pub mod key;
pub mod kinds;
pub mod spec;

pub mod changed;
pub mod directory;
pub mod stores;

pub mod api_server;
pub mod services;

pub mod inotify;
pub mod manifest;
pub mod manifest_dir;
pub mod writers;
