//! The elementary functions that the losses need, one to a file, each written once for every
//! instruction set and element type.
//!
//! They are made for their one use: the domains are those that occur, and results come in two parts
//! (a rounded number and what the rounding lost) where the losses go on with more than one rounding
//! would leave them.
//!
//! | function | domain | largest error, float32 | float64 | float64, portable |
//! |---|---|---|---|---|
//! | [`exp_neg`], both parts | \[0, 128\], \[0, 800\] | 0.69 ulp | 0.65 ulp | 0.67 ulp |
//! | [`log1p`], both parts | (0, 1\] | 0.96 ulp | 0.84 ulp | 0.95 ulp |
//! | [`log`], both parts | normal numbers to 2^125, 2^1020 | 0.33 ulp | 0.42 ulp | 0.44 ulp |
//!
//! `tests/core/math.rs` measures them: float32 by bit patterns against float64, float64 against double-double.

mod exp;
mod log;
mod log1p;

pub use crate::simd::real::{ExpConstants, Log1pConstants, LogConstants};
pub use exp::{Exponential, exp_neg};
pub use log::{log, log_scaled};
pub use log1p::log1p;
