#include <Python.h>

#include <ffi.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <zlib.h>

static PyObject *says(PyObject *self, PyObject *nothing) {
    ffi_cif cif;
    return Py_BuildValue("sssssi", OpenSSL_version(OPENSSL_VERSION_STRING), sqlite3_libversion(), SQLITE_VERSION,
                         zlibVersion(), OWN, (int)ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 0, &ffi_type_void, 0));
}

static PyMethodDef methods[] = {{"says", says, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "versions", NULL, -1, methods};

PyMODINIT_FUNC PyInit_versions(void) { return PyModule_Create(&module); }
