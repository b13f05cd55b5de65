//! The store against the embedded engine, over HTTP.

mod events;
