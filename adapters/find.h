/*
 * Which plugin serves an APP: the one that it names by a path, or a Python plugin of
 * $plugindir/python3.*.so, of which one is installed for each minor version of Python.
 */
#ifndef PST_ADAPTERS_FIND_H
#define PST_ADAPTERS_FIND_H

#include <stdbool.h>
#include <stddef.h>

/* True when APP is a plugin itself: it has a '/', or ends in ".so". */
bool pst_find_is_plugin(const char *app);

/*
 * The path of the plugin for APP, in PATH of SIZE bytes, with a '/' in it. PYTHON is the
 * interpreter that was asked for, or NULL ($VIRTUAL_ENV/bin/python, or the one that Penstock was
 * built for). The plugins are looked for in $PENSTOCK_PLUGIN_DIR, else where they were installed.
 * 0, or -1 after the reason was logged. Whether the file is there is pst_load()'s to say when APP
 * names it.
 */
int pst_find(const char *app, const char *python, char *path, size_t size);

#endif
