//! Everything that a provider can change without asking us: signatures, wire formats, clients, error codes.

pub mod meta;
