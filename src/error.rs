//! What can go wrong, in words for the person who called. Knows nothing of Python.

use std::borrow::Cow;

/// Everything that the core refuses. Each message names the argument, what came and what is taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// An argument has a value that it cannot take.
    #[error("{argument} must be {takes}; got {got}")]
    Value {
        /// The argument's name as the caller knows it.
        argument: &'static str,
        /// What came.
        got: String,
        /// What is taken.
        takes: String,
    },
    /// An argument is of a type that it cannot take.
    #[error("{argument} must be {takes}; got {got}")]
    Type {
        /// The argument's name as the caller knows it.
        argument: &'static str,
        /// What came.
        got: String,
        /// What is taken.
        takes: String,
    },
    /// Two arrays that must not share memory do.
    #[error(
        "{output} overlaps {other}; an output may be the very same array as an input (same memory, dtype, \
         shape and strides) or share no memory with it"
    )]
    Overlap {
        /// The output.
        output: &'static str,
        /// The array that it meets.
        other: &'static str,
    },
    /// An instruction set that is not to be had.
    #[error(
        "FOCALGRAD_ISA must be empty or one of the instruction sets available here ({available}); got {got:?}"
    )]
    Isa {
        /// What came.
        got: String,
        /// What this processor has.
        available: String,
    },
    /// Memory cannot be had.
    #[error("{0} cannot be had")]
    Memory(Cow<'static, str>),
}

impl Error {
    /// There is no memory for what a call needs beside its arrays.
    pub const NO_MEMORY: Self = Self::Memory(Cow::Borrowed("the memory that a call needs beside its arrays"));

    /// A value that is refused.
    pub fn value(argument: &'static str, got: impl ToString, takes: impl Into<String>) -> Self {
        Self::Value { argument, got: got.to_string(), takes: takes.into() }
    }

    /// A type that is refused.
    pub fn wrong_type(argument: &'static str, got: impl ToString, takes: impl Into<String>) -> Self {
        Self::Type { argument, got: got.to_string(), takes: takes.into() }
    }
}
