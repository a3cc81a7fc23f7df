/*
 * Which Python's executable the embedded interpreter takes itself for: that decides on its
 * virtualenv and its standard library.
 */
#ifndef PST_PYTHON_EXECUTABLE_H
#define PST_PYTHON_EXECUTABLE_H

#include <penstock/plugin.h>

#include <limits.h>

/*
 * Choose it (--python, a file or a virtualenv's directory; VIRTUAL_ENV; the Python that the plugin
 * was built with) and see that it fits the libpython that is loaded: the same version and base
 * prefix, because one Python's standard library does not work with another's libpython.
 * 0 and PATH, or -1 after one line that says what was found, what is needed and what to do.
 */
int pst_executable_choose(
    const struct pst_host *host, const struct pst_app_config *config, char path[PATH_MAX]);

#endif
