# The Python plugin; it sees <penstock/plugin.h> only. Built as python.la, installed under its
# version's name (python3.11.so), so that plugins for several Pythons can stand side by side.
if PYTHON_PLUGIN
plugin_LTLIBRARIES += %D%/python.la
%C%_python_la_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
%C%_python_la_LDFLAGS = $(program_ldflags) -module -avoid-version -shared
%C%_python_la_LIBADD = $(PYTHON_LIBS)
endif
%C%_python_la_SOURCES = \
	%D%/app.c %D%/app.h \
	%D%/asgi.c %D%/asgi.h \
	%D%/asgi_cycle.c \
	%D%/asgi_event.c \
	%D%/asgi_internal.h \
	%D%/asgi_names.c %D%/asgi_names.h \
	%D%/asgi_receive.c \
	%D%/asgi_scope.c %D%/asgi_scope.h \
	%D%/asgi_send.c \
	%D%/asgi_step.c \
	%D%/asgi_websocket.c \
	%D%/async.c %D%/async.h \
	%D%/call.c %D%/call.h \
	%D%/child.c %D%/child.h \
	%D%/dump.c %D%/dump.h \
	%D%/environ.c %D%/environ.h \
	%D%/errors.c %D%/errors.h \
	%D%/exchange.c %D%/exchange.h \
	%D%/executable.c %D%/executable.h \
	%D%/file_wrapper.c %D%/file_wrapper.h \
	%D%/greenlets.c %D%/greenlets.h \
	%D%/handle.c %D%/handle.h \
	%D%/head.c %D%/head.h \
	%D%/hop.c %D%/hop.h \
	%D%/input.c %D%/input.h \
	%D%/interp.c %D%/interp.h \
	%D%/kind.c %D%/kind.h \
	%D%/later.c %D%/later.h \
	%D%/lifespan.c %D%/lifespan.h \
	%D%/loop.c %D%/loop.h \
	%D%/loop_class.c %D%/loop_class.h \
	%D%/option.c %D%/option.h \
	%D%/plugin.c \
	%D%/poll.c %D%/poll.h \
	%D%/response.c %D%/response.h \
	%D%/say.c %D%/say.h \
	%D%/soon.c %D%/soon.h \
	%D%/stream.c %D%/stream.h \
	%D%/task_set.c %D%/task_set.h \
	%D%/title.c %D%/title.h \
	%D%/tornado.c %D%/tornado.h \
	%D%/traceback.c %D%/traceback.h \
	%D%/wsgi.c %D%/wsgi.h

# The glue of event loops, in Python.
if PYTHON_PLUGIN
loopsdir = $(pkgdatadir)/python/penstock_loops
dist_loops_DATA = \
	%D%/loops/__init__.py \
	%D%/loops/asyncio.py \
	%D%/loops/eventlet.py \
	%D%/loops/gevent.py \
	%D%/loops/lifespan.py \
	%D%/loops/takeover.py \
	%D%/loops/tornado.py \
	%D%/loops/tornado_websocket.py
else
EXTRA_DIST += %D%/loops
endif

install-data-hook: install-python-plugin
uninstall-hook: uninstall-python-plugin
if PYTHON_PLUGIN
install-python-plugin:
	cd "$(DESTDIR)$(plugindir)" && rm -f python.la && \
		mv -f python.so "$(PYTHON_PLUGIN_NAME).so"
uninstall-python-plugin:
	rm -f "$(DESTDIR)$(plugindir)/$(PYTHON_PLUGIN_NAME).so"
	rm -rf "$(DESTDIR)$(loopsdir)/__pycache__"
	-rmdir "$(DESTDIR)$(loopsdir)" "$(DESTDIR)$(pkgdatadir)/python" 2>/dev/null
else
install-python-plugin:
uninstall-python-plugin:
endif
PHONY_TARGETS += install-python-plugin uninstall-python-plugin
