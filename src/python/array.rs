//! Admission of arrays: from Python objects to pointers, shapes and types that can be trusted.

use std::ffi::c_int;
use std::ptr;
use std::slice;

use numpy::npyffi::{NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_TYPES};
use numpy::npyffi::{NpyTypes, PY_ARRAY_API, PyArray_Check, PyArrayObject, get_type_object, npy_intp};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::error::Error;
use crate::kernel::tile::DType;

/// How the type of an object is called in messages.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    let ty: Bound<'_, PyType> = object.get_type();
    ty.fully_qualified_name().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}

/// A NumPy array whose elements the core can read: contiguous, aligned, in native byte order.
pub struct Array<'a, 'py> {
    /// What the caller calls it.
    pub name: &'static str,
    /// The array.
    pub object: &'a Bound<'py, PyAny>,
    /// The type of its elements.
    pub dtype: DType,
    /// Its shape.
    pub shape: &'a [npy_intp],
    /// Its first element.
    pub data: *mut u8,
    writeable: bool,
}

impl<'a, 'py> Array<'a, 'py> {
    /// Admits an array whose type is one of `types`.
    ///
    /// # Errors
    /// `TypeError` if it is no array or of another type, `ValueError` for another layout.
    pub fn admit(name: &'static str, types: &[DType], object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        let takes = || {
            let names: Vec<_> = types.iter().map(|dtype| dtype.name()).collect();
            format!("a C-contiguous NumPy array of dtype {}", names.join(", "))
        };
        // SAFETY: the interpreter is attached and the object alive.
        if unsafe { PyArray_Check(object.py(), object.as_ptr()) } == 0 {
            return Err(Error::wrong_type(name, type_name(object), takes()).into());
        }
        let array: *const PyArrayObject = object.as_ptr().cast();
        // SAFETY: the object is an array, and neither its shape nor its type can change while this call
        // holds the interpreter; `shape` lives as long as the borrow of the object.
        let (type_num, byte_order, flags, shape, data) = unsafe {
            let fields = &(*array).fields;
            let descr = &(*fields.descr).fields;
            let shape: &'a [npy_intp] = match fields.nd {
                0 => &[],
                nd => slice::from_raw_parts(fields.dimensions, nd as usize),
            };
            (descr.type_num, descr.byteorder as u8, fields.flags, shape, fields.data.cast::<u8>())
        };
        let dtype = dtype_of(type_num).filter(|dtype| types.contains(dtype) && byte_order != SWAPPED);
        let Some(dtype) = dtype else {
            let got = format!("an array of dtype {}", object.getattr("dtype")?.str()?);
            return Err(Error::wrong_type(name, got, takes()).into());
        };
        if flags & NPY_ARRAY_C_CONTIGUOUS == 0 || flags & NPY_ARRAY_ALIGNED == 0 {
            let strides = object.getattr("strides")?;
            let got = format!("an array of shape {} with strides {strides}", shape_text(shape));
            return Err(Error::value(name, got, "C-contiguous and aligned").into());
        }
        Ok(Self { name, object, dtype, shape, data, writeable: flags & NPY_ARRAY_WRITEABLE != 0 })
    }

    /// Admits an output of that type and shape.
    ///
    /// # Errors
    /// `TypeError` for another type, `ValueError` for another shape or an array that is read-only.
    pub fn admit_output(
        name: &'static str,
        dtype: DType,
        shape: &[npy_intp],
        object: &'a Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let array = Self::admit(name, &[dtype], object)?;
        if array.shape != shape {
            let takes = format!("of the result's shape {}", shape_text(shape));
            return Err(Error::value(name, shape_text(array.shape), takes).into());
        }
        if !array.writeable {
            return Err(Error::value(name, "a read-only array", "writeable").into());
        }
        Ok(array)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        // NumPy has checked that the product fits.
        self.shape.iter().map(|&n| n as usize).product()
    }

    /// Refuses shapes that differ.
    ///
    /// # Errors
    /// `ValueError` showing both.
    pub fn check_shape(&self, other: &Self) -> PyResult<()> {
        if self.shape == other.shape {
            return Ok(());
        }
        let takes = format!("of the shape of {}, {}", other.name, shape_text(other.shape));
        Err(Error::value(self.name, format!("shape {}", shape_text(self.shape)), takes).into())
    }

    /// Refuses an output that shares memory with an input, unless they are the very same array.
    ///
    /// # Errors
    /// `ValueError` naming both.
    pub fn check_overlap(&self, input: &Self) -> PyResult<()> {
        let same = self.data == input.data && self.dtype == input.dtype && self.shape == input.shape;
        if same { Ok(()) } else { self.check_disjoint(input) }
    }

    /// Refuses arrays that share memory.
    ///
    /// # Errors
    /// `ValueError` naming both.
    pub fn check_disjoint(&self, other: &Self) -> PyResult<()> {
        let (start, end) = self.addresses();
        let (other_start, other_end) = other.addresses();
        if start.max(other_start) < end.min(other_end) {
            return Err(Error::Overlap { output: self.name, other: other.name }.into());
        }
        Ok(())
    }

    fn addresses(&self) -> (usize, usize) {
        let start = self.data.addr();
        (start, start + self.len() * self.dtype.size())
    }
}

/// The byte order that is not this machine's, as NumPy writes it.
const SWAPPED: u8 = if cfg!(target_endian = "little") { b'>' } else { b'<' };

/// The type of that number, if the core reads it.
fn dtype_of(type_num: c_int) -> Option<DType> {
    const TYPES: [(NPY_TYPES, DType); 4] = [
        (NPY_TYPES::NPY_FLOAT, DType::Float32),
        (NPY_TYPES::NPY_DOUBLE, DType::Float64),
        (NPY_TYPES::NPY_UBYTE, DType::UInt8),
        (NPY_TYPES::NPY_BOOL, DType::Bool),
    ];
    TYPES.iter().find(|(number, _)| *number as c_int == type_num).map(|&(_, dtype)| dtype)
}

fn type_num(dtype: DType) -> c_int {
    (match dtype {
        DType::Bool => NPY_TYPES::NPY_BOOL,
        DType::UInt8 => NPY_TYPES::NPY_UBYTE,
        DType::Float32 => NPY_TYPES::NPY_FLOAT,
        DType::Float64 => NPY_TYPES::NPY_DOUBLE,
    }) as c_int
}

/// A shape as Python writes it.
pub fn shape_text(shape: &[npy_intp]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// A new array, its elements uninitialised, and where they are.
///
/// # Errors
/// What NumPy raises, `MemoryError` above all.
pub fn allocate<'py>(
    py: Python<'py>,
    dtype: DType,
    shape: &[npy_intp],
) -> PyResult<(Bound<'py, PyAny>, *mut u8)> {
    // SAFETY: the interpreter is attached; NumPy takes the reference to the descriptor, copies the shape,
    // and returns a new reference or null with an exception set.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            get_type_object(py, NpyTypes::PyArray_Type),
            PY_ARRAY_API.PyArray_DescrFromType(py, type_num(dtype)),
            shape.len() as c_int,
            shape.as_ptr().cast_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        let data = (*array.as_ptr().cast::<PyArrayObject>()).fields.data.cast();
        Ok((array, data))
    }
}
