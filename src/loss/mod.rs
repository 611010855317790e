//! The losses: one file for each formula.

pub mod factor;
pub mod focal;
pub mod posterior;
pub mod probability;
pub mod product;
pub mod row_posterior;
pub mod soft;
pub mod softmax;
pub mod softmax_dense;
pub mod softmax_probability;
pub mod softmax_sigmoid;
