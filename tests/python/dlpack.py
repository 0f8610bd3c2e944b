# SPDX-License-Identifier: Apache-2.0
"""DLPack as its specification has it, and a library that takes arrays over."""

import ctypes


class Tensor(ctypes.Structure):
    """DLTensor, as the specification of DLPack has it."""

    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


class Managed(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]
    name, used = b"dltensor", b"used_dltensor"


class Versioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
                ("flags", ctypes.c_uint64), ("tensor", Tensor)]
    name, used = b"dltensor_versioned", b"used_dltensor_versioned"


def pointer_of(capsule, name):
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return get(capsule, name)


def consume(capsule, kind):
    """Takes over what a capsule has, as a library does; returns it and its deleter."""
    managed = kind.from_address(pointer_of(capsule, kind.name))
    rename = ctypes.pythonapi.PyCapsule_SetName
    rename.argtypes = [ctypes.py_object, ctypes.c_char_p]
    rename(capsule, kind.used)
    address = ctypes.addressof(managed)
    return managed, lambda: ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(managed.deleter)(address)
