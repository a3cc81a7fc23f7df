#include "adapters/python/asgi_names.h"

#include <stddef.h>
#include <string.h>

static const struct {
	size_t offset;
	const char *text;
} strings[] = {
#define NAME(member, text)                                                                         \
	{                                                                                          \
		offsetof(struct pst_asgi_names, member), text                                      \
	}
    NAME(type, "type"),
    NAME(body, "body"),
    NAME(more_body, "more_body"),
    NAME(status, "status"),
    NAME(headers, "headers"),
    NAME(trailers, "trailers"),
    NAME(more_trailers, "more_trailers"),
    NAME(path, "path"),
    NAME(links, "links"),
    NAME(file, "file"),
    NAME(offset, "offset"),
    NAME(count, "count"),
    NAME(text, "text"),
    NAME(bytes, "bytes"),
    NAME(code, "code"),
    NAME(reason, "reason"),
    NAME(subprotocol, "subprotocol"),
    NAME(http_request, "http.request"),
    NAME(http_disconnect, "http.disconnect"),
    NAME(http_start, "http.response.start"),
    NAME(http_body, "http.response.body"),
    NAME(http_trailers, "http.response.trailers"),
    NAME(http_early_hint, "http.response.early_hint"),
    NAME(http_pathsend, "http.response.pathsend"),
    NAME(http_zerocopysend, "http.response.zerocopysend"),
    NAME(ws_connect, "websocket.connect"),
    NAME(ws_receive, "websocket.receive"),
    NAME(ws_disconnect, "websocket.disconnect"),
    NAME(ws_accept, "websocket.accept"),
    NAME(ws_send, "websocket.send"),
    NAME(ws_close, "websocket.close"),
    NAME(ws_denial_start, "websocket.http.response.start"),
    NAME(ws_denial_body, "websocket.http.response.body"),
    NAME(throw_, "throw"),
    NAME(done, "done"),
    NAME(set_result, "set_result"),
    NAME(cancel, "cancel"),
    NAME(fileno, "fileno"),
    NAME(name, "name"),
#undef NAME
};

static PyObject **
member(struct pst_asgi_names *names, size_t i)
{
	return (PyObject **)(void *)((char *)names + strings[i].offset);
}

int
pst_asgi_names_init(struct pst_asgi_names *names)
{
	memset(names, 0, sizeof *names);
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
		PyObject *string = PyUnicode_InternFromString(strings[i].text);

		if (string == NULL)
			return -1;
		*member(names, i) = string;
	}
	names->no_bytes = PyBytes_FromStringAndSize(NULL, 0);
	names->disconnect = Py_BuildValue("{OO}", names->type, names->http_disconnect);
	return names->no_bytes != NULL && names->disconnect != NULL ? 0 : -1;
}

void
pst_asgi_names_clear(struct pst_asgi_names *names)
{
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		Py_CLEAR(*member(names, i));
	Py_CLEAR(names->no_bytes);
	Py_CLEAR(names->disconnect);
}
