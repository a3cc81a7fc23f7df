#include "adapters/python/handle.h"

PyTypeObject *
pst_handle_type(PyType_Spec *spec)
{
	PyTypeObject *type = (PyTypeObject *)(void *)PyType_FromSpec(spec);

	if (type != NULL)
		type->tp_new = NULL;
	return type;
}

PyObject *
pst_handle_new(PyTypeObject *type, struct pst_call *call)
{
	struct pst_handle *self = PyObject_New(struct pst_handle, type);

	if (self == NULL)
		return NULL;
	self->call = pst_call_ref(call);
	return (PyObject *)self;
}

void
pst_handle_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	pst_call_unref(((struct pst_handle *)self)->call);
	PyObject_Free(self);
	Py_DECREF(type);
}
