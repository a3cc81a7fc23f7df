#include "adapters/python/soon.h"

#include "adapters/python/loop_class.h"

#include <stdatomic.h>
#include <stdbool.h>

/* A call that was asked for; all are references. */
struct call {
	PyObject *callback;
	PyObject *arg; /* NULL: none */
	PyObject *context; /* NULL: the present one */
};

/* Of the loop's thread; others see base, which does not change, and the two that keep them out. */
static struct {
	PyObject *base; /* call_soon() of the loop's class */
	unsigned long thread; /* the loop's, too */
	_Atomic(PyObject *) loop; /* borrowed: it is caught; NULL: nothing is */
	struct call *calls; /* a ring: */
	size_t size, first, count;
} soon;

/* --- What was caught ------------------------------------------------------------------- */

static int
grow(void)
{
	size_t size = soon.size ? 2 * soon.size : 64;
	struct call *larger = PyMem_New(struct call, size);

	if (larger == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	for (size_t i = 0; i < soon.count; i++)
		larger[i] = soon.calls[(soon.first + i) % soon.size];
	PyMem_Free(soon.calls);
	soon.calls = larger;
	soon.size = size;
	soon.first = 0;
	return 0;
}

static int
keep(PyObject *callback, PyObject *arg, PyObject *context)
{
	struct call *call;

	if (soon.count == soon.size && grow() < 0)
		return -1;
	call = &soon.calls[(soon.first + soon.count) % soon.size];
	soon.count++;
	Py_INCREF(callback);
	Py_XINCREF(arg);
	Py_XINCREF(context);
	*call = (struct call){callback, arg, context};
	return 0;
}

static void
let_go(struct call *call)
{
	Py_DECREF(call->callback);
	Py_XDECREF(call->arg);
	Py_XDECREF(call->context);
}

/* What it raises is nobody's: a task keeps its own exceptions. But one that is to end the loop
 * stays set: -1. */
static int
carry_out(const struct call *call)
{
	PyObject *result = NULL;
	int rc = 0;

	if (call->context == NULL || PyContext_Enter(call->context) == 0) {
		result = call->arg != NULL ? PyObject_CallOneArg(call->callback, call->arg)
					   : PyObject_CallNoArgs(call->callback);
		if (call->context != NULL && PyContext_Exit(call->context) < 0)
			Py_CLEAR(result);
	}
	if (result == NULL && (PyErr_ExceptionMatches(PyExc_SystemExit) ||
				  PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)))
		rc = -1;
	else if (result == NULL)
		PyErr_WriteUnraisable(call->callback);
	Py_XDECREF(result);
	return rc;
}

void
pst_soon_catch(PyObject *loop)
{
	atomic_store_explicit(&soon.loop, loop, memory_order_relaxed);
}

int
pst_soon_run(void)
{
	int any = soon.count > 0;

	while (soon.count > 0) {
		struct call call = soon.calls[soon.first];
		int rc;

		soon.first = (soon.first + 1) % soon.size;
		soon.count--;
		rc = carry_out(&call);
		let_go(&call);
		if (rc < 0)
			return -1;
	}
	return any;
}

void
pst_soon_forget(void)
{
	while (soon.count > 0) {
		soon.count--;
		let_go(&soon.calls[(soon.first + soon.count) % soon.size]);
	}
}

void
pst_soon_close(void)
{
	pst_soon_catch(NULL);
	pst_soon_forget();
	PyMem_Free(soon.calls);
	soon.calls = NULL;
	soon.size = soon.first = 0;
	Py_CLEAR(soon.base);
}

/* --- The class ------------------------------------------------------------------------- */

/* As tasks and futures ask: call_soon(callback, [arg], context=context). */
static PyObject *
call_soon(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
	bool in_context = names != NULL && PyTuple_GET_SIZE(names) == 1;

	if (self != atomic_load_explicit(&soon.loop, memory_order_relaxed) ||
	    soon.thread != PyThread_get_thread_ident() || count < 1 || count > 2 ||
	    (names != NULL && !in_context) || (in_context && !PyContext_CheckExact(args[count])))
		return pst_loop_class_pass_on(soon.base, self, args, count, names);
	if (keep(args[0], count > 1 ? args[1] : NULL, in_context ? args[count] : NULL) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"call_soon", (PyCFunction)(void (*)(void))call_soon, METH_FASTCALL | METH_KEYWORDS,
	"call_soon(callback, *args, context=None): call it in the next turn"},
    {NULL, NULL, 0, NULL},
};

int
pst_soon_install(PyObject *derived, PyObject *base)
{
	soon.thread = PyThread_get_thread_ident();
	Py_XSETREF(soon.base, PyObject_GetAttrString(base, "call_soon"));
	return soon.base != NULL ? pst_loop_class_add(derived, methods) : -1;
}
