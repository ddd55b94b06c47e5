//! What the agent answers, to the plugin and to people.

pub mod app_state;
pub mod listener;
pub mod server;

pub mod explain;
pub mod flow;
pub mod live;
mod side;
pub mod status;

pub mod event;
pub mod ring_buffer;

pub mod metrics;
pub mod monitor;
