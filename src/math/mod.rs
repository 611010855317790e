//! The elementary functions that the losses need, one to a file, each written once for every
//! instruction set and element type.
//!
//! They are made for their one use: the domains are those that occur, and results come in two parts
//! (a rounded number and what the rounding lost) where the losses go on with more than one rounding
//! would leave them.
//!
//! | function | domain | largest error, float32 | float64 |
//! |---|---|---|---|
//! | [`exp_neg`], both parts | \[0, 150\], \[0, 800\] | 0.30 ulp | 0.30 ulp |
//! | [`log1p`], both parts | (0, 1\] | 0.60 ulp | 0.60 ulp |
//! | [`log`], both parts | \[1, 2^24\] | 0.60 ulp | 0.60 ulp |
//!
//! The errors are asserted by the tests of each file.

mod exp;
mod log;
mod log1p;

pub use exp::{ExpConstants, exp_neg};
pub use log::log;
pub use log1p::{Log1pConstants, log1p};
