//! The losses: one file for each formula, one for each set of parameters.

pub mod focal;

pub mod softmax;
pub mod softmax_sigmoid;


