//! The house rules that a compiler does not know: who may know whom, how long a file may be, which words are banned.
//! Each rule is a function of text, tried here on a text that breaks it, and then on the whole source.

mod edges;
mod generated;
mod sources;
