//! The losses: one file for each formula.

pub mod factor;
pub mod focal;
pub mod probability;
pub mod product;
pub mod soft;
pub mod softmax;
pub mod softmax_dense;
pub mod softmax_probability;
pub mod softmax_sigmoid;
