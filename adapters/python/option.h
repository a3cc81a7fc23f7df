/*
 * The options of the command line that concern Python: --python, --pythonpath, and --option
 * workers=N, by which penstock says how many workers there are.
 */
#ifndef PST_PYTHON_OPTION_H
#define PST_PYTHON_OPTION_H

#include <penstock/plugin.h>

#include <stdbool.h>

/*
 * The value of the INDEXth option NAME (0: the first), or NULL. Options that are empty count as not
 * given.
 */
const char *pst_option_value(const struct pst_app_config *config, const char *name, unsigned index);

/*
 * Whether other processes may run the application at the same time: whoever starts the workers says
 * how many there are; nobody does to one that was started by hand, which may have siblings.
 */
bool pst_option_multiprocess(const struct pst_app_config *config);

#endif
