# The Python plugin; it sees <penstock/plugin.h> only. Built as python.la, installed under its
# version's name (python3.11.so), so that plugins for several Pythons can stand side by side.
if PYTHON_PLUGIN
plugin_LTLIBRARIES += %D%/python.la
%C%_python_la_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
%C%_python_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared
%C%_python_la_LIBADD = $(PYTHON_LIBS)
endif
%C%_python_la_SOURCES = \
	%D%/app.c %D%/app.h \
	%D%/call.c %D%/call.h \
	%D%/dump.c %D%/dump.h \
	%D%/environ.c %D%/environ.h \
	%D%/errors.c %D%/errors.h \
	%D%/executable.c %D%/executable.h \
	%D%/file_wrapper.c %D%/file_wrapper.h \
	%D%/handle.c %D%/handle.h \
	%D%/head.c %D%/head.h \
	%D%/input.c %D%/input.h \
	%D%/interp.c %D%/interp.h \
	%D%/option.c %D%/option.h \
	%D%/plugin.c \
	%D%/response.c %D%/response.h \
	%D%/say.c %D%/say.h \
	%D%/traceback.c %D%/traceback.h \
	%D%/wsgi.c %D%/wsgi.h

install-data-hook: install-python-plugin
uninstall-hook: uninstall-python-plugin
if PYTHON_PLUGIN
install-python-plugin:
	cd "$(DESTDIR)$(plugindir)" && rm -f python.la && \
		mv -f python.so "$(PYTHON_PLUGIN_NAME).so"
uninstall-python-plugin:
	rm -f "$(DESTDIR)$(plugindir)/$(PYTHON_PLUGIN_NAME).so"
else
install-python-plugin:
uninstall-python-plugin:
endif
PHONY_TARGETS += install-python-plugin uninstall-python-plugin
