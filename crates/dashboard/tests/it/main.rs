//! The room as its callers see it: over TCP, over the socket, and in a browser.

mod assemble;
mod browser;
mod demo;
mod document;
mod http;
mod socket;
mod support;
