//! The store on real files: what it keeps, what it refuses, and what it survives.

mod cache;
mod damage;
mod full;
mod made;
mod processes;
mod samples;
mod shapes;
mod speed;
mod state;
