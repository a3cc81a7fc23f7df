#include "adapters/python/file_wrapper.h"

#include <sys/stat.h>

#define DEFAULT_BLOCK ((Py_ssize_t)8192)

struct wrapper {
	PyObject_HEAD
	PyObject *file;
	Py_ssize_t block;
};

static PyObject *
wrapper_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char filelike[] = "filelike", blksize[] = "blksize";
	static char *names[] = {filelike, blksize, NULL};
	struct wrapper *self;
	PyObject *file;
	Py_ssize_t block = DEFAULT_BLOCK;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:file_wrapper", names, &file, &block))
		return NULL;
	self = (struct wrapper *)(void *)type->tp_alloc(type, 0);
	if (self == NULL)
		return NULL;
	Py_INCREF(file);
	self->file = file;
	self->block = block > 0 ? block : DEFAULT_BLOCK;
	return (PyObject *)self;
}

static int
wrapper_traverse(PyObject *self, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(self));
	Py_VISIT(((struct wrapper *)self)->file);
	return 0;
}

static int
wrapper_clear(PyObject *self)
{
	Py_CLEAR(((struct wrapper *)self)->file);
	return 0;
}

static void
wrapper_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	PyObject_GC_UnTrack(self);
	wrapper_clear(self);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyObject *
wrapper_iter(PyObject *self)
{
	Py_INCREF(self);
	return self;
}

/* The next block. What is not bytes goes up as it is: the response refuses it. */
static PyObject *
wrapper_next(PyObject *self)
{
	struct wrapper *wrapper = (struct wrapper *)self;
	PyObject *block = PyObject_CallMethod(wrapper->file, "read", "n", wrapper->block);
	int more = block != NULL ? PyObject_IsTrue(block) : -1;

	if (more <= 0)
		Py_CLEAR(block);
	return block;
}

static PyObject *
wrapper_close(PyObject *self, PyObject *unused)
{
	PyObject *file = ((struct wrapper *)self)->file;
	PyObject *close = PyObject_GetAttrString(file, "close");
	PyObject *result;

	(void)unused;
	if (close == NULL) {
		if (!PyErr_ExceptionMatches(PyExc_AttributeError))
			return NULL;
		PyErr_Clear();
		Py_RETURN_NONE;
	}
	result = PyObject_CallNoArgs(close);
	Py_DECREF(close);
	return result;
}

static PyMethodDef wrapper_methods[] = {
    {"close", wrapper_close, METH_NOARGS, "close(): close the file, if it can be closed"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot wrapper_slots[] = {
    {Py_tp_new, wrapper_new},
    {Py_tp_dealloc, wrapper_dealloc},
    {Py_tp_traverse, wrapper_traverse},
    {Py_tp_clear, wrapper_clear},
    {Py_tp_iter, wrapper_iter},
    {Py_tp_iternext, wrapper_next},
    {Py_tp_methods, wrapper_methods},
    {Py_tp_doc, (void *)(uintptr_t) "file_wrapper(filelike, blksize=8192): a response body from a "
				    "file (PEP 3333)"},
    {0, NULL},
};

static PyType_Spec wrapper_spec = {
    .name = "penstock.FileWrapper",
    .basicsize = sizeof(struct wrapper),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = wrapper_slots,
};

PyTypeObject *
pst_file_wrapper_type(void)
{
	return (PyTypeObject *)(void *)PyType_FromSpec(&wrapper_spec);
}

/* Whether OBJECT is exactly an io.NAME. */
static bool
is_exactly(PyObject *io, PyObject *object, const char *name)
{
	PyObject *type = PyObject_GetAttrString(io, name);
	bool is = type != NULL && (PyObject *)Py_TYPE(object) == type;

	Py_XDECREF(type);
	return is;
}

/*
 * Whether read() of a stream of the io module returns the bytes of its descriptor's file.
 * gzip.GzipFile and its like have the fileno() of the compressed file, and text files return str;
 * so only files, plain or buffered, of io itself are believed.
 */
static bool
is_plain_stream(PyObject *io, PyObject *file)
{
	PyObject *raw;
	bool plain;

	if (is_exactly(io, file, "FileIO"))
		return true;
	if (!is_exactly(io, file, "BufferedReader") && !is_exactly(io, file, "BufferedRandom"))
		return false;
	raw = PyObject_GetAttrString(file, "raw");
	plain = raw != NULL && is_exactly(io, raw, "FileIO");
	Py_XDECREF(raw);
	return plain;
}

/* Other objects (tempfile's, Django's) have a fileno() of their own, which is taken at its word. */
static bool
is_transparent(PyObject *file)
{
	PyObject *io = PyImport_ImportModule("io");
	PyObject *base = io != NULL ? PyObject_GetAttrString(io, "IOBase") : NULL;
	PyObject *inner;
	int is_stream = base != NULL ? PyObject_IsInstance(file, base) : -1;
	bool transparent = is_stream == 0;

	if (is_stream > 0) {
		transparent = is_plain_stream(io, file);
	} else if (is_stream == 0) {
		/* What wraps a stream (`file` of both) has that stream's manners. */
		inner = PyObject_GetAttrString(file, "file");
		if (inner != NULL && PyObject_IsInstance(inner, base) > 0)
			transparent = is_plain_stream(io, inner);
		Py_XDECREF(inner);
	}
	Py_XDECREF(base);
	Py_XDECREF(io);
	PyErr_Clear();
	return transparent;
}

/* The int that FILE's method NAME returns, or -1 without an exception. */
static long long
ask(PyObject *file, const char *name)
{
	PyObject *result = PyObject_CallMethod(file, name, NULL);
	long long number = result != NULL ? PyLong_AsLongLong(result) : -1;

	Py_XDECREF(result);
	PyErr_Clear();
	return number;
}

bool
pst_file_wrapper_file(PyObject *wrapper, struct pst_file *file)
{
	PyObject *object = ((struct wrapper *)wrapper)->file;
	struct stat status;
	long long fd, offset;

	if (!PyObject_HasAttrString(object, "fileno") || !is_transparent(object))
		return false;
	fd = ask(object, "fileno");
	/* tell() knows what was buffered but not read; the descriptor's own position does not. */
	offset = ask(object, "tell");
	if (fd < 0 || fd > 0x7fffffff || offset < 0 || fstat((int)fd, &status) != 0 ||
	    !S_ISREG(status.st_mode) || status.st_size <= offset)
		return false;
	file->fd = (int)fd;
	file->offset = (off_t)offset;
	file->length = (long long)status.st_size - offset;
	return true;
}
