#include <Python.h>

#include <stdexcept>
#include <string>

static PyObject *says(PyObject *self, PyObject *nothing) {
    try {
        throw std::runtime_error(std::string("says ") + "C++");
    } catch (const std::exception &error) {
        return PyUnicode_FromString(error.what());
    }
}

static PyMethodDef methods[] = {{"says", says, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "named", nullptr, -1, methods};

PyMODINIT_FUNC PyInit_named() { return PyModule_Create(&module); }
