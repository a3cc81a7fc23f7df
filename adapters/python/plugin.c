/* Placeholder: to be replaced by the real plugin. */
#include <penstock/plugin.h>

const struct pst_plugin *
penstock_plugin(void)
{
	return NULL;
}
