//! The real program with real servers, each test in a home of its own: exit statuses, the way of a cluster from its
//! creation to its end, commands that are killed, homes that are shared, servers that go away.

mod exits;
mod hosting;
mod offline;
mod program;
mod sharing;
mod story;
