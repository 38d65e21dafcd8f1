//! Every operation in three ways, over the fake world: fail each call, run each step twice, kill and resume after each
//! journal entry; then nothing is left behind. Plus the rules of the door.

mod door;
mod stories;
mod three_ways;
