# The Python plugin; it sees <penstock/plugin.h> only. Built as python.la, installed under its
# version's name (python3.11.so), so that plugins for several Pythons can stand side by side.
if PYTHON_PLUGIN
plugin_LTLIBRARIES += %D%/python.la
%C%_python_la_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
%C%_python_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared
%C%_python_la_LIBADD = $(PYTHON_LIBS)
endif
%C%_python_la_SOURCES = %D%/plugin.c

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
