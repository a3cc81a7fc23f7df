/* The table of functions that a plugin is given. */
#ifndef PST_ADAPTERS_HOST_H
#define PST_ADAPTERS_HOST_H

#include <penstock/plugin.h>

extern const struct pst_host pst_host;

#endif
