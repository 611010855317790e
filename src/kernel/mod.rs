//! How formulas run over memory, a tile at a time.
//!
//! A tile is a run of elements that fits the first-level cache several times over. Kernels see
//! contiguous tiles of the type that they compute in, and nothing else: [`tile`] brings whatever an
//! array holds into that form and results out of it, copying grids of elements where memory is strided;
//! [`elementwise`], [`soft`] and [`mixed`] compute, [`rows`] for rows of classes; [`reduce`] and [`exact`] add up.

pub mod by_row;
pub mod compiled;
pub mod elementwise;
pub mod exact;
pub mod exact_tile;
pub(crate) mod folds;
pub(crate) mod grid;
pub mod labels;
pub mod mixed;
pub mod operands;
pub mod output;
pub mod posterior;
pub mod prepare;
pub mod reduce;
pub mod repeat;
pub mod row_weights;
pub mod rows;
pub mod soft;
mod soft_group;
pub mod tally;
pub mod tile;
