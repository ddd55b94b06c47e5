//! The documents are true: their commands run and print what stands there, their links lead
//! somewhere, the code that they name exists.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod cast;
mod casts;
mod commands;
mod console;
mod errors;
mod excerpts;
mod figures;
mod links;
mod markdown;
mod masks;
mod names;
mod output;
mod picture;
mod pictures;
mod policy;
mod reading;
mod regions;
mod repository;
mod run;
mod shown;
mod slides;
mod style;
mod terminals;
mod translations;
