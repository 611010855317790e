//! Admission of arrays: from Python objects to pointers, shapes, strides and types that can be trusted.
//!
//! It has two steps. [`Held::new`] finds the NumPy array in or behind an object, which may run any Python code;
//! [`Array`] then reads its fields, which runs none. All arguments of a call take the first step before one takes
//! the second, so that no object can change what has been read of another.

use std::ffi::{c_int, c_long};
use std::panic;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicI32, Ordering};

use numpy::npyffi::{
    NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_F_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_ORDER, NPY_TYPES,
};
use numpy::npyffi::{NpyTypes, PY_ARRAY_API, PyArrayObject, get_type_object, npy_intp};
use numpy::npyffi::{PyArray_Check, PyArray_CheckExact};
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::foreign;
use crate::array::{View, result_dtype};
use crate::element::DType;
use crate::error::Error;

/// Makes NumPy's C interface ready, once, when the module is imported.
///
/// rust-numpy would look it up at the first call that needs it, by running Python code, and panics when that fails:
/// as it does when a signal's handler raises meanwhile.
///
/// # Errors
/// `ImportError` if NumPy or its C interface cannot be had.
pub fn load_numpy(py: Python<'_>) -> PyResult<()> {
    py.import("numpy")?;
    py.import("numpy.lib")?;
    // SAFETY: the interpreter is attached, which is all that this function of NumPy's asks for.
    let found = panic::catch_unwind(|| unsafe { PY_ARRAY_API.PyArray_GetNDArrayCFeatureVersion(py) });
    found.map(drop).map_err(|_| PyImportError::new_err("NumPy's C interface could not be loaded"))
}

/// How the type of an object is called in messages.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    let ty: Bound<'_, PyType> = object.get_type();
    ty.fully_qualified_name().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}

/// A NumPy array of any kind: an argument itself, or made from one.
pub struct Held<'a, 'py> {
    source: Origin<'a, 'py>,
    /// NumPy's number of bfloat16, if that is the type of the elements: looked up here, since it takes Python code.
    bfloat16: Option<c_int>,
}

/// Where an array comes from.
enum Origin<'a, 'py> {
    /// It is the argument.
    Given(&'a Bound<'py, PyAny>),
    /// An array that shares the argument's memory or, for lists and their like, has its numbers.
    Made {
        /// The array.
        array: Bound<'py, PyAny>,
        /// The argument's type, for messages.
        from: String,
    },
}

impl<'a, 'py> Held<'a, 'py> {
    /// Finds the array.
    ///
    /// # Errors
    /// `TypeError` or `ValueError` if there is none, or one that must not be read as it is; what the object itself
    /// raises.
    #[inline]
    pub fn new(name: &'static str, object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        if is_array(object) {
            return Self::given(name, object);
        }
        let array = foreign::ndarray(name, object)?;
        let (bfloat16, from) = (bfloat16(&array), type_name(object));
        Ok(Self { source: Origin::Made { array, from }, bfloat16 })
    }

    /// Looks at an array that is to be filled.
    ///
    /// # Errors
    /// `TypeError` if it is none, or one that masks something.
    #[inline]
    pub fn output(name: &'static str, object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        if is_array(object) {
            return Self::given(name, object);
        }
        Err(Error::wrong_type(name, type_name(object), "a NumPy array of the result's dtype").into())
    }

    #[inline]
    fn given(name: &'static str, object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        if !is_exact(object) {
            foreign::refuse_masked(name, object)?;
        }
        Ok(Self { source: Origin::Given(object), bfloat16: bfloat16(object) })
    }

    /// The array.
    #[inline]
    pub fn array(&self) -> &Bound<'py, PyAny> {
        match &self.source {
            Origin::Given(array) => array,
            Origin::Made { array, .. } => array,
        }
    }
}

/// Whether an object is a NumPy array of no subclass.
#[inline]
fn is_exact(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the interpreter is attached and the object alive.
    unsafe { PyArray_CheckExact(object.py(), object.as_ptr()) != 0 }
}

/// Whether an object is a NumPy array, also of a subclass.
fn is_array(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the interpreter is attached and the object alive.
    unsafe { PyArray_Check(object.py(), object.as_ptr()) != 0 }
}

/// Whether an object is one of NumPy's scalars.
pub fn is_scalar(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the interpreter is attached and the object alive.
    unsafe {
        let generic = get_type_object(object.py(), NpyTypes::PyGenericArrType_Type);
        ffi::PyObject_TypeCheck(object.as_ptr(), generic) != 0
    }
}

/// A NumPy array whose elements the core can read: the object, and the core's [`View`] of it.
#[derive(Clone, Copy)]
pub struct Array<'b, 'py> {
    /// The array.
    pub object: &'b Bound<'py, PyAny>,
    /// What the core sees of it.
    pub view: View<'b>,
}

