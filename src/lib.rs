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
//! | [`kernel`] | how does a formula run over a tile of memory? |
//! | [`layout`] | in which order are elements visited, and where are they? |
//! | [`exec`] | how does a whole array become tiles, and where do sums meet? |
//! | [`tally`] | from which elements do losses and gradients come? |
//! | [`cache`] | how much do the caches hold? |
//! | [`pool`] | where do threads come from? |
//! | [`error`] | what is refused, in which words? |
//!
//! The binding to Python is a folder of its own, compiled with the feature `python`.

pub mod cache;
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
pub mod tally;

#[cfg(feature = "python")]
mod python;
