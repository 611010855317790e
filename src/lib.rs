//! Focal loss, its gradient and its diagonal Hessian over large arrays.
//!
//! The crate is the core of the Python package of the same name. Its rooms, from the inside out:
//!
//! | module | question it answers |
//! |---|---|
//! | [`real`] | which types do kernels compute in? |
//! | [`element`] | which types do arrays hold, and how do they become those? |
//! | [`simd`] | what does an instruction set offer, and which one runs? |
//! | [`math`] | how are exp, log1p and log computed? |
//! | [`params`] | which parameters has a loss, and what may they be? |
//! | [`loss`] | which formula? |
//! | [`array`] | what does the core see of an array? |
//! | [`kernel`] | how does a formula run over a tile of memory? |
//! | [`layout`] | in which order are elements visited, and where are they? |
//! | [`exec`] | how does a whole array become tiles, and where do sums meet? |
//! | [`call`] | what does a loss make of arrays: which walks over them, divided by what? |
//! | [`cache`] | how much do the caches hold? |
//! | [`pool`] | where do threads come from? |
//! | [`error`] | what is refused, in which words? |
//!
//! A program in Rust calls [`call::evaluate`]. The binding to Python is a folder of its own, compiled with the feature `python`.

pub mod array;
pub mod cache;
pub mod call;
pub mod element;
pub mod error;
pub mod exec;
pub mod kernel;
pub mod layout;
pub mod loss;
pub mod math;
pub mod params;
pub mod pool;
pub mod real;
pub mod simd;

#[cfg(feature = "python")]
mod python;
