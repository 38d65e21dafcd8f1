//! The API against a real engine over the fake world of the testkit: routes, problems, streams, who may ask what, homes
//! that change hands. The same doors with real servers and real processes are opened in `cli/tests`.

mod connections;
mod desk;
mod events;
mod homes;
mod places;
mod problems;
mod routes;
mod serve;