impl<'b, 'py> Array<'b, 'py> {
    /// Reads an array's fields. Between this and the end of the call nothing may change them.
    ///
    /// # Errors
    /// `TypeError` for a type that is not taken.
    #[inline]
    pub fn read(name: &'static str, held: &'b Held<'_, 'py>) -> PyResult<Self> {
        let object = held.array();
        Self::fields(name, object, held.bfloat16).ok_or_else(|| {
            let from = match &held.source {
                Origin::Given(_) => None,
                Origin::Made { from, .. } => Some(from.as_str()),
            };
            foreign::refuse_dtype(name, object, from)
        })
    }

    /// An array of no subclass, of a type that is taken, in C order; none for anything else.
    #[inline]
    pub fn plain(name: &'static str, object: &'b Bound<'py, PyAny>) -> Option<Self> {
        if !is_exact(object) {
            return None;
        }
        Self::fields(name, object, None).filter(|array| array.view.c_order)
    }

    /// The fields of an object that is known to be an array; none if its type is not taken. bfloat16 is if its number
    /// is given.
    #[inline]
    fn fields(name: &'static str, object: &'b Bound<'py, PyAny>, bfloat16: Option<c_int>) -> Option<Self> {
        let user = |type_num| (bfloat16 == Some(type_num)).then_some(DType::BFloat16);
        Self::typed(name, object, |type_num| dtype_of(type_num).or_else(|| user(type_num)))
    }

    /// The fields of an object that is known to be an array, whose type is known by its number.
    #[inline]
    fn typed(
        name: &'static str,
        object: &'b Bound<'py, PyAny>,
        dtype: impl FnOnce(c_int) -> Option<DType>,
    ) -> Option<Self> {
        let array: *const PyArrayObject = object.as_ptr().cast();
        // SAFETY: the object is an array; shape and strides live as long as it does and is not changed, for which
        // the order of admission and the interpreter's lock see.
        let (type_num, swapped, flags, shape, strides, data) = unsafe {
            let fields = &(*array).fields;
            let descr = &(*fields.descr).fields;
            let (shape, strides): (&'b [npy_intp], &'b [npy_intp]) = match fields.nd as usize {
                0 => (&[], &[]),
                nd => {
                    (slice::from_raw_parts(fields.dimensions, nd), slice::from_raw_parts(fields.strides, nd))
                }
            };
            let swapped = descr.byteorder as u8 == SWAPPED;
            (descr.type_num, swapped, fields.flags, shape, strides, fields.data.cast::<u8>())
        };
        let dtype = dtype(type_num).filter(|_| !swapped)?;
        let has = |flag| flags & flag != 0;
        let view = View {
            name,
            dtype,
            shape,
            strides,
            data,
            c_order: has(NPY_ARRAY_C_CONTIGUOUS),
            fortran_order: has(NPY_ARRAY_F_CONTIGUOUS),
            writeable: has(NPY_ARRAY_WRITEABLE),
        };
        Some(Self { object, view })
    }

    /// Reads the fields of an output that is to hold results of that type.
    ///
    /// # Errors
    /// `TypeError` for an array of a type that is not taken at all.
    pub fn output(name: &'static str, dtype: DType, held: &'b Held<'_, 'py>) -> PyResult<Self> {
        let fields = Self::fields(name, held.array(), held.bfloat16);
        fields.ok_or_else(|| refuse_output_dtype(name, held.array(), dtype))
    }

    /// An array that was just made, or admitted, of that type.
    ///
    /// # Errors
    /// If it is none; that would be a defect.
    pub fn made(name: &'static str, object: &'b Bound<'py, PyAny>, dtype: DType) -> PyResult<Self> {
        let array = if is_array(object) { Self::typed(name, object, |_| Some(dtype)) } else { None };
        array.ok_or_else(|| Error::wrong_type(name, type_name(object), "an array").into())
    }

