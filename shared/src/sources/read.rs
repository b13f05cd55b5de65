//! Deserialisers for what providers make of JSON.
