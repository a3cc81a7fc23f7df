#include "adapters/python/task_set.h"

#include <Python.h>

#include <stdbool.h>
#include <string.h>

/* The parts of the set, which lives as long as the process: all are references. */
static struct {
	PyObject *data; /* a set of weak references */
	PyObject *pending; /* a list: references that died while the set was gone through */
	PyObject *iterating; /* a set: who goes through it */
	PyObject *add; /* as the class has it */
	PyObject *remove; /* remove_task() */
} tasks;

/* The callback of a weak reference, as WeakSet's: its object is gone. */
static PyObject *
remove_task(PyObject *self, PyObject *reference)
{
	int rc = PySet_GET_SIZE(tasks.iterating) > 0 ? PyList_Append(tasks.pending, reference)
						     : PySet_Discard(tasks.data, reference);

	(void)self;
	if (rc < 0)
		return NULL;
	Py_RETURN_NONE;
}

/* add(task) of the set. */
static PyObject *
add_task(PyObject *self, PyObject *task)
{
	PyObject *reference;
	int rc;

	(void)self;
	if (PyList_GET_SIZE(tasks.pending) > 0)
		return PyObject_CallOneArg(tasks.add, task);
	reference = PyWeakref_NewRef(task, tasks.remove);
	rc = reference != NULL ? PySet_Add(tasks.data, reference) : -1;
	Py_XDECREF(reference);
	if (rc < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyMethodDef add_method = {"add", add_task, METH_O, "add(task)"};
static PyMethodDef remove_method = {"_remove", remove_task, METH_O, "_remove(reference)"};

/* asyncio's set, by its name in this Python; NULL: there is none. */
static PyObject *
find_set(void)
{
	static const char *const names[] = {"_all_tasks", "_scheduled_tasks"};
	PyObject *module = PyImport_ImportModule("asyncio.tasks");
	PyObject *set = NULL;

	for (size_t i = 0; module != NULL && set == NULL && i < sizeof names / sizeof *names; i++)
		set = PyObject_GetAttrString(module, names[i]);
	Py_XDECREF(module);
	PyErr_Clear();
	return set;
}

/* Whether SET is a WeakSet that has the parts which are known here. */
static bool
take_apart(PyObject *set)
{
	if (strcmp(Py_TYPE(set)->tp_name, "WeakSet") != 0)
		return false;
	tasks.data = PyObject_GetAttrString(set, "data");
	tasks.pending = PyObject_GetAttrString(set, "_pending_removals");
	tasks.iterating = PyObject_GetAttrString(set, "_iterating");
	tasks.add = PyObject_GetAttrString(set, "add");
	return tasks.data != NULL && PySet_CheckExact(tasks.data) && tasks.pending != NULL &&
	       PyList_CheckExact(tasks.pending) && tasks.iterating != NULL &&
	       PySet_CheckExact(tasks.iterating) && tasks.add != NULL && PyMethod_Check(tasks.add);
}

static void
forget(void)
{
	Py_CLEAR(tasks.data);
	Py_CLEAR(tasks.pending);
	Py_CLEAR(tasks.iterating);
	Py_CLEAR(tasks.add);
	Py_CLEAR(tasks.remove);
}

void
pst_task_set_shorten(void)
{
	PyObject *set = tasks.data == NULL ? find_set() : NULL;
	PyObject *add = NULL;

	if (set == NULL)
		return;
	if (take_apart(set)) {
		tasks.remove = PyCFunction_New(&remove_method, NULL);
		add = PyCFunction_New(&add_method, NULL);
	}
	if (tasks.remove == NULL || add == NULL || PyObject_SetAttrString(set, "add", add) < 0)
		forget();
	PyErr_Clear();
	Py_XDECREF(add);
	Py_DECREF(set);
}