    /// A new array for results: of this one's shape, or that without an axis, and, as far as may be, memory order;
    /// its elements uninitialised.
    ///
    /// # Errors
    /// What NumPy raises, `MemoryError` above all.
    pub fn allocate_like(&self, without: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        let py = self.object.py();
        let array: *mut PyArrayObject = self.object.as_ptr().cast();
        // SAFETY: the interpreter is attached and the object an array. NumPy takes the reference to the
        // descriptor, copies shape and strides, and returns a new reference or null with an exception set.
        unsafe {
            let descr = if self.view.dtype == self.view.dtype.of_results() {
                let descr = (*array).fields.descr;
                ffi::Py_INCREF(descr.cast());
                descr
            } else {
                PY_ARRAY_API.PyArray_DescrFromType(py, NPY_TYPES::NPY_DOUBLE as c_int)
            };
            let ty = get_type_object(py, NpyTypes::PyArray_Type);
            let null = ptr::null_mut();
            let new = |shape: *mut npy_intp, nd: usize, strides: *mut npy_intp| {
                let nd = nd as c_int;
                PY_ARRAY_API.PyArray_NewFromDescr(py, ty, descr, nd, shape, strides, null, 0, null.cast())
            };
            let made = if let Some(axis) = without {
                let (mut shape, mut strides) = (self.view.shape.to_vec(), self.view.strides.to_vec());
                shape.remove(axis);
                strides.remove(axis);
                pack(&shape, &mut strides, self.view.dtype.of_results().size());
                new(shape.as_mut_ptr(), shape.len(), strides.as_mut_ptr())
            } else if self.view.c_order {
                new(self.view.shape.as_ptr().cast_mut(), self.view.shape.len(), ptr::null_mut())
            } else {
                PY_ARRAY_API.PyArray_NewLikeArray(py, array, NPY_ORDER::NPY_KEEPORDER, descr, 0)
            };
            Bound::from_owned_ptr_or_err(py, made)
        }
    }
}

/// The refusal of an output whose type is not the results'.
#[cold]
fn refuse_output_dtype(name: &'static str, object: &Bound<'_, PyAny>, dtype: DType) -> PyErr {
    let describe = || object.getattr("dtype")?.str().map(|dtype| format!("an array of dtype {dtype}"));
    let takes = || result_dtype(dtype);
    describe().map_or_else(|error| error, |got| Error::wrong_type(name, got, takes()).into())
}

/// Makes strides those of an array without gaps whose axes keep their order, C order where strides are equal.
fn pack(shape: &[npy_intp], strides: &mut [npy_intp], size: usize) {
    let mut axes: Vec<usize> = (0..shape.len()).collect();
    // Stable: of equal strides the last axis stays the innermost.
    axes.sort_by_key(|&axis| std::cmp::Reverse(strides[axis].unsigned_abs()));
    let mut step = size as npy_intp;
    for &axis in axes.iter().rev() {
        strides[axis] = step;
        step *= shape[axis].max(1);
    }
}

/// The byte order that is not this machine's, as NumPy writes it.
const SWAPPED: u8 = if cfg!(target_endian = "little") { b'>' } else { b'<' };

/// The type of that number among NumPy's own, if the core reads it.
#[inline]
fn dtype_of(type_num: c_int) -> Option<DType> {
    // In the order of NumPy's numbers. C's long is as wide as an int or as a long long.
    const WIDE: bool = size_of::<c_long>() == 8;
    const LONG: DType = if WIDE { DType::Int64 } else { DType::Int32 };
    const ULONG: DType = if WIDE { DType::UInt64 } else { DType::UInt32 };
    const TYPES: [DType; 13] = [
        DType::Bool,
        DType::Int8,
        DType::UInt8,
        DType::Int16,
        DType::UInt16,
        DType::Int32,
        DType::UInt32,
        LONG,
        ULONG,
        DType::Int64,
        DType::UInt64,
        DType::Float32,
        DType::Float64,
    ];
    const HALF: c_int = NPY_TYPES::NPY_HALF as c_int;
    match type_num {
        HALF => Some(DType::Float16),
        _ => TYPES.get(usize::try_from(type_num).ok()?).copied(),
    }
}

/// The number of an array's type, if that is bfloat16. NumPy has none: packages (ml_dtypes) register one, which gets a
/// number then.
#[inline]
fn bfloat16(array: &Bound<'_, PyAny>) -> Option<c_int> {
    // SAFETY: the object is an array.
    let type_num = unsafe { (*(*array.as_ptr().cast::<PyArrayObject>()).fields.descr).fields.type_num };
    if type_num < NPY_TYPES::NPY_USERDEF as c_int { None } else { user_bfloat16(array, type_num) }
}

/// As [`bfloat16`], of a type that is not NumPy's own. To ask for it runs Python code.
#[cold]
fn user_bfloat16(object: &Bound<'_, PyAny>, type_num: c_int) -> Option<c_int> {
    static NUMBER: AtomicI32 = AtomicI32::new(-1);
    if NUMBER.load(Ordering::Relaxed) != type_num {
        let dtype = object.getattr("dtype").ok()?;
        let name: String = dtype.getattr("name").ok()?.extract().ok()?;
        let size: usize = dtype.getattr("itemsize").ok()?.extract().ok()?;
        if name != "bfloat16" || size != DType::BFloat16.size() {
            return None;
        }
        NUMBER.store(type_num, Ordering::Relaxed);
    }
    Some(type_num)
}
