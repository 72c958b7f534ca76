#include <Python.h>

#include <openssl/crypto.h>

static PyObject *says(PyObject *self, PyObject *nothing) {
    return PyUnicode_FromString(OpenSSL_version(OPENSSL_VERSION));
}

static PyMethodDef methods[] = {{"says", says, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "extension_meson", NULL, -1, methods};

PyMODINIT_FUNC PyInit_extension_meson(void) { return PyModule_Create(&module); }
