#include "adapters/python/loop_class.h"

#include "adapters/python/later.h"
#include "adapters/python/soon.h"

#include <string.h>

/* More arguments than these are passed on from the heap. */
#define FEW 8

int
pst_loop_class_add(PyObject *derived, PyMethodDef *methods)
{
	for (PyMethodDef *def = methods; def->ml_name != NULL; def++) {
		PyObject *method = PyDescr_NewMethod((PyTypeObject *)(void *)derived, def);
		int rc =
		    method != NULL ? PyObject_SetAttrString(derived, def->ml_name, method) : -1;

		Py_XDECREF(method);
		if (rc < 0)
			return -1;
	}
	return 0;
}

PyObject *
pst_loop_class_pass_on(
    PyObject *method, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
	size_t n = (size_t)count + (names != NULL ? (size_t)PyTuple_GET_SIZE(names) : 0);
	PyObject *few[FEW + 1], **all = n > FEW ? PyMem_New(PyObject *, n + 1) : few;
	PyObject *result;

	if (all == NULL)
		return PyErr_NoMemory();
	all[0] = self;
	memcpy(all + 1, args, n * sizeof(PyObject *));
	result = PyObject_Vectorcall(method, all, (size_t)count + 1, names);
	if (all != few)
		PyMem_Free(all);
	return result;
}

static PyObject *
derive(PyObject *base)
{
	PyObject *names =
	    Py_BuildValue("{sNsNsN}", "__module__", PyObject_GetAttrString(base, "__module__"),
		"__qualname__", PyObject_GetAttrString(base, "__qualname__"), "__doc__",
		PyObject_GetAttrString(base, "__doc__"));
	PyObject *name = PyObject_GetAttrString(base, "__name__");
	PyObject *derived = NULL;

	if (names != NULL && name != NULL)
		derived =
		    PyObject_CallFunction((PyObject *)&PyType_Type, "O(O)O", name, base, names);
	Py_XDECREF(name);
	Py_XDECREF(names);
	return derived;
}

PyObject *
pst_loop_class_new(PyObject *base)
{
	PyObject *derived = derive(base);

	if (derived != NULL &&
	    (pst_soon_install(derived, base) < 0 || pst_later_install(derived, base) < 0))
		Py_CLEAR(derived);
	return derived;
}
